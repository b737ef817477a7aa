"""The store on both databases: keyed rows, the ledger's sums, migrations, and outages with an end."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from stored_rows import CARD, SESSION, make_row

from contracts import ledger, store
from contracts.completion import finish_session
from contracts.database import check_migrated, migrate, open_database, read_transaction, write_transaction
from contracts.errors import LedgerError, RowsRefusedError, ServiceError, UsageError
from contracts.schema import emotions, metadata
from contracts.stream import CropStream

OTHER = "01900000-0000-7000-8000-00000000000b"


def make_coverage(start_pts: int, state: str, num_frames: int, num_not_sampled: int = 0, num_faces: int = 0) -> Any:
    return {
        "session_id": SESSION,
        "start_pts": start_pts,
        "state": state,
        "start_s": start_pts / 10,
        "end_s": (start_pts + num_frames) / 10,
        "num_frames": num_frames,
        "num_not_sampled": num_not_sampled,
        "num_faces": num_faces,
    }


def record_session(connection: sa.Connection, session_id: str = SESSION) -> None:
    store.record_model(connection, CARD)
    store.record_session(
        connection,
        session_id=session_id,
        url="/videos/clip.mp4",
        name="clip.mp4",
        model_id=CARD.model_id,
        fingerprint="abc",
        settings={"fps": None},
    )


@pytest.fixture
def session(engine: sa.Engine) -> str:
    with engine.begin() as connection:
        record_session(connection)
    return SESSION


def read_rows(engine: sa.Engine, *columns: str) -> list[tuple[Any, ...]]:
    with read_transaction(engine) as connection:
        return [tuple(row) for part in store.iterate_emotions(connection, SESSION, columns) for row in part]


@pytest.mark.usefixtures("session")
def test_the_same_rows_stored_twice_are_there_once(engine: sa.Engine) -> None:
    for _ in range(2):
        with engine.begin() as connection:
            store.record_emotions(connection, [make_row(pts) for pts in range(100)])
    assert read_rows(engine, "pts") == [(pts,) for pts in range(100)]


@pytest.mark.usefixtures("session")
def test_the_first_row_of_a_key_is_kept(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        store.record_emotions(connection, [make_row(1, happy=0.25)])
        store.record_emotions(connection, [make_row(1, happy=0.75), make_row(2, happy=0.75)])
        store.record_emotions(connection, [])
    assert read_rows(engine, "pts", "happy") == [(1, 0.25), (2, 0.75)]


@pytest.mark.usefixtures("session")
def test_a_longer_stretch_or_track_replaces_the_shorter(engine: sa.Engine) -> None:
    track = {"session_id": SESSION, "track_id": 1, "start_pts": 0, "start_s": 0.0}
    with engine.begin() as connection:
        for length in (5, 9):
            store.record_coverage(connection, [make_coverage(0, ledger.ANALYSED, length, num_faces=length)])
            store.record_tracks(connection, [{**track, "end_pts": length, "end_s": 1.0, "num_faces": length}])
        store.record_coverage(connection, [make_coverage(9, ledger.NO_FACE, 2)])
        store.record_tracks(connection, [])
    with read_transaction(engine) as connection:
        assert [(row["state"], row["num_frames"]) for row in store.list_coverage(connection, SESSION)] == [
            ("analysed", 9),
            ("no_face", 2),
        ]
        assert [(row["end_pts"], row["num_faces"]) for row in store.list_tracks(connection, SESSION)] == [(9, 9)]


def test_a_session_is_found_by_any_unique_beginning_of_its_id(engine: sa.Engine, session: str) -> None:
    with engine.begin() as connection:
        record_session(connection, OTHER)
    with read_transaction(engine) as connection:
        found = store.read_session(connection, session)
        assert (found["session_id"], found["source"], found["url"]) == (SESSION, "clip.mp4", "/videos/clip.mp4")
        assert store.read_session(connection, SESSION.upper())["session_id"] == SESSION
        with pytest.raises(UsageError, match="Several sessions begin with '0190'"):
            store.read_session(connection, "0190")


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize("wanted", ["", "%", "_", "0190%", "0190000_", "\\", "'; DROP TABLE sessions; --", "x" * 500])
def test_what_begins_no_id_finds_no_session(engine: sa.Engine, wanted: str) -> None:
    with read_transaction(engine) as connection, pytest.raises(UsageError, match="There is no session"):
        store.read_session(connection, wanted)


@pytest.mark.usefixtures("session")
def test_two_sessions_of_one_file_share_its_source(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        record_session(connection, OTHER)
    with read_transaction(engine) as connection:
        rows = store.list_sessions(connection)
        assert len({row["source_id"] for row in rows}) == 1
        assert {row["session_id"] for row in rows} == {SESSION, OTHER}
        assert store.read_model_card(connection, CARD.model_id) == CARD
        with pytest.raises(UsageError, match="no model 'other'"):
            store.read_model_card(connection, "other")


def record_balanced(connection: sa.Connection) -> None:
    """20 packets, 3 of them damaged; 17 frames: 4 analysed with 6 faces, 8 not sampled, 3 without a face, 2 too small.

    Of the faces 4 are rows and 2 were rejected.
    """
    store.record_coverage(
        connection,
        [
            make_coverage(0, ledger.ANALYSED, 3, num_not_sampled=5, num_faces=4),
            make_coverage(8, ledger.NO_FACE, 3, num_not_sampled=3),
            make_coverage(14, ledger.UNDECODABLE, 3),
            make_coverage(17, ledger.LOW_QUALITY, 2),
            make_coverage(19, ledger.ANALYSED, 1, num_faces=2),
        ],
    )
    store.record_emotions(connection, [make_row(pts) for pts in range(4)])
    store.record_rejection(connection, SESSION, 1, 19, 2, "it was broken")
    store.update_session(connection, SESSION, num_packets=20, num_frames=17)


@pytest.mark.usefixtures("session")
def test_the_ledger_sums_rows_and_balances(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        record_balanced(connection)
        record_balanced(connection)
        store.record_rejection(connection, SESSION, 1, 19, 2, "again, with another reason")
    with read_transaction(engine) as connection:
        found = store.read_ledger(connection, SESSION)
        assert [row["reason"] for row in store.list_rejections(connection, SESSION)] == ["it was broken"]
    assert (found.packets, found.undecodable, found.decoded, found.analysed) == (20, 3, 17, 4)
    assert found.skipped == {"not_sampled": 8, "no_face": 3, "low_quality": 2}
    assert (found.published, found.rows, found.rejected, found.waiting) == (6, 4, 2, 0)
    assert found.find_imbalances() == []
    found.check(SESSION)
    assert found.to_dict()["faces"] == {"published": 6, "rows": 4, "rejected": 2, "waiting": 0}


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("changes", "imbalance"),
    [
        ({"num_packets": 21}, "packets read is 21, but decoded + undecodable is 20"),
        ({"num_packets": 21, "num_frames": 18}, "frames decoded is 18, but analysed + skipped is 17"),
    ],
)
def test_packets_or_frames_that_went_missing_show(engine: sa.Engine, changes: dict[str, int], imbalance: str) -> None:
    with engine.begin() as connection:
        record_balanced(connection)
        store.update_session(connection, SESSION, **changes)
        assert store.read_ledger(connection, SESSION).find_imbalances() == [imbalance]


@pytest.mark.usefixtures("session")
def test_a_face_that_went_missing_or_waits_shows(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        record_balanced(connection)
        connection.execute(sa.delete(emotions).where(emotions.c.pts == 3))
        missing = store.read_ledger(connection, SESSION)
        waiting = store.read_ledger(connection, SESSION, waiting=1)
    assert missing.find_imbalances() == ["faces published is 6, but rows + rejected + waiting is 5"]
    assert waiting.find_imbalances() == []
    with pytest.raises(LedgerError, match=f"1 faces still wait.*--resume {SESSION}"):
        waiting.check(SESSION)


@pytest.mark.usefixtures("session")
def test_only_a_session_that_was_read_to_its_end_and_balances_is_called_complete(
    engine: sa.Engine, valkey: Any
) -> None:
    stream = CropStream(valkey, "crops")
    stream.create_group()

    def finish(is_fully_read: bool, error: Exception | None) -> tuple[str, str | None]:
        finish_session(engine, stream, SESSION, is_fully_read, error, 1.0)
        with read_transaction(engine) as connection:
            found = store.read_session(connection, SESSION)
        assert found["ended_at"] is not None
        return found["status"], found["error"]

    with engine.begin() as connection:
        record_balanced(connection)
    assert finish(True, None) == ("complete", None)
    assert finish(False, None) == ("interrupted", None)
    assert finish(False, ServiceError("gone")) == ("failed", "gone")
    with engine.begin() as connection:
        store.update_session(connection, SESSION, num_packets=99)
    status, error = finish(True, None)
    assert status == "incomplete" and error is not None and "packets read is 99" in error


@pytest.mark.usefixtures("session")
def test_a_rejection_of_a_strangers_sequence_has_no_ledger_to_stand_in(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        store.record_rejection(connection, "nobody's", 1, 0, 5, "stray")
        store.record_rejection(connection, SESSION, 1, 0, 5, "quotes \0 and " + "x" * 5000)
    with read_transaction(engine) as connection:
        (row,) = store.list_rejections(connection, SESSION)
        assert len(row["reason"]) == 1000 and "\0" not in row["reason"]


def test_a_sequence_that_was_stored_before_its_worker_died_is_not_counted_as_rejected(
    engine: sa.Engine, session: str
) -> None:
    with engine.begin() as connection:
        store.record_emotions(connection, [make_row(7), make_row(8)])
        store.record_rejection(connection, session, 1, 7, 2, "its worker died twice while it was alone with it")
        assert store.list_rejections(connection, session) == []


@pytest.mark.usefixtures("session")
def test_a_session_that_begins_again_keeps_its_rows_but_the_last_and_loses_its_ledger(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        record_balanced(connection)
        # Two faces on 200 frames; those of the last 120 may have been looked at without what followed them.
        store.record_emotions(connection, [make_row(pts, track) for pts in range(4, 204) for track in (1, 2)])
        store.update_session(connection, SESSION, status=store.FAILED, error="gone", ended_at=1.0)
        store.restart_session(connection, SESSION)
        found = store.read_ledger(connection, SESSION)
        again = store.read_session(connection, SESSION)
    assert (found.packets, found.decoded, found.published, found.rejected) == (0, 0, 0, 0)
    assert found.rows == 4 + 2 * 80
    assert (again["status"], again["error"], again["ended_at"]) == ("running", None, None)


@pytest.mark.usefixtures("session")
def test_rows_come_in_order_of_time_and_track_in_chunks(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        record_session(connection, OTHER)
        keys = [(pts, track) for pts in range(-50, 200) for track in (3, 1, 2)]
        store.record_emotions(connection, [make_row(pts, track) for pts, track in reversed(keys)])
        store.record_emotions(connection, [make_row(0, session_id=OTHER)])
    with read_transaction(engine) as connection:
        parts = list(store.iterate_emotions(connection, SESSION, ("pts", "track_id"), chunk=200))
    assert [len(part) for part in parts] == [200, 200, 200, 150]
    assert [tuple(row) for part in parts for row in part] == sorted(keys)


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = []
    for _ in range(5):
        ids.append(store.make_uuid7())
        time.sleep(0.002)
    assert ids == sorted(ids) and all(found[14] == "7" and found[19] in "89ab" for found in ids)


# Migrations


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
