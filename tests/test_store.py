"""The store on both databases: keyed rows and the ledger's sums."""

import time
from typing import Any

import pytest
import sqlalchemy as sa
from stored_rows import CARD, OTHER, SESSION, make_row, read_rows, record_session

from contracts import ledger, store
from contracts.completion import finish_session
from contracts.database import read_transaction
from contracts.errors import LedgerError, ServiceError, UsageError
from contracts.schema import emotions
from contracts.stream import CropStream


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


@pytest.fixture
def session(engine: sa.Engine) -> str:
    with engine.begin() as connection:
        record_session(connection)
    return SESSION


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
