"""Logging in with a password: how often it may be tried, and what a logged-in browser is known by.

A browser holds a random token in a cookie; the database holds its hash, so that whoever reads the database cannot log
in. Tries are stored before they are checked and taken back when the password was right: the limits hold for any number
of processes, and for names that no account has.
"""

import hashlib
import secrets
import time

import sqlalchemy as sa

from contracts import audits, store
from contracts.database import read_transaction, write_transaction
from contracts.errors import NotAllowedError
from contracts.password_hashes import matches
from contracts.schema import login_attempts, logins, users
from contracts.users import fold_name, lock

WINDOW_S = 900.0
MAX_PER_NAME = 10
MAX_IN_ALL = 100
_WRONG = "The name or the password is wrong."


def log_in(engine: sa.Engine, name: str, password: str, lifetime_s: float, retry_s: float) -> str:
    """Check a name and its password and return the token of a new login, which ends after ``lifetime_s`` seconds.

    Raises:
        NotAllowedError: they do not fit, or too many were tried.
        ServiceError: the database is out of reach.
    """
    user, token = check(engine, name, password, retry_s), secrets.token_urlsafe(32)
    user_id = user["user_id"]

    def write(connection: sa.Connection) -> None:
        now = time.time()
        # It took a moment to check the password, in which it may have been replaced.
        same = sa.select(users.c.name).where(users.c.user_id == user_id, users.c.disabled.is_(False))
        if connection.execute(same.where(users.c.password_hash == user["password_hash"])).first() is None:
            raise NotAllowedError(_WRONG)
        row = {"token_hash": hash_token(token), "user_id": user_id, "created_at": now, "expires_at": now + lifetime_s}
        connection.execute(sa.delete(logins).where(logins.c.expires_at < now))
        store.insert_new(connection, logins, [row])
        connection.execute(sa.update(users).where(users.c.user_id == user_id).values(last_login_at=now))
        audits.record_change(connection, user["name"], "user.login", user_id)

    write_transaction(engine, write, retry_s)
    return token


def check(engine: sa.Engine, name: str, password: str, retry_s: float) -> store.Row:
    """Return the account that has this name and password: its user_id, name and password_hash.

    Raises:
        NotAllowedError: they do not fit, or too many were tried.
        ServiceError: the database is out of reach.
    """
    attempt_id, name_hash = store.make_uuid7(), hash_token(fold_name(name[:1000]))
    write_transaction(engine, lambda connection: _begin_attempt(connection, attempt_id, name_hash), retry_s)
    with read_transaction(engine) as connection:
        query = sa.select(users.c.user_id, users.c.name, users.c.password_hash, users.c.disabled)
        found = connection.execute(query.where(users.c.name == fold_name(name[:1000]))).mappings().one_or_none()
    # Outside of any transaction, for it takes long; and always, so that time does not tell which names there are.
    is_right = matches(None if found is None else found["password_hash"], password)
    if found is None or not is_right or found["disabled"]:
        raise NotAllowedError(_WRONG)
    forget = sa.delete(login_attempts).where(login_attempts.c.name_hash == name_hash)
    write_transaction(engine, lambda connection: connection.execute(forget), retry_s)
    return dict(found)


def find_login(connection: sa.Connection, token: str) -> store.Row | None:
    """Return the account that a token logs in, its ``name`` and ``role``, or None."""
    query = sa.select(users.c.user_id, users.c.name, users.c.role).join(logins)
    query = query.where(logins.c.token_hash == hash_token(token), logins.c.expires_at > time.time())
    found = connection.execute(query.where(users.c.disabled.is_(False))).mappings().one_or_none()
    return None if found is None else dict(found)


def remove_login(connection: sa.Connection, token: str) -> None:
    """Log a browser out: its token is worth nothing from now on."""
    connection.execute(sa.delete(logins).where(logins.c.token_hash == hash_token(token)))


def hash_token(token: str) -> str:
    """Return what is stored in place of a token: it is random and long, so that a plain hash cannot be guessed."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _begin_attempt(connection: sa.Connection, attempt_id: str, name_hash: str) -> None:
    lock(connection)
    now = time.time()
    connection.execute(sa.delete(login_attempts).where(login_attempts.c.at < now - WINDOW_S))
    others = login_attempts.c.attempt_id != attempt_id
    for condition, limit in ((login_attempts.c.name_hash == name_hash, MAX_PER_NAME), (sa.true(), MAX_IN_ALL)):
        query = sa.select(sa.func.count(), sa.func.min(login_attempts.c.at)).where(others, condition)
        number, oldest = connection.execute(query).one()
        if number >= limit:
            wait_min = max(1, round((oldest + WINDOW_S - now) / 60))
            raise NotAllowedError(f"Too many logins failed. Try again in {wait_min} min.")
    row = {"attempt_id": attempt_id, "name_hash": name_hash, "at": now}
    store.insert_new(connection, login_attempts, [row])
