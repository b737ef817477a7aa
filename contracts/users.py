"""The accounts of people who use the dashboard. Each function takes a connection; the caller owns the transaction.

Rows that are returned hold no password, nor its hash. An account without a password is one of OpenID Connect's: its
name is the e-mail address that the provider vouches for.
"""

import ipaddress
import re
import time
import unicodedata

import sqlalchemy as sa

from contracts import store
from contracts.errors import UsageError
from contracts.schema import logins, users

# Each role may do what the ones before it may.
ROLES = VIEWER, ANALYST, OPERATOR, ADMIN = ("viewer", "analyst", "operator", "admin")

_NAME = re.compile(r"\w[\w .@+'-]{0,119}")
_SHOWN = [
    *(column for column in users.columns if column is not users.c.password_hash),
    users.c.password_hash.is_not(None).label("has_password"),
]
_LOCK = 727162  # beside the one of migrations


def add_user(connection: sa.Connection, user_id: str, name: str, role: str, password_hash: str | None) -> store.Row:
    """Store a new account and return it; adding the same ``user_id`` again changes nothing.

    Raises:
        UsageError: a value cannot be used, the name is taken, or nobody would be admin.
    """
    lock(connection)
    name = check_name(name)
    row = {
        "user_id": user_id,
        "name": name,
        "password_hash": password_hash,
        "role": check_role(role),
        "disabled": False,
        "created_at": time.time(),
    }
    taken = sa.select(users.c.user_id).where(users.c.name == name, users.c.user_id != user_id)
    if connection.execute(taken).first() is not None:
        raise UsageError(f"There is an account {name!r} already. Choose another name, or change that one.")
    store.insert_new(connection, users, [row])
    _check_admin_left(connection)
    return read_user(connection, name)


def list_users(connection: sa.Connection) -> list[store.Row]:
    """Return the accounts in order of their names."""
    return [dict(row) for row in connection.execute(sa.select(*_SHOWN).order_by(users.c.name)).mappings()]


def has_users(connection: sa.Connection) -> bool:
    """Tell whether there is any account, disabled ones included."""
    return connection.execute(sa.select(users.c.user_id).limit(1)).first() is not None


def find_user(connection: sa.Connection, name: str) -> store.Row | None:
    """Return the account of that name, whatever its letters' case, or None."""
    found = connection.execute(sa.select(*_SHOWN).where(users.c.name == fold_name(name))).mappings().one_or_none()
    return None if found is None else dict(found)


def read_user(connection: sa.Connection, name: str) -> store.Row:
    """Return the account of that name, whatever its letters' case.

    Raises:
        UsageError: there is none.
    """
    user = find_user(connection, name)
    if user is None:
        raise UsageError(f"There is no account {_shorten(name)!r}. List them with: emotrace user list")
    return user


def change_user(
    connection: sa.Connection,
    name: str,
    *,
    role: str | None = None,
    disabled: bool | None = None,
    password_hash: str | None = None,
) -> store.Row:
    """Change an account and return it; what is None stays. A new password and disabling log its browsers out.

    Raises:
        UsageError: there is none of that name, a value cannot be used, or nobody would be admin.
    """
    lock(connection)
    user = read_user(connection, name)
    values: dict[str, str | bool] = {}
    if role is not None:
        values["role"] = check_role(role)
    if disabled is not None:
        values["disabled"] = disabled
    if password_hash is not None:
        values["password_hash"] = password_hash
    if values:
        connection.execute(sa.update(users).where(users.c.user_id == user["user_id"]).values(**values))
    if disabled or password_hash is not None:
        connection.execute(sa.delete(logins).where(logins.c.user_id == user["user_id"]))
    _check_admin_left(connection)
    return read_user(connection, name)


def remove_user(connection: sa.Connection, name: str) -> store.Row:
    """Remove an account and return what it was; what it did stays in the audit.

    Raises:
        UsageError: there is none of that name, or accounts would be left without an admin.
    """
    lock(connection)
    user = read_user(connection, name)
    connection.execute(sa.delete(logins).where(logins.c.user_id == user["user_id"]))
    connection.execute(sa.delete(users).where(users.c.user_id == user["user_id"]))
    _check_admin_left(connection)
    return user


def fold_name(name: str) -> str:
    """Return a name in one of the ways that Unicode has of writing it, its case left out, as databases can hold it."""
    storable = name.encode(errors="replace").decode().replace("\0", "\ufffd")
    return unicodedata.normalize("NFKC", storable).casefold()


def check_name(name: str) -> str:
    """Return an account's name as it is stored: in one way of writing, in small letters.

    Raises:
        UsageError: it cannot be used.
    """
    folded = fold_name(name) if len(name) <= 200 else name
    if not _NAME.fullmatch(folded) or folded != folded.strip():
        raise UsageError(
            f"An account cannot be named {_shorten(name)!r}. Expected up to 120 letters, digits, spaces, '.', '_', "
            "'-', '+', ''' and '@', a letter or digit first; or an e-mail address."
        )
    return folded


def check_role(role: str) -> str:
    """Return ``role``.

    Raises:
        UsageError: there is none of that name.
    """
    if role not in ROLES:
        raise UsageError(f"There is no role {_shorten(role)!r}. Expected {', '.join(ROLES)}.")
    return role


def is_loopback(host: str | None) -> bool:
    """Tell whether ``host``, an address or a name without a port, leads to this machine and from nowhere else."""
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def lock(connection: sa.Connection) -> None:
    """Have others wait who change accounts or count attempts; SQLite's transactions that write wait anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def _check_admin_left(connection: sa.Connection) -> None:
    admins = sa.select(users.c.user_id).where(users.c.role == ADMIN, users.c.disabled.is_(False)).limit(1)
    if has_users(connection) and connection.execute(admins).first() is None:
        raise UsageError(
            "Nobody would be left who may manage accounts. Give another account the role admin first; the very first "
            "account has to be an admin's."
        )


def _shorten(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
