"""Inference workers in a cluster share lanes fairly, and come, go, die and wait without a row lost."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import redis
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from valkey_process import run_own_valkey
from worker_runs import (
    SESSION,
    block_writes,
    expect_pts,
    list_rejections,
    make_tiny_model,
    make_window,
    read_pts,
    record_session,
)

from contracts.database import migrate, open_database
from contracts.lanes import BATCH, LIVE, name_lane
from contracts.messages import VERSION
from contracts.patience import Patience
from contracts.stream import GROUP, PARKED_AT_MOST_S, CropStream
from contracts.worker_state import WorkerState, list_worker_states, publish_worker_state, remove_worker_state
from models.predictor import EmotionPredictor
from workers.loop import LoopOptions, run_inference
from workers.prefetch import share_places


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def predictor(model: Path) -> "WatchedPredictor":
    return WatchedPredictor(str(model), "cpu")


@pytest.fixture
def engine(sqlite_engine: sa.Engine, predictor: EmotionPredictor) -> sa.Engine:
    """A database with the session whose windows ``make_window`` makes."""
    record_session(sqlite_engine, predictor)
    return sqlite_engine


@pytest.fixture
def lanes(valkey: redis.Redis, predictor: EmotionPredictor) -> list[CropStream]:
    return make_lanes(valkey, predictor, "worker-1")


def make_lanes(client: redis.Redis, predictor: EmotionPredictor, consumer: str | None) -> list[CropStream]:
    names = [name_lane(lane, predictor.card.model_id) for lane in (LIVE, BATCH)]
    lanes = [CropStream(client, name, consumer, retry_s=0.5) for name in names]
    for lane in lanes:
        lane.create_group()
    return lanes


class WatchedPredictor(EmotionPredictor):
    """Remembers each batch by the first crops' times, and calls ``before`` first: what happens while it computes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.batches: list[list[float]] = []
        self.before: Callable[[], None] = lambda: None

    def predict(
        self, windows: Sequence[NDArray[np.uint8]], times_s: Sequence[Sequence[float]]
    ) -> list[NDArray[np.float32]]:
        if windows:
            self.batches.append([times[0] for times in times_s])
            self.before()
        return super().predict(windows, times_s)


def publish(lane: CropStream, predictor: EmotionPredictor, numbers: Sequence[int]) -> None:
    """Publish windows that are known by their first time, their number."""
    for number in numbers:
        lane.publish(make_window(predictor, number, times_s=(float(number), number + 0.1, number + 0.2)))


class Worker:
    """A worker of a cluster in a thread: it waits for services that are away."""

    def __init__(
        self, lanes: Sequence[CropStream], predictor: EmotionPredictor, engine: sa.Engine, **changes: Any
    ) -> None:
        options = LoopOptions(
            **{"max_entries": 8, "gather_s": 0.0, "claim_after_s": 1.0, "retry_s": 0.2, "leaves_newer": True, **changes}
        )
        self._is_asked = False
        self.reports: list[int] = []
        self.error: BaseException | None = None
        self.patience = patience = Patience(True, lambda: self._is_asked)

        def work() -> None:
            try:
                run_inference(lanes, predictor, engine, options, patience, lambda: self._is_asked, self.reports.append)
            except BaseException as error:
                self.error = error

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def stop(self) -> None:
        self._is_asked = True
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.fixture
def start(engine: sa.Engine) -> Iterator[Callable[..., Worker]]:
    """Start a worker; one that a failed test leaves behind is ended."""
    started: list[Worker] = []

    def start(lanes: Sequence[CropStream], predictor: EmotionPredictor, **changes: Any) -> Worker:
        started.append(Worker(lanes, predictor, engine, **changes))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()


