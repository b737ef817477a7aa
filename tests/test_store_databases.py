"""The databases under the store: migrations, outages with an end, writers beside one another."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from stored_rows import OTHER, SESSION, make_row, read_rows, record_session

from contracts import store
from contracts.database import check_migrated, migrate, open_database, read_transaction, write_transaction
from contracts.errors import RowsRefusedError, ServiceError
from contracts.schema import metadata


@pytest.fixture
def session(engine: sa.Engine) -> str:
    with engine.begin() as connection:
        record_session(connection)
    return SESSION


@pytest.fixture
def empty_engine(database_url: str) -> Iterator[sa.Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def test_an_empty_database_gets_its_tables_and_a_second_time_changes_nothing(empty_engine: sa.Engine) -> None:
    with pytest.raises(ServiceError, match=r"no emotrace tables\. Run `emotrace migrate`"):
        check_migrated(empty_engine)
    head = max(path.name for path in Path("contracts/migrations/versions").glob("0*.py"))[:4]
    assert migrate(empty_engine) == (None, head)
    with empty_engine.begin() as connection:
        record_session(connection)
    assert migrate(empty_engine) == (head, head)
    check_migrated(empty_engine)
    with read_transaction(empty_engine) as connection:
        assert store.read_session(connection, SESSION)["session_id"] == SESSION


def test_migrations_make_exactly_the_tables_that_the_code_uses(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_a_database_of_a_newer_release_is_refused(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for check in (migrate, check_migrated):
        with pytest.raises(ServiceError, match=r"revision 9999; .*A newer emotrace made it: upgrade"):
            check(engine)


def test_programs_that_migrate_at_once_all_succeed(empty_engine: sa.Engine, database_url: str) -> None:
    program = (
        "import sys; from contracts.database import migrate, open_database; sys.stdin.readline();"
        "engine = open_database(sys.argv[1]); migrate(engine); engine.dispose()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, database_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    check_migrated(empty_engine)


# Outages


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_database_that_is_away_is_a_clear_error_within_the_bound_and_without_the_password() -> None:
    engine = open_database(f"postgresql://user:sec%40ret@127.0.0.1:{free_port()}/emotrace")

    def read() -> None:
        with read_transaction(engine):
            pass

    for call, least in (
        (partial(write_transaction, engine, lambda _: None, 1.0), 0.4),
        (partial(migrate, engine), 0.0),
        (partial(check_migrated, engine), 0.0),
        (read, 0.0),
    ):
        begin = time.monotonic()
        with pytest.raises(ServiceError, match=r"127\.0\.0\.1.*refused.*Check that it runs") as raised:
            call()
        assert least <= time.monotonic() - begin < 3
        assert "sec" not in str(raised.value) and "ret" not in str(raised.value).replace("retry", "")
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:sec@ret@127.0.0.1:1/x",
        "postgresql://user:secret@127.0.0.1:port/x",
        "postgresql://user:secret@127.0.0.1:1/x?password=secret",
        "mysql://user:secret@127.0.0.1/x",
        "secret@host/x",
        "nonsense",
        "",
    ],
)
def test_a_password_in_a_url_never_shows_in_an_error(url: str) -> None:
    def use() -> None:
        engine = open_database(url)
        try:
            write_transaction(engine, lambda _: None, 0.0)
        finally:
            engine.dispose()

    with pytest.raises(ServiceError) as raised:
        use()
    assert "sec" not in str(raised.value) and "ret@" not in str(raised.value)


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database, but long enough to be read as one" * 100)
    for path in (tmp_path / "notes.db", tmp_path / "missing folder" / "x.db", tmp_path):
        engine = open_database(f"sqlite:///{path}")
        with pytest.raises(ServiceError, match=r"The database .* failed: "):
            migrate(engine)
        engine.dispose()


@pytest.mark.usefixtures("session")
def test_rows_that_break_a_rule_are_refused_at_once(engine: sa.Engine) -> None:
    begin = time.monotonic()
    rows = [make_row(1), make_row(2, session_id=OTHER)]
    with pytest.raises(RowsRefusedError, match=r"(?i)foreign key"):
        write_transaction(engine, partial(store.record_emotions, rows=rows), 20.0)
    assert time.monotonic() - begin < 2
    assert read_rows(engine, "pts") == [], "a transaction is stored whole or not at all"


@pytest.mark.usefixtures("session")
def test_a_write_is_repeated_as_a_whole_until_it_succeeds(engine: sa.Engine) -> None:
    attempts = 0

    def write(connection: sa.Connection) -> str:
        nonlocal attempts
        attempts += 1
        store.record_emotions(connection, [make_row(attempts)])
        if attempts < 3:
            raise sa.exc.OperationalError("", None, Exception("the connection broke"))
        return "done"

    assert write_transaction(engine, write, 5.0) == "done"
    assert read_rows(engine, "pts") == [(3,)]
    attempts = -1000
    begin = time.monotonic()
    with pytest.raises(ServiceError, match=r"failed: the connection broke\. Check"):
        write_transaction(engine, write, 0.5)
    assert time.monotonic() - begin < 2


# SQLite's own traps


def test_sqlite_is_set_up_to_lose_nothing_and_to_wait_for_others(sqlite_engine: sa.Engine) -> None:
    with sqlite_engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000, "foreign_keys": 1}


def test_a_reader_neither_waits_for_a_writer_nor_sees_half_of_what_it_writes(sqlite_engine: sa.Engine) -> None:
    with sqlite_engine.begin() as connection:
        record_session(connection)
    with sqlite_engine.begin() as writer:
        store.record_emotions(writer, [make_row(1)])
        begin = time.monotonic()
        assert read_rows(sqlite_engine, "pts") == []
        assert time.monotonic() - begin < 0.5
    assert read_rows(sqlite_engine, "pts") == [(1,)]


def test_a_writer_that_finds_another_one_gives_up_clearly_in_the_end(sqlite_engine: sa.Engine) -> None:
    impatient = open_database(str(sqlite_engine.url))
    sa.event.listen(impatient, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50"))
    with sqlite_engine.begin():
        begin = time.monotonic()
        with pytest.raises(ServiceError, match="database is locked"):
            write_transaction(impatient, lambda _: None, 0.5)
        assert time.monotonic() - begin < 3
    assert write_transaction(impatient, lambda _: "done", 0.5) == "done"
    impatient.dispose()


def test_many_writers_at_once_all_get_their_turn(tmp_path: Path) -> None:
    """Reading and then writing in one transaction is what a deferred one would fail at."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    errors: list[BaseException] = []
    at_once = threading.Barrier(6)

    def work(number: int) -> None:
        engine = open_database(url)
        try:
            at_once.wait()
            migrate(engine)
            write_transaction(engine, record_session, 20.0)
            for pts in range(20):
                write_transaction(engine, partial(read_and_write, pts=pts, track_id=number), 20.0)
        except BaseException as error:
            errors.append(error)
        finally:
            engine.dispose()

    def read_and_write(connection: sa.Connection, pts: int, track_id: int) -> None:
        store.read_ledger(connection, SESSION)
        store.record_emotions(connection, [make_row(pts, track_id)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    engine = open_database(url)
    assert len(read_rows(engine, "pts")) == 120
    engine.dispose()


@pytest.mark.skipif(os.name != "posix", reason="the limit is POSIX")
def test_a_full_disk_is_a_clear_error_and_what_was_committed_is_kept(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    engine = open_database(url)
    migrate(engine)
    with engine.begin() as connection:
        record_session(connection)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    engine.dispose()
    full = open_database(url)
    sa.event.listen(full, "connect", lambda connection, _: connection.execute(f"PRAGMA max_page_count = {pages + 4}"))
    num_stored = 0
    with pytest.raises(ServiceError, match=r"full.*Check .* the disk has room.*what was committed is kept"):
        while True:
            rows = [make_row(num_stored + index) for index in range(10)]
            write_transaction(full, partial(store.record_emotions, rows=rows), 0.2)
            num_stored += 10
    assert len(read_rows(full, "pts")) == num_stored > 0
    full.dispose()
