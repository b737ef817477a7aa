"""Cameras for tests of whole runs: a stream that plays a clip, its run in a thread, and a worker for its crops."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from contracts import cameras, store
from contracts.encryption import find_secret_key
from contracts.lanes import LIVE, name_lane
from contracts.model_card import DEFAULT_MODEL, read_card
from contracts.settings import read_settings
from contracts.sources import parse_source
from contracts.stream_state import StreamState, read_states
from ingest.camera_run import run_camera
from workers.inference import run_worker

LANE = name_lane(LIVE, read_card(DEFAULT_MODEL).model_id)


def configure(
    monkeypatch: pytest.MonkeyPatch, data_dir: Path, redis_url: str, engine: sa.Engine, database_url: str | None = None
) -> None:
    """Have runs in this process use the test's services, the database by another way where ``database_url`` is one."""
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(data_dir))
    monkeypatch.setenv("EMOTRACE_REDIS_URL", redis_url)
    url = database_url or engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("EMOTRACE_DATABASE_URL", url)
    monkeypatch.setenv("EMOTRACE_LEASE_S", "5")
    monkeypatch.setenv("EMOTRACE_CAMERA_READ_TIMEOUT_S", "2")
    monkeypatch.setenv("EMOTRACE_CAMERA_MIN_BACKOFF_S", "0.1")
    monkeypatch.setenv("EMOTRACE_CAMERA_MAX_BACKOFF_S", "0.5")


def add_camera(
    engine: sa.Engine,
    url: object,
    name: str = "door",
    fps: float = 10,
    profile: str = "live",
    transport: str | None = None,
) -> str:
    """Add an enabled stream and return its id."""
    stream_id = store.make_uuid7()
    with engine.begin() as connection:
        cameras.add_stream(
            connection,
            find_secret_key(read_settings()),
            stream_id=stream_id,
            name=name,
            source=parse_source(str(url)),
            profile=profile,
            fps=fps,
            transport=transport,
            enabled=True,
        )
    return stream_id


class Running:
    """A function in a thread, until ``stop``; ``result`` is what it returned."""

    def __init__(self, target: Callable[[Callable[[], bool]], object]) -> None:
        self._stop = threading.Event()
        self.result: object = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(target,))
        self._thread.start()

    def _run(self, target: Callable[[Callable[[], bool]], object]) -> None:
        try:
            self.result = target(self._stop.is_set)
        except BaseException as error:  # a test looks at it
            self.error = error

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def stop(self, timeout_s: float = 30) -> object:
        self._stop.set()
        self._thread.join(timeout_s)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


@contextmanager
def camera_running(stream_id: str) -> Iterator[Running]:
    """Run a camera while the context lasts."""
    running = Running(lambda should_stop: run_camera(stream_id, should_stop))
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def worker_running() -> Iterator[Running]:
    """Serve the live lane while the context lasts."""
    running = Running(lambda should_stop: run_worker(LANE, DEFAULT_MODEL, "cpu", 0.0, 30.0, should_stop))
    try:
        yield running
    finally:
        running.stop()


def wait_for(condition: Callable[[], object], what: str, limit_s: float = 40.0) -> None:
    """Wait until ``condition``; fail with ``what`` after ``limit_s`` seconds."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"waited {limit_s} s for {what}"
        time.sleep(0.05)


def read_state(client: object, stream_id: str) -> StreamState | None:
    """Return what a stream's run tells of itself."""
    return read_states(client, [stream_id]).get(stream_id)  # type: ignore[arg-type]
