"""Camera jobs on RQ: they match the table of streams, outlive RQ's limits, and move once when something dies."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import redis
import sqlalchemy as sa
from camera_runs import Running, add_camera, configure, read_state, wait_for
from rq import Callback, Queue
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now

from contracts import cameras, store
from contracts.database import read_transaction
from contracts.encryption import find_secret_key
from contracts.jobs import CAMERAS, CameraJobs, OwnJob, name_job
from contracts.leases import list_held
from contracts.schema import sessions
from contracts.settings import read_settings
from contracts.stream_state import LIVE
from workers.scheduler import Scheduler

Start = Callable[[], psutil.Popen]


@pytest.fixture
def camera(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    sqlite_engine: sa.Engine,
    carphone: Path,
) -> str:
    configure(monkeypatch, tmp_path, valkey_url, sqlite_engine)
    return add_camera(sqlite_engine, carphone)


@pytest.fixture
def start_ingest() -> Iterator[Start]:
    """Start ingest hosts of one camera each; what is left of them is ended with the test."""
    hosts: list[psutil.Popen] = []

    def start() -> psutil.Popen:
        hosts.append(
            psutil.Popen([sys.executable, "-P", "-m", "cli.main", "ingest", "--capacity", "1", "--parts", "0"])
        )
        return hosts[-1]

    yield start
    for host in hosts:
        family = [host, *host.children(recursive=True)] if host.is_running() else []
        for process in family:
            if process.is_running():
                process.kill()
        host.wait()


@contextmanager
def scheduler_running(client: redis.Redis, engine: sa.Engine) -> Iterator[Scheduler]:
    scheduler = Scheduler(client, engine)
    running = Running(scheduler.run)
    try:
        yield scheduler
    finally:
        running.stop()


def list_epochs(engine: sa.Engine) -> list[int]:
    with read_transaction(engine) as connection:
        return list(connection.execute(sa.select(sessions.c.epoch).order_by(sessions.c.started_at)).scalars())


def find_holder(engine: sa.Engine, stream_id: str) -> str | None:
    with read_transaction(engine) as connection:
        return list_held(connection).get(stream_id)


def is_live(client: redis.Redis, stream_id: str) -> bool:
    state = read_state(client, stream_id)
    return state is not None and state.state == LIVE


def test_a_wanted_stream_gets_one_job_and_one_that_is_no_longer_wanted_none(valkey: redis.Redis) -> None:
    jobs = CameraJobs(valkey)
    assert jobs.reconcile(["a", "b"], held=[]).enqueued == {"a": "new", "b": "new"}
    again = CameraJobs(valkey).reconcile(["a", "b"], held=[])
    assert not again.enqueued and not again.removed
    assert jobs.count_waiting() == 2
    assert jobs.reconcile(["b"], held=[]).removed == ["a"]
    job = Job.fetch(name_job("b"), connection=valkey, serializer=JSONSerializer)
    assert (job.kwargs, job.timeout) == ({"stream_id": "b"}, -1)
    assert jobs.reconcile([], held=[]).removed == ["b"]
    assert jobs.count_waiting() == 0


def test_a_stream_whose_lease_is_held_needs_no_job_whatever_the_queue_says(valkey: redis.Redis) -> None:
    assert not CameraJobs(valkey).reconcile(["a"], held=["a"]).enqueued
    assert CameraJobs(valkey).count_waiting() == 0


def test_a_run_whose_lease_expired_while_the_database_was_away_is_given_time_to_renew_it(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.jobs._TAKEN_S", 1.0)
    jobs = CameraJobs(valkey)
    jobs.reconcile(["a"], held=[])
    job = Job.fetch(name_job("a"), connection=valkey, serializer=JSONSerializer)
    Queue(CAMERAS, connection=valkey, serializer=JSONSerializer).empty()
    job.save()
    job.set_status(JobStatus.STARTED)
    assert not jobs.reconcile(["a"], held=[]).enqueued  # it has just been taken
    assert not jobs.reconcile(["a"], held=["a"]).enqueued
    time.sleep(1.1)
    assert not jobs.reconcile(["a"], held=[]).enqueued
    time.sleep(1.1)
    assert jobs.reconcile(["a"], held=[]).enqueued == {"a": "started"}


def test_a_run_that_fails_at_once_is_tried_again_and_not_all_the_time(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.jobs._FAILED_S", 1.0)
    jobs = CameraJobs(valkey)

    def fail(ran_s: float) -> None:
        job = Job.fetch(name_job("a"), connection=valkey, serializer=JSONSerializer)
        job.ended_at = now()
        job.started_at = job.ended_at - timedelta(seconds=ran_s)
        job.save()
        job.set_status(JobStatus.FAILED)
        Queue(CAMERAS, connection=valkey, serializer=JSONSerializer).remove(job)

    jobs.reconcile(["a"], held=[])
    fail(ran_s=0.5)
    assert not jobs.reconcile(["a"], held=[]).enqueued
    time.sleep(1.1)
    assert jobs.reconcile(["a"], held=[]).enqueued == {"a": "failed"}
    fail(ran_s=100.0)
    assert jobs.reconcile(["a"], held=[]).enqueued == {"a": "failed"}


def test_of_two_schedulers_one_works_and_the_other_takes_its_place(
    camera: str, valkey: redis.Redis, sqlite_engine: sa.Engine
) -> None:
    first, second = Scheduler(valkey, sqlite_engine), Scheduler(valkey, sqlite_engine)
    second._name = "another"
    assert first.tick() and not second.tick()
    valkey.delete("emotrace:scheduler")
    assert second.tick() and not first.tick()


def test_enabling_disabling_and_editing_take_effect_without_a_restart(
    camera: str, valkey: redis.Redis, sqlite_engine: sa.Engine, start_ingest: Start
) -> None:
    def change(**values: object) -> None:
        with sqlite_engine.begin() as connection:
            cameras.change_stream(connection, find_secret_key(read_settings()), camera, **values)  # type: ignore[arg-type]

    start_ingest()
    with scheduler_running(valkey, sqlite_engine):
        wait_for(lambda: is_live(valkey, camera), "the camera")
        change(fps=5.0)
        wait_for(lambda: len(list_epochs(sqlite_engine)) == 2, "the run with the new rate")
        change(enabled=False)
        wait_for(lambda: find_holder(sqlite_engine, camera) is None, "the end of the run")
        change(enabled=True)
        wait_for(lambda: len(list_epochs(sqlite_engine)) == 3, "the run that was enabled again")
    assert list_epochs(sqlite_engine) == [1, 2, 3]


def test_a_camera_holds_sqlites_locks_itself_though_its_process_was_forked(
    camera: str, valkey: redis.Redis, sqlite_engine: sa.Engine, start_ingest: Start
) -> None:
    start_ingest()
    with scheduler_running(valkey, sqlite_engine):
        wait_for(lambda: is_live(valkey, camera), "the camera")
        state = read_state(valkey, camera)
    assert state is not None and sqlite_engine.url.database is not None
    inode = Path(sqlite_engine.url.database).stat().st_ino
    locks = Path("/proc/locks").read_text().splitlines()
    assert [line for line in locks if f" {state.pid} " in line and f":{inode} " in line]


@pytest.mark.parametrize("victim", ["child", "worker", "host"])
def test_a_camera_whose_process_is_killed_moves_once(
    victim: str, camera: str, valkey: redis.Redis, sqlite_engine: sa.Engine, start_ingest: Start
) -> None:
    first = start_ingest()
    with scheduler_running(valkey, sqlite_engine):
        wait_for(lambda: is_live(valkey, camera), "the camera")
        state = read_state(valkey, camera)
        assert state is not None
        child = psutil.Process(state.pid)
        worker = child.parent()
        assert worker is not None and worker.ppid() == first.pid
        if victim == "host":
            start_ingest()
            for process in (psutil.Process(first.pid), worker, child):
                process.kill()
        else:
            {"child": child, "worker": worker}[victim].kill()
        wait_for(lambda: len(list_epochs(sqlite_engine)) == 2, "the run after it", limit_s=90)
        wait_for(lambda: is_live(valkey, camera), "its pictures")
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert list_epochs(sqlite_engine) == [1, 2]


def test_a_camera_whose_process_alone_is_killed_runs_again_long_before_its_lease_would_end(
    monkeypatch: pytest.MonkeyPatch,
    camera: str,
    valkey: redis.Redis,
    sqlite_engine: sa.Engine,
    start_ingest: Start,
) -> None:
    monkeypatch.setenv("EMOTRACE_LEASE_S", "600")
    start_ingest()
    with scheduler_running(valkey, sqlite_engine):
        wait_for(lambda: is_live(valkey, camera), "the camera")
        state = read_state(valkey, camera)
        assert state is not None
        psutil.Process(state.pid).kill()
        wait_for(lambda: list_epochs(sqlite_engine) == [1, 2], "the run after it", limit_s=90)


def test_a_camera_goes_on_when_rq_gives_its_job_up_as_abandoned_or_forgets_it(
    camera: str, valkey: redis.Redis, sqlite_engine: sa.Engine, start_ingest: Start
) -> None:
    start_ingest()
    with scheduler_running(valkey, sqlite_engine):
        wait_for(lambda: is_live(valkey, camera), "the camera")
        job = Job.fetch(name_job(camera), connection=valkey, serializer=JSONSerializer)
        assert job.timeout == -1
        StartedJobRegistry(CAMERAS, connection=valkey, serializer=JSONSerializer).cleanup(timestamp=time.time() + 1e9)
        assert job.get_status() == JobStatus.FAILED
        time.sleep(3)
        valkey.delete(job.key)
        time.sleep(3)
        before = read_state(valkey, camera)
        wait_for(lambda: (state := read_state(valkey, camera)) and before and state.at > before.at, "the run's word")
    assert list_epochs(sqlite_engine) == [1]


def test_a_job_that_names_another_function_is_not_run_whoever_put_it_on_the_queue(
    camera: str, valkey: redis.Redis, tmp_path: Path, start_ingest: Start
) -> None:
    queue = Queue(CAMERAS, connection=valkey, serializer=JSONSerializer)
    foreign = queue.enqueue_call("os.mkdir", args=[str(tmp_path / "made")], on_failure=Callback("os.getcwd"))
    start_ingest()
    wait_for(lambda: foreign.get_status() == JobStatus.FAILED, "the job's end")
    assert not (tmp_path / "made").exists()
    result = foreign.latest_result()
    assert result is not None and "none of emotrace's" in str(result.exc_string)
    assert OwnJob.fetch(foreign.id, connection=valkey, serializer=JSONSerializer).failure_callback is None


def test_asking_a_host_to_stop_ends_its_cameras_in_order(
    camera: str, valkey: redis.Redis, sqlite_engine: sa.Engine, start_ingest: Start
) -> None:
    host = start_ingest()
    with scheduler_running(valkey, sqlite_engine):
        wait_for(lambda: is_live(valkey, camera), "the camera")
    os.kill(host.pid, signal.SIGTERM)
    assert host.wait(30) == 0
    assert find_holder(sqlite_engine, camera) is None
    with read_transaction(sqlite_engine) as connection:
        (session,) = connection.execute(sa.select(sessions.c.status, sessions.c.end_reason)).all()
    assert tuple(session) == (store.ENDED, "stopped")
