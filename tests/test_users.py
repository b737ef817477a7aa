"""Accounts: who may log in, how often it may be tried, and what the database holds of it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from contracts import audits, logins, password_hashes, users
from contracts.database import open_database, read_transaction, write_transaction
from contracts.errors import NotAllowedError, UsageError
from contracts.schema import login_attempts
from contracts.schema import logins as logins_table
from contracts.schema import users as users_table
from contracts.store import Row, make_uuid7
from contracts.users import ADMIN, ANALYST, OPERATOR, ROLES, VIEWER

PASSWORD = "correct horse battery"
HASH = password_hashes.hash_password(PASSWORD)
HOUR_S = 3600.0


def add(engine: sa.Engine, name: str, role: str = VIEWER, password_hash: str | None = HASH) -> Row:
    with engine.begin() as connection:
        return users.add_user(connection, make_uuid7(), name, role, password_hash)


def change(engine: sa.Engine, name: str, **values: object) -> Row:
    with engine.begin() as connection:
        return users.change_user(connection, name, **values)  # type: ignore[arg-type]


def log_in(engine: sa.Engine, name: str, password: str, lifetime_s: float = HOUR_S) -> str:
    return logins.log_in(engine, name, password, lifetime_s, 1.0)


def find(engine: sa.Engine, token: str) -> Row | None:
    with read_transaction(engine) as connection:
        return logins.find_login(connection, token)


@pytest.fixture
def accounts(engine: sa.Engine) -> Iterator[sa.Engine]:
    add(engine, "root", ADMIN)
    add(engine, "Anna", ANALYST)
    yield engine


def test_a_password_logs_in_and_out(accounts: sa.Engine) -> None:
    token = log_in(accounts, "ANNA", PASSWORD)
    found = find(accounts, token)
    assert found is not None and (found["name"], found["role"]) == ("anna", ANALYST)
    assert find(accounts, token[:-1]) is None
    with read_transaction(accounts) as connection:
        assert users.read_user(connection, "anna")["last_login_at"] == pytest.approx(time.time(), abs=60)
        assert [(row["who"], row["action"]) for row in audits.list_changes(connection)] == [("anna", "user.login")]
    with accounts.begin() as connection:
        logins.remove_login(connection, token)
    assert find(accounts, token) is None


def test_a_login_ends_by_itself(accounts: sa.Engine) -> None:
    token = log_in(accounts, "anna", PASSWORD, lifetime_s=-1.0)
    assert find(accounts, token) is None


def test_what_does_not_fit_is_refused_in_the_same_words(accounts: sa.Engine) -> None:
    for name, password in (
        ("anna", PASSWORD + "!"),
        ("anna", ""),
        ("anna", "x" * 100_000),
        ("nobody", PASSWORD),
        ("", ""),
        ("an\0na", PASSWORD),
        ("ann\udce9", PASSWORD),
        ("x" * 10_000, "x"),
        ("' OR 1=1 --", PASSWORD),
    ):
        with pytest.raises(NotAllowedError, match=r"^The name or the password is wrong\.$"):
            log_in(accounts, name, password)


def test_who_is_disabled_or_has_another_password_is_out_at_once(accounts: sa.Engine) -> None:
    token = log_in(accounts, "anna", PASSWORD)
    change(accounts, "anna", disabled=True)
    assert find(accounts, token) is None
    with pytest.raises(NotAllowedError):
        log_in(accounts, "anna", PASSWORD)
    change(accounts, "anna", disabled=False)
    token = log_in(accounts, "anna", PASSWORD)
    change(accounts, "anna", password_hash=password_hashes.hash_password("another password"))
    assert find(accounts, token) is None
    assert find(accounts, log_in(accounts, "anna", "another password"))


def test_an_account_of_openid_connect_has_no_password_to_guess(accounts: sa.Engine) -> None:
    add(accounts, "bea@example.org", VIEWER, None)
    for password in ("", "None", "nobody's"):
        with pytest.raises(NotAllowedError):
            log_in(accounts, "bea@example.org", password)


def test_guessing_one_name_is_stopped_and_others_still_get_in(accounts: sa.Engine, database_url: str) -> None:
    other = open_database(database_url)  # as another process would
    for number in range(logins.MAX_PER_NAME):
        with pytest.raises(NotAllowedError, match="wrong"):
            log_in(other if number % 2 else accounts, "anna", "not that")
    for engine in (accounts, other):
        with pytest.raises(NotAllowedError, match=r"Too many logins failed\. Try again in 15 min\."):
            log_in(engine, "Anna", PASSWORD)
    assert find(other, log_in(other, "root", PASSWORD))
    with accounts.begin() as connection:
        connection.execute(sa.update(login_attempts).values(at=time.time() - logins.WINDOW_S - 1))
    assert find(accounts, log_in(accounts, "anna", PASSWORD))
    other.dispose()


def test_guessing_many_names_is_stopped_and_fills_no_table(accounts: sa.Engine) -> None:
    now = time.time()
    rows = [{"attempt_id": make_uuid7(), "name_hash": f"{n}", "at": now - n} for n in range(logins.MAX_IN_ALL)]
    with accounts.begin() as connection:
        connection.execute(sa.insert(login_attempts), rows)
    for name in ("nobody", "anna"):
        with pytest.raises(NotAllowedError, match="Too many"):
            log_in(accounts, name, PASSWORD)
    with read_transaction(accounts) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(login_attempts)).scalar() == logins.MAX_IN_ALL


def test_a_right_password_takes_its_failures_back(accounts: sa.Engine) -> None:
    for _ in range(2):
        for _ in range(logins.MAX_PER_NAME - 1):
            with accounts.begin() as connection:
                logins._begin_attempt(connection, make_uuid7(), logins.hash_token("anna"))
        log_in(accounts, "anna", PASSWORD)


def test_the_database_holds_no_password_and_no_token(accounts: sa.Engine) -> None:
    token = log_in(accounts, "anna", PASSWORD)
    with read_transaction(accounts) as connection:
        held = [str(connection.execute(sa.select(table)).all()) for table in (users_table, logins_table)]
        shown = str(users.list_users(connection))
    assert "$argon2id$" in held[0] and PASSWORD not in held[0] and token not in held[1]
    assert "argon2" not in shown


@pytest.mark.parametrize(
    "name",
    ["", " ", " anna2", "<script>alert(1)</script>", "'; DROP TABLE users; --", "🎬", "a\nb", "a\0b", "x" * 121,
     "x" * 10_000, "\u202eadmin"],
)  # fmt: skip
def test_hostile_names_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be named") as caught:
        users.check_name(name)
    assert len(str(caught.value)) < 400


def test_one_name_has_one_account_however_it_is_written(accounts: sa.Engine) -> None:
    assert add(accounts, "Zoë O'Neil+1@Example.org")["name"] == "zoë o'neil+1@example.org"
    for name in ("ZOE\u0308 O'NEIL+1@example.org", "anna", "ＡＮＮＡ"):
        with pytest.raises(UsageError, match="already"):
            add(accounts, name)


def test_accounts_are_never_without_an_admin(engine: sa.Engine) -> None:
    with pytest.raises(UsageError, match="Nobody would be left"):
        add(engine, "anna", OPERATOR)
    add(engine, "root", ADMIN)
    add(engine, "anna", OPERATOR)
    for values in ({"role": VIEWER}, {"disabled": True}):
        with pytest.raises(UsageError, match="Nobody would be left"):
            change(engine, "root", **values)
    with pytest.raises(UsageError, match="Nobody would be left"), engine.begin() as connection:
        users.remove_user(connection, "root")
    change(engine, "anna", role=ADMIN)
    with engine.begin() as connection:
        users.remove_user(connection, "root")
        users.remove_user(connection, "anna")  # the last one: back to one person at one machine
        assert not users.has_users(connection)


def test_values_that_cannot_be_used_are_said(accounts: sa.Engine) -> None:
    with pytest.raises(UsageError, match=f"Expected {', '.join(ROLES)}"):
        change(accounts, "anna", role="owner")
    with pytest.raises(UsageError, match="no account 'nobody'"):
        change(accounts, "nobody", role=ADMIN)
    for password in ("short", "x" * 1001, "Anna Maria Z"):
        with pytest.raises(UsageError, match="password"):
            password_hashes.check_password(password, "anna maria z")


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("LOCALHOST.", True), ("0.0.0.0", False), ("", False), (None, False), ("::", False), ("10.0.0.1", False),
     ("localhost.evil.com", False)],
)  # fmt: skip
def test_only_this_machines_own_addresses_are_loopback(host: str | None, expected: bool) -> None:
    assert users.is_loopback(host) is expected


def test_guesses_at_the_same_moment_are_counted_one_by_one(accounts: sa.Engine) -> None:
    def begin(_number: int) -> bool:
        try:
            write_transaction(accounts, lambda one: logins._begin_attempt(one, make_uuid7(), "anna"), 20.0)
        except NotAllowedError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(begin, range(2 * logins.MAX_PER_NAME)))
    assert sum(outcomes) == logins.MAX_PER_NAME


def test_the_audit_is_searched_for_what_it_shows(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        audits.record_change(connection, "anna", "camera.add", "id-1", name='Büro "Süd"')
        audits.record_change(connection, "jürgen", "camera.add", "id-2", name="Hof")
    expected = {
        "Büro": ["id-1"], '"Süd"': ["id-1"], "B\0üro": ["id-1"],
        '"name": "Hof"': ["id-2"], "jürgen": ["id-2"], "Nord": [],
    }  # fmt: skip
    with read_transaction(engine) as connection:
        for search, subjects in expected.items():
            assert [row["subject"] for row in audits.list_changes(connection, search=search)] == subjects
