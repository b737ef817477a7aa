"""Rejected crop sequences: an operator sees why, puts them back or throws them away, and the ledger stays right."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
import sqlalchemy as sa
from conftest import RunEmotrace
from crop_sequences import make_sequence
from worker_runs import (
    ALONE,
    SESSION,
    expect_pts,
    list_rejections,
    make_tiny_model,
    make_window,
    read_pts,
    record_session,
)

from contracts import store
from contracts.audits import list_changes
from contracts.database import migrate, open_database, read_transaction
from contracts.errors import ServiceError, UsageError
from contracts.lanes import BATCH, LIVE, find_lane, name_lane
from contracts.patience import Patience
from contracts.rejected import discard, find_rejected, iterate_rejected, requeue
from contracts.stream import CropStream
from models.predictor import EmotionPredictor
from workers.loop import LoopOptions, run_inference

REASON = "inference failed: out of memory"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> EmotionPredictor:
    return EmotionPredictor(str(make_tiny_model(tmp_path_factory.mktemp("model"))), "cpu")


@pytest.fixture
def lane(valkey: redis.Redis, predictor: EmotionPredictor) -> CropStream:
    lane = CropStream(valkey, name_lane(LIVE, predictor.card.model_id), "worker-1")
    lane.create_group()
    return lane


@pytest.fixture
def known_engine(engine: sa.Engine, predictor: EmotionPredictor) -> sa.Engine:
    """SQLite and PostgreSQL with the session of ``make_window``."""
    record_session(engine, predictor)
    return engine


def reject(lane: CropStream, engine: sa.Engine, predictor: EmotionPredictor, numbers: list[int]) -> None:
    """Have a worker reject good windows, as one whose GPU was full would."""
    for number in numbers:
        lane.publish(make_window(predictor, number))
    for entry in lane.read(100, 1):
        with engine.begin() as connection:
            store.record_rejection(
                connection, entry.session_id, entry.track_id, entry.first_pts, entry.num_faces, REASON
            )
        lane.reject(entry, REASON)


def count_faces(lane: CropStream, engine: sa.Engine) -> tuple[int, int, int]:
    """The session's rows, rejected and waiting faces."""
    with read_transaction(engine) as connection:
        ledger = store.read_ledger(connection, SESSION, lane.count_waiting_faces(SESSION))
    return ledger.rows, ledger.rejected, ledger.waiting


def serve(lane: CropStream, engine: sa.Engine, predictor: EmotionPredictor) -> None:
    def should_stop() -> bool:
        return lane.count_waiting() == 0

    options = LoopOptions(max_entries=4, **ALONE)
    run_inference([lane], predictor, engine, options, Patience(False, should_stop), should_stop)


def list_all(lane: CropStream) -> list[Any]:
    return list(iterate_rejected(lane.client, 1.0))


def test_what_is_put_back_is_predicted_and_counted_once(
    lane: CropStream, known_engine: sa.Engine, predictor: EmotionPredictor
) -> None:
    reject(lane, known_engine, predictor, [1, 2, 3])
    assert count_faces(lane, known_engine) == (0, 6, 0)
    _, second, third = list_all(lane)
    assert (second.entry.first_pts, second.lane, second.reason) == (21, "live", REASON)
    requeue(lane.client, known_engine, second)
    assert count_faces(lane, known_engine) == (0, 4, 2)
    serve(lane, known_engine, predictor)
    assert count_faces(lane, known_engine) == (2, 4, 0) and read_pts(known_engine) == expect_pts([2])
    discard(lane.client, third, 1.0)
    assert count_faces(lane, known_engine) == (2, 4, 0), "they have no rows, and the ledger says so"
    assert [one.entry.first_pts for one in list_all(lane)] == [11]


def test_one_that_is_rejected_again_is_counted_and_listed_again(
    lane: CropStream, known_engine: sa.Engine, predictor: EmotionPredictor
) -> None:
    reject(lane, known_engine, predictor, [1])
    requeue(lane.client, known_engine, list_all(lane)[0])
    reject(lane, known_engine, predictor, [])
    assert count_faces(lane, known_engine) == (0, 2, 0) and len(list_all(lane)) == 1


def test_one_whose_rows_are_stored_already_may_be_put_back(
    lane: CropStream, known_engine: sa.Engine, predictor: EmotionPredictor
) -> None:
    lane.publish(make_window(predictor, 1))
    reject(lane, known_engine, predictor, [])
    lane.publish(make_window(predictor, 1))
    serve(lane, known_engine, predictor)
    assert count_faces(lane, known_engine) == (2, 0, 0), "stored by a worker that judged it differently"
    requeue(lane.client, known_engine, list_all(lane)[0])
    serve(lane, known_engine, predictor)
    assert count_faces(lane, known_engine) == (2, 0, 0) and list_all(lane) == []


def test_a_crash_after_the_move_is_mended_by_the_worker_that_stores_the_rows(
    lane: CropStream, known_engine: sa.Engine, predictor: EmotionPredictor
) -> None:
    reject(lane, known_engine, predictor, [1, 2])

    def crash(_: object) -> None:
        raise sa.exc.OperationalError("", None, Exception("the power went"))

    sa.event.listen(known_engine, "commit", crash, once=True)
    with pytest.raises(ServiceError, match="the power went"):
        requeue(lane.client, known_engine, list_all(lane)[0])
    assert lane.count_waiting_faces(SESSION) == 2 and len(list_all(lane)) == 1
    serve(lane, known_engine, predictor)
    assert count_faces(lane, known_engine) == (2, 2, 0)


