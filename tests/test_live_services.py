"""Cameras while Redis or the database is away, slow, or gone for good: they wait, count what they skip, and go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import redis
import sqlalchemy as sa
from camera_runs import LANE, Running, add_camera, camera_running, configure, read_state, wait_for, worker_running
from make_videos import read_pictures
from proxy import Proxy, run_proxy
from rtsp_server import Act, encode_clip, run_camera
from valkey_process import run_own_valkey

from contracts import camera_sessions, ledger, sealing, store
from contracts.database import open_database, read_transaction
from contracts.embedded import run_valkey
from contracts.leases import acquire_lease, renew_lease
from contracts.ledger import Ledger
from contracts.pressure import read_pressure
from contracts.schema import emotions, sessions
from contracts.stream_state import LIVE
from workers.scheduler import Scheduler

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def list_sessions(engine: sa.Engine) -> list[store.Row]:
    with read_transaction(engine) as connection:
        query = sa.select(sessions).order_by(sessions.c.started_at)
        return [dict(row) for row in connection.execute(query).mappings()]


def count_rows(engine: sa.Engine) -> int:
    with read_transaction(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(emotions)).scalar_one())


def count_frames(engine: sa.Engine) -> int:
    return sum(row["num_frames"] or 0 for row in list_sessions(engine))


def check_sealed(engine: sa.Engine, num_sessions: int | None = 1) -> list[Ledger]:
    """Seal every session once all rows are there, and check that all is accounted for; return the ledgers."""
    ids = [row["session_id"] for row in list_sessions(engine)]

    def have_rows() -> bool:
        with read_transaction(engine) as connection:
            return all(number <= 0 for number in sealing.count_missing_faces(connection, ids).values())

    wait_for(have_rows, "the last rows")
    with engine.begin() as connection:
        ledgers = [sealing.seal_session(connection, session_id) for session_id in ids]
    found = list_sessions(engine)
    assert num_sessions is None or len(found) == num_sessions
    for row, one in zip(found, ledgers, strict=True):
        assert one.find_imbalances() == [] and one.rejected == 0 and one.rows == one.published
        assert row["status"] == store.COMPLETE and row["epoch"] == 1, row["error"]
        assert row["started_at"] <= row["ended_at"]
    for before, after in pairwise(found):
        assert before["ended_at"] <= after["started_at"]
    return ledgers


@contextmanager
def scheduler_running(client: redis.Redis, engine: sa.Engine, lost_s: float = 60.0) -> Iterator[None]:
    running = Running(Scheduler(client, engine, lost_s).run)
    try:
        yield
    finally:
        running.stop()


@pytest.fixture
def proxied_database(engine: sa.Engine) -> Iterator[tuple[Proxy, str]]:
    """A proxy to PostgreSQL, and the URL of the database behind it."""
    url = engine.url
    with run_proxy(f"{url.query['host']}/.s.PGSQL.{url.port or 5432}") as proxy:
        behind = url.set(host="127.0.0.1", port=proxy.port, query={}, drivername="postgresql")
        yield proxy, behind.render_as_string(hide_password=False)


# Redis


def test_a_redis_that_is_killed_and_comes_back_with_its_file_costs_counted_frames_and_no_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sqlite_engine: sa.Engine, carphone: Path
) -> None:
    # Room for a few windows: two seconds of one face.
    monkeypatch.setattr("ingest.outbox._MAX_BYTES", 500_000)
    with run_own_valkey(tmp_path / "own") as server:
        configure(monkeypatch, tmp_path, server.url, sqlite_engine)
        monkeypatch.setenv("EMOTRACE_RETRY_S", "60")
        camera = add_camera(sqlite_engine, carphone)
        with worker_running(), camera_running(camera) as run:
            wait_for(lambda: count_rows(sqlite_engine) >= 10, "rows")
            server.kill()
            before = count_frames(sqlite_engine)
            wait_for(lambda: count_frames(sqlite_engine) > before + 180, "reading to go on")
            assert run.is_alive
            with run_valkey(tmp_path / "own"):
                before = count_rows(sqlite_engine)
                wait_for(lambda: count_rows(sqlite_engine) > before + 15, "rows again")
                client = redis.Redis.from_url(server.url)
                state = read_state(client, camera)
                assert state is not None and state.state == LIVE and state.message == ""
                client.close()
                assert run.stop() == "stopped"
                (found,) = check_sealed(sqlite_engine)
    assert found.skipped[ledger.BACKPRESSURE] > 0 and ledger.INTERRUPTED not in found.skipped


def test_a_slow_way_to_redis_lowers_the_rate_and_every_face_arrives(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    sqlite_engine: sa.Engine,
    carphone: Path,
) -> None:
    with run_proxy(valkey_url.removeprefix("unix://")) as proxy:
        configure(monkeypatch, tmp_path, f"redis://127.0.0.1:{proxy.port}/0", sqlite_engine)
        camera = add_camera(sqlite_engine, carphone)
        with camera_running(camera):
            wait_for(lambda: valkey.xlen(LANE) > 2, "windows")
            proxy.bytes_per_s = 60_000
            wait_for(lambda: (state := read_state(valkey, camera)) and state.fps < state.asked_fps, "a lower rate")
            proxy.bytes_per_s = 0
        monkeypatch.setenv("EMOTRACE_REDIS_URL", valkey_url)
        with worker_running():
            (found,) = check_sealed(sqlite_engine)
    assert found.skipped[ledger.BACKPRESSURE] > 0


def test_a_session_that_ended_while_redis_was_away_is_not_sealed_before_its_windows_come(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    sqlite_engine: sa.Engine,
    carphone: Path,
) -> None:
    pictures = read_pictures(carphone, limit=40)
    clip = encode_clip(40, 176, 144, picture=lambda index: pictures[index])
    with run_proxy(valkey_url.removeprefix("unix://")) as proxy, run_camera(Act(clip, 20, close_at=60)) as server:
        configure(monkeypatch, tmp_path, f"redis://127.0.0.1:{proxy.port}/0", sqlite_engine)
        camera = add_camera(sqlite_engine, server.url)
        client = redis.Redis(port=proxy.port, socket_timeout=5)
        with scheduler_running(client, sqlite_engine, lost_s=4.0), camera_running(camera) as run:
            wait_for(lambda: valkey.xlen(LANE) > 2, "windows")
            proxy.cut()
            wait_for(lambda: len(list_sessions(sqlite_engine)) >= 4, "sessions")
            proxy.mend()
            # Longer than what makes a window that nobody hands over a lost one.
            time.sleep(6)
            monkeypatch.setenv("EMOTRACE_REDIS_URL", valkey_url)
            with worker_running():
                run.stop()
                check_sealed(sqlite_engine, None)
        client.close()


def test_what_another_release_noted_of_the_pressure_is_measured_anew(valkey: redis.Redis) -> None:
    valkey.set(f"emotrace:pressure:{LANE}", b'{"of": "another release"}')
    assert read_pressure(valkey, LANE).num_waiting == 0


@pytest.fixture
def ingest_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[psutil.Popen]]:
    """A place for ingest hosts; what is left of them is ended with the test."""
    hosts: list[psutil.Popen] = []
    yield hosts
    for host in hosts:
        for process in [*host.children(recursive=True), host]:
            process.kill()
        host.wait()


def test_workers_that_die_while_redis_is_away_are_replaced_once_it_is_back_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sqlite_engine: sa.Engine,
    carphone: Path,
    ingest_host: list[psutil.Popen],
) -> None:
    with run_own_valkey(tmp_path / "own") as server:
        configure(monkeypatch, tmp_path, server.url, sqlite_engine)
        camera = add_camera(sqlite_engine, carphone)
        client = redis.Redis.from_url(server.url)
        with (tmp_path / "ingest.log").open("w") as log:
            command = [sys.executable, "-P", "-m", "cli.main", "ingest", "--capacity", "1", "--parts", "0"]
            ingest_host.append(psutil.Popen(command, stderr=log))
        with scheduler_running(client, sqlite_engine):
            wait_for(lambda: (state := read_state(client, camera)) and state.state == LIVE, "the camera")
            state = read_state(client, camera)
            assert state is not None
            worker = psutil.Process(state.pid).parent()
            assert worker is not None
            idle = {child.pid for child in ingest_host[0].children()} - {worker.pid}
            server.kill()
            os.kill(state.pid, signal.SIGKILL)
            wait_for(lambda: worker not in ingest_host[0].children(), "the worker to give up")
            seen = set()
            end = time.monotonic() + 4
            while time.monotonic() < end:
                seen |= {child.pid for child in ingest_host[0].children()}
                time.sleep(0.02)
            assert seen <= idle, "workers that cannot begin are not started again and again"
            assert ingest_host[0].poll() is None
            with run_valkey(tmp_path / "own"):
                wait_for(lambda: len(list_sessions(sqlite_engine)) == 2, "the next run")
        client.close()
    assert [row["epoch"] for row in list_sessions(sqlite_engine)] == [1, 2]


# The database


@on_postgresql
@pytest.mark.parametrize("fault", ["cut", "silence"])
def test_a_database_that_is_away_for_longer_than_the_lease_costs_counted_frames_and_no_row(
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    engine: sa.Engine,
    proxied_database: tuple[Proxy, str],
    carphone: Path,
) -> None:
    proxy, url = proxied_database
    configure(monkeypatch, tmp_path, valkey_url, engine, database_url=url)
    monkeypatch.setenv("EMOTRACE_LEASE_S", "2")
    monkeypatch.setenv("EMOTRACE_RETRY_S", "60")
    camera = add_camera(engine, carphone)
    with worker_running():
        with camera_running(camera) as run:
            wait_for(lambda: count_rows(engine) >= 10, "rows")
            getattr(proxy, fault)()
            wait_for(
                lambda: (state := read_state(valkey, camera)) and state.skipped.get(ledger.INTERRUPTED, 0) >= 10,
                "frames that are skipped",
            )
            assert run.is_alive
            proxy.mend()
            before = count_rows(engine)
            wait_for(lambda: count_rows(engine) > before + 15, "rows again")
            assert run.stop() == "stopped"
        (found,) = check_sealed(engine)
    assert found.skipped[ledger.INTERRUPTED] >= 10


def test_a_sqlite_file_that_is_locked_for_longer_than_the_lease_costs_counted_frames_and_no_row(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    sqlite_engine: sa.Engine,
    carphone: Path,
) -> None:
    monkeypatch.setattr("contracts.database._BUSY_TIMEOUT_MS", 500)
    configure(monkeypatch, tmp_path, valkey_url, sqlite_engine)
    monkeypatch.setenv("EMOTRACE_LEASE_S", "2")
    camera = add_camera(sqlite_engine, carphone)
    with worker_running():
        with camera_running(camera):
            wait_for(lambda: count_rows(sqlite_engine) >= 10, "rows")
            with sqlite_engine.begin():
                wait_for(
                    lambda: (state := read_state(valkey, camera)) and state.skipped.get(ledger.INTERRUPTED, 0) >= 10,
                    "frames that are skipped",
                )
            before = count_rows(sqlite_engine)
            wait_for(lambda: count_rows(sqlite_engine) > before + 15, "rows again")
        (found,) = check_sealed(sqlite_engine)
    assert found.skipped[ledger.INTERRUPTED] >= 10


@on_postgresql
def test_sessions_that_begin_and_end_while_the_database_is_away_are_stored_with_their_own_times(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey_url: str,
    engine: sa.Engine,
    proxied_database: tuple[Proxy, str],
) -> None:
    proxy, url = proxied_database
    with run_camera(Act(encode_clip(40), 20, close_at=20)) as server:
        configure(monkeypatch, tmp_path, valkey_url, engine)
        monkeypatch.setenv("EMOTRACE_DATABASE_URL", url)
        camera = add_camera(engine, server.url)
        with camera_running(camera):
            wait_for(lambda: len(list_sessions(engine)) >= 2, "sessions")
            proxy.cut()
            num_before = server.num_connections
            wait_for(lambda: server.num_connections >= num_before + 4, "reconnects")
            proxy.mend()
            wait_for(lambda: len(list_sessions(engine)) >= num_before + 4, "their sessions")
    ledgers = check_sealed(engine, None)
    assert sum(found.packets for found in ledgers[:-1]) == sum(server.num_sent[: len(ledgers) - 1])
    for row in list_sessions(engine)[:-1]:
        assert row["ended_at"] - row["started_at"] < 4, "a second of video each"


@on_postgresql
def test_a_run_can_be_stopped_while_its_database_hangs(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    engine: sa.Engine,
    proxied_database: tuple[Proxy, str],
    carphone: Path,
) -> None:
    proxy, url = proxied_database
    configure(monkeypatch, tmp_path, valkey_url, engine, database_url=url)
    camera = add_camera(engine, carphone)
    process = subprocess.Popen([sys.executable, "-m", "cli.main", "run-camera", camera])
    try:
        wait_for(lambda: (state := read_state(valkey, camera)) and state.analysed, "frames")
        proxy.silence()
        time.sleep(2)
        process.terminate()
        assert process.wait(25) == 0
    finally:
        process.kill()
        process.wait()
        proxy.cut()


@on_postgresql
def test_a_host_that_is_cut_off_in_the_middle_of_a_transaction_keeps_no_lease_locked(
    monkeypatch: pytest.MonkeyPatch, engine: sa.Engine, proxied_database: tuple[Proxy, str]
) -> None:
    monkeypatch.setattr("contracts.database._POSTGRESQL_STANDSTILL_MS", 1500)
    proxy, url = proxied_database
    with engine.begin() as connection:
        lease = acquire_lease(connection, "a", "one", lease_s=1.0)
    assert lease is not None
    cut_off = open_database(url)
    with cut_off.connect() as standing:
        standing.begin()
        renew_lease(standing, lease, lease_s=1.0)
        proxy.silence()
        with engine.begin() as connection:
            begin_s = time.monotonic()
            moved = acquire_lease(connection, "a", "two", lease_s=5.0)
        assert moved is not None and moved.epoch == 2 and time.monotonic() - begin_s < 10
        proxy.cut()
        standing.invalidate()
    cut_off.dispose()


# Runs that die


def test_the_last_windows_of_a_dead_run_are_stored_however_late_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    sqlite_engine: sa.Engine,
    carphone: Path,
) -> None:
    configure(monkeypatch, tmp_path, valkey_url, sqlite_engine)
    camera = add_camera(sqlite_engine, carphone)
    process = subprocess.Popen([sys.executable, "-m", "cli.main", "run-camera", camera])
    try:
        wait_for(lambda: valkey.xlen(LANE) >= 10, "windows")
    finally:
        process.kill()
        process.wait()
    handed_over = sum(int(fields[b"faces"]) for _, fields in valkey.xrange(LANE))
    with sqlite_engine.begin() as connection:
        lease = acquire_lease(connection, camera, "another", force=True)
        assert lease is not None and camera_sessions.end_lost_sessions(connection, lease) == 1
    scheduler = Scheduler(valkey, sqlite_engine)
    assert scheduler.tick()
    assert list_sessions(sqlite_engine)[0]["status"] == store.ENDED, "no worker has read anything yet"
    with worker_running():
        wait_for(lambda: valkey.xlen(LANE) == 0, "the worker")
    assert count_rows(sqlite_engine) == handed_over
    with sqlite_engine.begin() as connection:
        (row,) = camera_sessions.list_ended(connection)
        found = sealing.seal_session(connection, row["session_id"])
    assert found.find_imbalances() == [] and found.rows == found.published == handed_over