def wait_until(is_so: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.01)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=4), st.integers(4, 100))
def test_a_batch_is_filled_with_what_waits_and_every_lane_is_sure_of_a_share(waiting: list[int], places: int) -> None:
    shares = share_places(waiting, places)
    assert sum(shares) == min(sum(waiting), places), "no place stays empty while something waits"
    for share, count in zip(shares, waiting, strict=True):
        assert min(count, max(1, places // 8)) <= share <= count
    assert share_places([300, 300], 8) == [7, 1] and share_places([2, 300], 8) == [2, 6]


def test_a_cameras_window_is_in_the_next_batch_however_much_of_an_archive_waits(
    lanes: list[CropStream], predictor: WatchedPredictor, engine: sa.Engine, start: Callable[..., Worker]
) -> None:
    live, batch = lanes
    publish(batch, predictor, range(200))
    published_during: dict[int, int] = {}

    def publish_live() -> None:
        number = len(predictor.batches)
        if number % 3 == 0 and number <= 15:
            published_during[1000 + number] = number
            publish(live, predictor, [1000 + number])
            wait_until(lambda: live.client.xpending(live.name, GROUP)["pending"] > 0, "the reading ahead")
            time.sleep(0.05)  # it is read; decoding it takes a moment

    predictor.before = publish_live
    worker = start(lanes, predictor)
    wait_until(lambda: sum(lane.count_waiting() for lane in lanes) == 0, "the end")
    worker.stop()
    assert worker.error is None
    for window, during in published_during.items():
        # Batches are counted from 1, so that the one after the n-th has the index n.
        assert window in predictor.batches[during], "it came while one batch was computed, and is in the next"
    assert read_pts(engine) == expect_pts([*range(200), *published_during])
    assert all(len(batch) <= 8 for batch in predictor.batches)


def test_an_archive_goes_on_although_cameras_could_fill_every_batch(
    lanes: list[CropStream], predictor: WatchedPredictor, engine: sa.Engine, start: Callable[..., Worker]
) -> None:
    live, batch = lanes
    publish(live, predictor, range(160))
    publish(batch, predictor, range(1000, 1010))
    published = 160

    def keep_full() -> None:
        nonlocal published
        if batch.count_waiting():
            publish(live, predictor, range(published, published + 8))
            published += 8

    predictor.before = keep_full
    worker = start(lanes, predictor)
    wait_until(lambda: batch.count_waiting() == 0, "the archive's end")
    wait_until(lambda: sum(lane.count_waiting() for lane in lanes) == 0, "the end")
    worker.stop()
    assert worker.error is None
    last = max(index for index, windows in enumerate(predictor.batches) if any(one >= 1000 for one in windows))
    # One in each batch; the first ones may find a lane not read yet.
    assert last < 30
    for windows in predictor.batches[2:last]:
        assert sum(window < 1000 for window in windows) <= 7
    assert read_pts(engine) == expect_pts([*range(published), *range(1000, 1010)])


def test_a_worker_that_is_told_to_stop_stores_what_it_has_read_ahead(
    lanes: list[CropStream], predictor: WatchedPredictor, engine: sa.Engine, start: Callable[..., Worker]
) -> None:
    for lane, first in zip(lanes, (0, 500), strict=True):
        publish(lane, predictor, range(first, first + 300))
    worker = start(lanes, predictor)
    wait_until(lambda: len(predictor.batches) > 3, "the middle")
    worker.stop()
    assert worker.error is None
    waiting = sum(lane.count_waiting() for lane in lanes)
    assert 0 < waiting < 590
    assert len(read_pts(engine)) == 2 * (600 - waiting)
    assert [lane.client.xpending(lane.name, GROUP)["pending"] for lane in lanes] == [0, 0]


def test_a_worker_outlives_its_database_and_nobody_takes_what_it_holds(
    lanes: list[CropStream],
    predictor: WatchedPredictor,
    engine: sa.Engine,
    start: Callable[..., Worker],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    live, _ = lanes
    mend = block_writes(engine)
    publish(live, predictor, range(40))
    worker = start(lanes, predictor, claim_after_s=3.0)
    heir = CropStream(live.client, live.name, "worker-2")
    end = time.monotonic() + 5
    while time.monotonic() < end:
        assert heir.claim_stale(3000) is None, "the worker that waits still holds it"
        assert live.client.xpending(live.name, GROUP)["pending"] <= 16, "it holds a batch and what it read ahead"
        time.sleep(0.05)
    assert "disk is full" in worker.patience.problem
    assert worker.reports.count(0) > 1, "it says that it lives"
    mend()
    wait_until(lambda: live.count_waiting() == 0, "the end")
    worker.stop()
    assert worker.error is None and worker.patience.problem == ""
    assert read_pts(engine) == expect_pts(range(40)) and list_rejections(engine) == []
    said = [record.getMessage() for record in caplog.records if record.name == "contracts.patience"]
    assert len(said) == 2, "that it is away, and that it is back"
    assert "the database is away, waiting for it: " in said[0] and "disk is full" in said[0]
    assert said[1] == "the database is back"


def test_a_worker_outlives_its_redis(
    tmp_path: Path,
    predictor: WatchedPredictor,
    engine: sa.Engine,
    start: Callable[..., Worker],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    with run_own_valkey(tmp_path / "own") as server:
        client = redis.Redis.from_url(server.url, protocol=2)
        client.config_set("appendfsync", "always")  # what was published is not to be lost: that is another test's
        lanes = make_lanes(client, predictor, "worker-1")
        publish(lanes[1], predictor, range(100))
        worker = start(lanes, predictor)
        wait_until(lambda: len(predictor.batches) > 3, "the middle")
        server.kill()
    wait_until(lambda: any("Redis is away" in record.getMessage() for record in caplog.records), "the word of it")
    time.sleep(1)
    with run_own_valkey(tmp_path / "own"):
        wait_until(lambda: lanes[1].count_waiting() == 0, "the end")
        worker.stop()
        client.close()
    assert worker.error is None
    assert read_pts(engine) == expect_pts(range(100)) and list_rejections(engine) == []
    said = [record.getMessage() for record in caplog.records if record.name == "contracts.patience"]
    assert len(said) == 2 and said[1] == "Redis is back"


def test_a_message_of_a_newer_version_is_left_to_a_newer_worker(
    lanes: list[CropStream], predictor: WatchedPredictor, engine: sa.Engine, start: Callable[..., Worker]
) -> None:
    live, _ = lanes
    publish(live, predictor, [1])
    live.publish(make_window(predictor, 2))
    # What a newer ingest sends; another one has found no newer worker for longer than it may wait.
    newer = msgspec.msgpack.encode(make_window(predictor, 3, version=VERSION + 1))
    named = {"payload": newer, "session": SESSION, "track": 1, "first_pts": 31, "faces": 2}
    live.client.xadd(live.name, named)
    old_name = f"{live.name}-old"
    old = CropStream(live.client, old_name, "worker-1")
    old.client.xadd(old_name, {**named, "first_pts": 41}, id=f"{round(time.time() - PARKED_AT_MOST_S - 60) * 1000}-0")
    worker = start([live, old], predictor)
    wait_until(lambda: live.count_waiting() == 1 and old.count_waiting() == 0, "the rest")
    time.sleep(2.5)
    worker.stop()
    assert worker.error is None
    assert read_pts(engine) == expect_pts([1, 2])
    ((first_pts, _, reason),) = list_rejections(engine)
    assert first_pts == 41 and f"version {VERSION + 1}; this release reads {VERSION}" in reason
    assert live.count_waiting_faces(SESSION) == 2, "the ledger counts it as waiting"
    heir = CropStream(live.client, live.name, "worker-2")
    assert heir.claim_stale(1000) is None, "no worker of this release takes it up again"


def test_a_parked_message_is_at_once_there_for_a_worker_that_reads_it(
    lanes: list[CropStream], predictor: EmotionPredictor
) -> None:
    live, _ = lanes
    publish(live, predictor, [1])
    (entry,) = live.read(1, 1)
    # As a worker of the release before would have left it.
    live.park(entry, VERSION)
    newer = CropStream(live.client, live.name, "worker-2").claim_stale(30_000)
    assert newer is not None and newer.num_deliveries == 1


def test_worker_states_are_listed_until_the_worker_ends_or_falls_silent(valkey: redis.Redis) -> None:
    state = WorkerState("a-1", "a", 1, "cpu", "torch in bfloat16", "m-1", "live,batch", 5, 1.5, 10.0, 20.0)
    other = WorkerState("b-2", "b", 2, "cpu", "torch", "m-1", "live", 0, 0.0, 10.0, time.time(), "Redis is full.")
    for one in (other, state):
        publish_worker_state(valkey, one)
    valkey.hset("emotrace:worker:stranger", "host", "x")
    assert list_worker_states(valkey) == [state, other] and other.age_s < 60 < state.age_s
    assert 0 < valkey.ttl("emotrace:worker:a-1") <= 15
    remove_worker_state(valkey, "a-1")
    assert list_worker_states(valkey) == [other]


@pytest.fixture
def run_process(model: Path, environment: dict[str, str]) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start ``emotrace inference`` with the small model."""
    started = []

    def run(*options: str, **variables: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.main", "inference", "--model", str(model), "--device", "cpu", *options],
            # Its parent is named, so that it does not wait for a Redis of a test run that was killed.
            env={
                **environment,
                "EMOTRACE_CLAIM_AFTER_S": "5",
                "_EMOTRACE_PARENT_PID": str(os.getpid()),
                **variables,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def find_free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int, what: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def test_a_killed_workers_windows_are_stored_by_another_and_a_stopped_one_leaves_nothing(
    valkey: redis.Redis,
    predictor: EmotionPredictor,
    tmp_path: Path,
    run_process: Callable[..., "subprocess.Popen[str]"],
) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    engine = open_database(url)
    migrate(engine)
    record_session(engine, predictor)
    lanes = make_lanes(valkey, predictor, "test")
    publish(lanes[0], predictor, range(300))
    publish(lanes[1], predictor, range(1000, 1300))
    first = run_process(EMOTRACE_DATABASE_URL=url)
    wait_until(lambda: sum(lane.count_waiting() for lane in lanes) < 560, "the first rows")
    first.send_signal(signal.SIGSTOP)
    pending = sum(lane.client.xpending(lane.name, GROUP)["pending"] for lane in lanes)
    first.kill()
    assert pending > 0 and read_pts(engine) != expect_pts([*range(300), *range(1000, 1300)])
    port = find_free_port()
    second = run_process("--health-port", str(port), EMOTRACE_DATABASE_URL=url)
    wait_until(lambda: sum(lane.count_waiting() for lane in lanes) == 0, "the end")
    states = {state.pid: state for state in list_worker_states(valkey)}
    assert states[second.pid].lanes == "live,batch" and states[second.pid].model_id == predictor.card.model_id
    assert ask(port, "ready") == (200, '{"ok": true}\n') and ask(port, "live")[0] == 200
    shown = ask(port, "metrics")[1]
    assert 'emotrace_rows_stored_total{lane="live"}' in shown and 'emotrace_entries_claimed_total{lane="' in shown
    assert "emotrace_predict_seconds_sum" in shown and 'emotrace_commit_latency_seconds_sum{lane="batch"}' in shown
    second.send_signal(signal.SIGTERM)
    _, said = second.communicate(timeout=60)
    assert second.returncode == 0, said
    assert "all that was read is stored" in said
    assert second.pid not in {state.pid for state in list_worker_states(valkey)}
    assert read_pts(engine) == expect_pts([*range(300), *range(1000, 1300)]) and list_rejections(engine) == []
    engine.dispose()


def test_a_worker_that_starts_before_its_redis_waits_for_it(
    tmp_path: Path, run_process: Callable[..., "subprocess.Popen[str]"], valkey: redis.Redis
) -> None:
    port = find_free_port()
    process = run_process("--health-port", str(port), EMOTRACE_REDIS_URL=f"unix://{tmp_path / 'nobody.sock'}")
    assert process.stderr is not None
    while "Redis is away, waiting for it" not in (line := process.stderr.readline()):
        assert line, "it ended"
    assert process.poll() is None
    code, said = ask(port, "ready")
    assert code == 503 and "Redis is out of reach" in said and ask(port, "live")[0] == 200
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 7 and "Redis is out of reach" in said and "Traceback" not in said


def test_a_lane_that_does_not_exist_is_refused_at_once(run_emotrace: Callable[..., Any]) -> None:
    done = run_emotrace("inference", "--lanes", "live,fast")
    assert done.returncode == 2 and "Expected one or more of live,batch" in done.stderr