def test_a_crash_before_the_move_changes_nothing(
    lane: CropStream, known_engine: sa.Engine, predictor: EmotionPredictor
) -> None:
    reject(lane, known_engine, predictor, [1])
    one = list_all(lane)[0]
    discard(lane.client, one, 1.0)  # somebody else was quicker, which ends the move as well
    with pytest.raises(UsageError, match="not there any more"):
        requeue(lane.client, known_engine, one)
    assert count_faces(lane, known_engine) == (0, 2, 0)


def test_a_worker_that_rejects_it_again_at_once_is_counted(
    lane: CropStream, known_engine: sa.Engine, predictor: EmotionPredictor
) -> None:
    """The worker is quicker than the commit of the one that puts it back."""
    reject(lane, known_engine, predictor, [1])
    threads = []

    def reject_again(_: object) -> None:
        threads.append(threading.Thread(target=reject, args=(lane, known_engine, predictor, [])))
        threads[0].start()
        threads[0].join(0.5)
        assert threads[0].is_alive(), "it waits for the transaction"

    sa.event.listen(known_engine, "commit", reject_again, once=True)
    requeue(lane.client, known_engine, list_all(lane)[0])
    threads[0].join()
    assert count_faces(lane, known_engine) == (0, 2, 0) and len(list_all(lane)) == 1


def test_a_run_that_is_over_is_not_given_work(valkey: redis.Redis, sqlite_engine: sa.Engine) -> None:
    stream = CropStream(valkey, "emotrace:analyze:0123")
    stream.create_group()
    stream.publish(make_sequence())
    stream.reject(stream.read(1, 1)[0], "broken")
    stream.delete()
    one = find_rejected(valkey, list_all(stream)[0].entry.entry_id, 1.0)
    assert one.lane == "analyze:0123" and find_lane(one.stream) is None
    with pytest.raises(UsageError, match="emotrace analyze --resume 01900000-"):
        requeue(valkey, sqlite_engine, one)
    assert not valkey.exists(stream.name)


def test_an_id_in_two_lanes_needs_the_lanes_name(valkey: redis.Redis) -> None:
    for lane in (LIVE, BATCH):
        name = name_lane(lane, "m-1") + ":rejected"
        valkey.xadd(name, {"payload": b"", "reason": lane}, id="5-1")
    with pytest.raises(UsageError, match="Several lanes"):
        find_rejected(valkey, "5-1", 1.0)
    assert find_rejected(valkey, "5-1", 1.0, "batch").reason == "batch"
    with pytest.raises(UsageError, match="no rejected entry '5-2'"):
        find_rejected(valkey, "5-2", 1.0)


@pytest.fixture
def operate(
    lane: CropStream, tmp_path: Path, predictor: EmotionPredictor, run_emotrace: RunEmotrace
) -> Callable[..., Any]:
    """Run ``emotrace rejected`` where a good, a garbled and a newer message were rejected."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    engine = open_database(url)
    migrate(engine)
    record_session(engine, predictor)
    reject(lane, engine, predictor, [1])
    named = {"session": "[red]\x1b[2J", "track": 1, "first_pts": 21, "faces": 2}
    lane.client.xadd(lane.name, {"payload": b"\xc1", **named})
    newer = msgspec.msgpack.encode(make_window(predictor, 3, version=99))
    lane.client.xadd(lane.name, {"payload": newer, **named})
    reject(lane, engine, predictor, [])
    engine.dispose()
    return lambda *arguments: run_emotrace("rejected", *arguments, EMOTRACE_DATABASE_URL=url)


def test_an_operator_lists_shows_puts_back_and_discards(
    lane: CropStream, tmp_path: Path, operate: Callable[..., Any]
) -> None:
    listed = operate("list")
    assert listed.returncode == 0 and REASON in listed.stdout and "\x1b" not in listed.stdout, listed.stderr
    rows = json.loads(operate("list", "--json").stdout)
    assert [(row["lane"], row["first_pts"], row["faces"]) for row in rows] == [
        ("live", 11, 2),
        ("live", 21, 2),
        ("live", 21, 2),
    ]
    assert operate("list", "--lane", "batch").stdout == "No rejected entries.\n"
    good, garbled, newer = [row["id"] for row in rows]
    shown = json.loads(operate("show", good, "--json").stdout)
    assert shown["message"]["pts"] == [10, 11, 12] and shown["reason"] == REASON
    assert "crops" not in shown["message"] and shown["bytes"] > 768
    assert "malformed" in operate("show", garbled).stdout and "version 99" in operate("show", newer).stdout
    assert operate("requeue").returncode == 2 and operate("show", "1-1").returncode == 2
    assert operate("requeue", good).stdout == "Put back 1 entry (2 faces).\n"
    assert lane.count_waiting_faces(SESSION) == 2
    assert operate("discard", "--all", "--yes").stdout == "Deleted 2 entries (4 faces).\n"
    assert operate("list", "--json").stdout == "[]\n"
    engine = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    assert list_rejections(engine) == []
    with read_transaction(engine) as connection:
        changes = [(row["action"], row["subject"]) for row in reversed(list_changes(connection))]
    assert changes == [("rejected.requeue", good), ("rejected.discard", garbled), ("rejected.discard", newer)]
    engine.dispose()
