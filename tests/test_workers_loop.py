"""The inference loop: rows exactly once, and one bad crop sequence never costs its neighbours."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
import redis
import sqlalchemy as sa
from valkey_process import run_own_valkey
from worker_runs import (
    ALONE,
    SESSION,
    PickyPredictor,
    block_writes,
    expect_pts,
    list_rejections,
    make_poison,
    make_tiny_model,
    make_window,
    read_pts,
    record_session,
    run_until_empty,
)

from contracts import store
from contracts.database import read_transaction
from contracts.emotions import EMOTIONS
from contracts.errors import ServiceError
from contracts.messages import VERSION
from contracts.patience import Patience
from contracts.stream import GROUP, CropStream
from models.predictor import EmotionPredictor
from workers.loop import LoopOptions, run_inference


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def predictor(model: Path) -> EmotionPredictor:
    return EmotionPredictor(str(model), "cpu")


@pytest.fixture
def stream(valkey: redis.Redis, sqlite_engine: sa.Engine, predictor: EmotionPredictor) -> CropStream:
    """A stream whose session is in the database."""
    record_session(sqlite_engine, predictor)
    stream = CropStream(valkey, "crops", "worker-1")
    stream.create_group()
    return stream


def test_each_face_to_store_becomes_one_row(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    for number in (*range(10), 3, 4):  # two of them were published twice
        stream.publish(make_window(predictor, number))
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts(range(10))
    with read_transaction(sqlite_engine) as connection:
        (rows,) = list(store.iterate_emotions(connection, SESSION))
    row = rows[0]._mapping
    window = make_window(predictor, 0)
    expected = predictor.predict([window.read_crops()], [window.times_s])[0][1]
    assert [row[name] for name in EMOTIONS] == pytest.approx(expected.tolist(), abs=1e-2)
    assert sum(row[name] for name in EMOTIONS) == pytest.approx(1)
    assert (row["pts"], row["frame_index"], row["time_s"], row["model_id"]) == (1, 1, 0.1, predictor.card.model_id)
    assert stream.client.xpending(stream.name, GROUP)["pending"] == 0


@pytest.mark.parametrize("max_entries", [1, 4, 100])
def test_a_malformed_entry_is_rejected_and_counted_and_its_neighbours_are_stored(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine, max_entries: int
) -> None:
    stream.publish(make_window(predictor, 0))
    named = {"session": SESSION, "track": 1, "first_pts": 11, "faces": 2}
    stream.client.xadd(stream.name, {"payload": b"\xc1 garbage", **named})
    stream.client.xadd(stream.name, {"stray": "fields"})
    stream.publish(make_window(predictor, 2))
    run_until_empty(stream, predictor, sqlite_engine, max_entries)
    assert read_pts(sqlite_engine) == expect_pts([0, 2])
    ((first_pts, num_faces, reason),) = list_rejections(sqlite_engine)
    assert (first_pts, num_faces) == (11, 2) and "malformed" in reason
    assert stream.client.xlen(stream.rejected_name) == 2


def test_a_sequence_for_another_model_is_rejected(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    stream.publish(make_window(predictor, 0, model_id="other-12345678"))
    stream.publish(make_window(predictor, 1))
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts([1])
    assert list_rejections(sqlite_engine) == [
        (1, 2, f"it is meant for the model other-12345678, this worker runs {predictor.card.model_id}")
    ]


def test_a_runs_own_stream_has_no_newer_worker_to_wait_for(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    newer = msgspec.msgpack.encode(make_window(predictor, 0, version=VERSION + 1))
    stream.client.xadd(stream.name, {"payload": newer, "session": SESSION, "track": 1, "first_pts": 1, "faces": 2})
    run_until_empty(stream, predictor, sqlite_engine)
    ((_, _, reason),) = list_rejections(sqlite_engine)
    assert f"version {VERSION + 1}" in reason


def test_a_sequence_of_crops_that_the_model_does_not_take_is_rejected(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    stream.publish(make_window(predictor, 0))
    stream.publish(make_window(predictor, 1, shape=(3, 2, 2), crops=bytes(12)))
    stream.publish(make_window(predictor, 2))
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts([0, 2])
    ((_, _, reason),) = list_rejections(sqlite_engine)
    assert "inference failed" in reason and "(3, 2, 2)" in reason


def test_a_sequence_whose_prediction_fails_is_tried_twice_alone_and_then_rejected(
    stream: CropStream, model: Path, sqlite_engine: sa.Engine
) -> None:
    picky = PickyPredictor(str(model), "cpu")
    for number in range(4):
        stream.publish(make_poison(picky, number) if number == 2 else make_window(picky, number))
    run_until_empty(stream, picky, sqlite_engine)
    assert picky.num_refusals == 3, "once with its neighbours, twice alone"
    assert read_pts(sqlite_engine) == expect_pts([0, 1, 3])
    assert list_rejections(sqlite_engine) == [(21, 2, "inference failed: poison")]


def test_a_sequence_of_an_unknown_session_is_rejected_and_its_neighbours_are_stored(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    """The database refuses its rows; the whole batch is in one transaction."""
    stream.publish(make_window(predictor, 0))
    stream.publish(make_window(predictor, 1, session_id="01900000-0000-7000-8000-0000000000ff"))
    stream.publish(make_window(predictor, 2))
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts([0, 2])
    ((_, kept),) = stream.client.xrange(stream.rejected_name)
    assert b"FOREIGN KEY" in kept[b"reason"]


def test_a_dead_workers_sequences_are_taken_over_and_stored(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    for number in range(5):
        stream.publish(make_window(predictor, number))
    dead = CropStream(stream.client, stream.name, "dead")
    assert len(dead.read(3, 1)) == 3
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts(range(5))


def test_a_sequence_that_kills_its_workers_is_rejected_in_the_end(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    stream.publish(make_window(predictor, 0))
    stream.publish(make_window(predictor, 1))
    CropStream(stream.client, stream.name, "first").read(2, 1)
    for name in ("second", "third"):
        claimed = CropStream(stream.client, stream.name, name).claim_stale(0)
        assert claimed is not None and claimed.first_pts == 1
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts([1])
    assert list_rejections(sqlite_engine) == [(1, 2, "its worker died twice while it was alone with it")]


def test_what_could_not_be_committed_stays_pending_and_an_outage_is_not_held_against_it(
    stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    for number in range(6):
        stream.publish(make_window(predictor, number))
    mend = block_writes(sqlite_engine)
    # Whoever restarts workers during an outage restarts them more often than an entry may be tried.
    for _ in range(6):
        with pytest.raises(ServiceError, match="disk is full"):
            run_until_empty(stream, predictor, sqlite_engine, retry_s=0.0)
        assert stream.count_waiting() == 6 and stream.count_waiting_faces(SESSION) == 12
    mend()
    assert read_pts(sqlite_engine) == []
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts(range(6)) and list_rejections(sqlite_engine) == []


def test_what_was_committed_but_not_acknowledged_is_delivered_again_and_stored_once(
    tmp_path: Path, stream: CropStream, predictor: EmotionPredictor, sqlite_engine: sa.Engine
) -> None:
    with run_own_valkey(tmp_path / "own") as server:
        client = redis.Redis.from_url(server.url, protocol=2)
        doomed = CropStream(client, "crops")
        doomed.create_group()
        doomed.publish(make_window(predictor, 0))
        sa.event.listen(sqlite_engine, "commit", lambda _: server.kill(), once=True)
        with pytest.raises(ServiceError, match="out of reach"):
            options = LoopOptions(max_entries=4, **ALONE)
            run_inference([doomed], predictor, sqlite_engine, options, Patience(False, lambda: False), lambda: False)
        client.close()
    assert read_pts(sqlite_engine) == expect_pts([0])
    stream.publish(make_window(predictor, 0))
    run_until_empty(stream, predictor, sqlite_engine)
    assert read_pts(sqlite_engine) == expect_pts([0])


def test_two_workers_share_a_stream_without_a_row_too_many_or_too_few(
    stream: CropStream, model: Path, sqlite_engine: sa.Engine
) -> None:
    predictors = [EmotionPredictor(str(model), "cpu") for _ in range(2)]
    for number in range(60):
        stream.publish(make_window(predictors[0], number))
    errors: list[BaseException] = []

    def work(number: int) -> None:
        own = CropStream(stream.client, stream.name, f"worker-{number}")
        try:
            # Taking over so early that each also takes what the other still works on.
            run_until_empty(own, predictors[number], sqlite_engine, claim_after_s=0.002, retry_s=5.0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read_pts(sqlite_engine) == expect_pts(range(60)) and list_rejections(sqlite_engine) == []


def test_a_worker_that_is_asked_to_stop_finishes_what_it_holds(
    stream: CropStream,
    model: Path,
    predictor: EmotionPredictor,
    sqlite_engine: sa.Engine,
    environment: dict[str, str],
) -> None:
    for number in range(400):
        stream.publish(make_window(predictor, number))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli.main", "run-inference", stream.name, str(model), "cpu", "0", "0"],
        env={**environment, "EMOTRACE_DATABASE_URL": str(sqlite_engine.url), "_EMOTRACE_PARENT_PID": str(os.getpid())},
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while stream.count_waiting() > 380 and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    waiting = stream.count_waiting()
    assert 0 < waiting < 400
    assert stream.client.xpending(stream.name, GROUP)["pending"] == 0, "it left nothing half done"
    assert len(read_pts(sqlite_engine)) == 2 * (400 - waiting)
