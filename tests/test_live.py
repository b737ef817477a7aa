"""A camera's whole run: sessions, crops, rows and a ledger that balances, whatever becomes of its services."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from camera_runs import LANE, add_camera, camera_running, configure, read_state, wait_for, worker_running

from contracts import camera_sessions, cameras, ledger, sealing, store
from contracts.database import read_transaction
from contracts.encryption import find_secret_key
from contracts.errors import EmotraceError, LeaseLostError
from contracts.leases import LEASE_S, acquire_lease, check_lease, list_held, release_lease, renew_lease
from contracts.overview import read_overview
from contracts.rejected import iterate_rejected, requeue
from contracts.schema import emotions, leases, sessions
from contracts.settings import read_settings
from contracts.stream_state import LIVE, StreamState
from ingest.camera_run import run_camera, run_camera_job
from ingest.keeper import RunKeeper

NOTHING = StreamState(stream_id="", name="", state="", since=0, at=0, host="", pid=0, epoch=0)


@pytest.fixture
def camera(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    engine: sa.Engine,
    carphone: Path,
) -> str:
    """A stream that plays the clip of a man in a car again and again."""
    configure(monkeypatch, tmp_path, valkey_url, engine)
    return add_camera(engine, carphone)


def list_sessions(engine: sa.Engine) -> list[store.Row]:
    with read_transaction(engine) as connection:
        query = sa.select(sessions).order_by(sessions.c.started_at)
        return [dict(row) for row in connection.execute(query).mappings()]


def has_running_session(engine: sa.Engine) -> bool:
    return any(session["status"] == store.RUNNING for session in list_sessions(engine))


def list_holders(engine: sa.Engine) -> dict[str, str]:
    with read_transaction(engine) as connection:
        return list_held(connection)


def count_rows(engine: sa.Engine) -> int:
    with read_transaction(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(emotions)).scalar_one())


def seal_all(engine: sa.Engine) -> list[ledger.Ledger]:
    with engine.begin() as connection:
        ended = camera_sessions.list_ended(connection)
        return [sealing.seal_session(connection, row["session_id"]) for row in ended]


def test_a_camera_gives_rows_within_seconds_and_a_balanced_ledger_when_it_is_stopped(
    camera: str, engine: sa.Engine, valkey: redis.Redis
) -> None:
    with worker_running():
        with camera_running(camera) as run:
            wait_for(lambda: count_rows(engine) >= 15, "rows")
            state = read_state(valkey, camera)
            assert state is not None and state.state == LIVE and state.analysed > 0 and state.lag_s < 5
            (session,) = list_sessions(engine)
            assert session["status"] == store.RUNNING
            assert run.stop() == "stopped"
        assert read_state(valkey, camera) is None
        wait_for(lambda: valkey.xlen(LANE) == 0, "the last windows")
    (session,) = list_sessions(engine)
    assert (session["status"], session["end_reason"]) == (store.ENDED, "stopped")
    (found,) = seal_all(engine)
    assert found.find_imbalances() == [] and found.rejected == 0 and found.rows == found.published >= 15
    assert found.skipped[ledger.NOT_SAMPLED] > found.analysed  # 10 of 30 a second
    assert list_sessions(engine)[0]["status"] == store.COMPLETE
    with read_transaction(engine) as connection:
        assert camera_sessions.list_anchors(connection, session["session_id"])[0][0] == 0
        assert list_held(connection) == {}


def test_disabling_or_editing_a_stream_ends_its_run_and_says_why(
    camera: str, engine: sa.Engine, carphone: Path
) -> None:
    key = find_secret_key(read_settings())
    for change, reason in (({"fps": 5.0}, "edited"), ({"enabled": False}, "disabled")):
        with camera_running(camera) as run:
            wait_for(
                lambda: list_sessions(engine) and list_sessions(engine)[-1]["status"] == store.RUNNING, "a session"
            )
            with engine.begin() as connection:
                cameras.change_stream(connection, key, camera, **change)
            wait_for(lambda run=run: not run.is_alive, "the run's end")  # type: ignore[misc]
            assert run.stop() == reason
        assert list_sessions(engine)[-1]["end_reason"] == reason
    assert run_camera(camera) == "disabled"


def test_a_second_run_does_nothing_while_the_first_one_holds_the_lease(camera: str, engine: sa.Engine) -> None:
    with camera_running(camera):
        wait_for(lambda: list_sessions(engine), "a session")
        assert run_camera(camera) == "held"
    assert len(list_sessions(engine)) == 1


def test_a_run_that_was_taken_over_ends_and_the_store_refuses_what_it_still_writes(
    camera: str, engine: sa.Engine
) -> None:
    with camera_running(camera) as run:
        wait_for(lambda: list_sessions(engine), "a session")
        with engine.begin() as connection:
            other = acquire_lease(connection, camera, "another host", force=True)
            assert other is not None and other.epoch == 2
            assert camera_sessions.end_lost_sessions(connection, other) == 1
        wait_for(lambda: not run.is_alive, "the run's end")
        assert run.stop() == "taken_over"
    (session,) = list_sessions(engine)
    assert (session["status"], session["end_reason"]) == (store.ENDED, camera_sessions.RUN_LOST)


def test_a_lease_is_held_by_one_until_it_expires_and_its_epoch_grows(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        first = acquire_lease(connection, "a", "one")
        assert first is not None and first.epoch == 1
        assert acquire_lease(connection, "a", "two") is None
        assert acquire_lease(connection, "a", "one") == first  # asked again: the first answer was lost
        renew_lease(connection, first, lease_s=-1.0)
        second = acquire_lease(connection, "a", "two", LEASE_S)
        assert second is not None and second.epoch == 2
        with pytest.raises(LeaseLostError, match="is run by two now"):
            check_lease(connection, first)
        release_lease(connection, first)  # too late to matter
        assert list_held(connection) == {"a": "two"}
        release_lease(connection, second)
        assert list_held(connection) == {}


def test_of_two_hosts_that_ask_at_once_one_gets_the_lease(engine: sa.Engine) -> None:
    barrier, won = threading.Barrier(4), []

    def ask(holder: str) -> None:
        barrier.wait()
        with engine.begin() as connection:
            won.append(acquire_lease(connection, "a", holder))

    threads = [threading.Thread(target=ask, args=(f"host {index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lease is not None for lease in won) == 1


def test_without_redis_windows_wait_and_with_it_again_every_face_gets_its_row(
    camera: str, engine: sa.Engine, valkey: redis.Redis
) -> None:
    with worker_running(), camera_running(camera):
        wait_for(lambda: count_rows(engine) >= 4, "rows")
        valkey.config_set("maxmemory", 1)  # every write is refused now
        try:
            wait_for(lambda: (list_sessions(engine)[0]["num_frames"] or 0) > 60, "reading to go on")
        finally:
            valkey.config_set("maxmemory", 512 * 2**20)
        before = count_rows(engine)
        wait_for(lambda: count_rows(engine) > before + 10, "rows again")
    with worker_running():
        wait_for(lambda: valkey.xlen(LANE) == 0, "the last windows")
    (found,) = seal_all(engine)
    assert found.find_imbalances() == [] and found.rejected == 0 and found.rows == found.published


def test_an_answer_about_pressure_that_another_release_left_behind_stops_no_camera(
    camera: str, engine: sa.Engine, valkey: redis.Redis
) -> None:
    valkey.set(f"emotrace:pressure:{LANE}", b'{"of": "another release"}')
    with worker_running(), camera_running(camera):
        wait_for(lambda: count_rows(engine) >= 4, "rows")


def test_a_run_ends_with_an_error_where_what_it_knows_cannot_be_written(camera: str, engine: sa.Engine) -> None:
    with engine.begin() as connection:
        lease = acquire_lease(connection, camera, "this one")
    assert lease is not None
    keeper = RunKeeper(engine, lease, revision=1)
    too_long = sa.insert(leases).values(stream_id="b", epoch=2**70, holder="", expires_at=0.0)
    keeper.begin_session(lambda connection: connection.execute(too_long), lambda: lambda _connection: None)  # type: ignore[arg-type,return-value]
    wait_for(lambda: keeper.end_reason, "the end")
    assert (keeper.end_reason, keeper.is_held) == ("failed", False) and keeper.error is not None
    assert not keeper.close(1.0)


def test_a_killed_run_is_moved_once_its_lease_expires_and_its_last_faces_are_accounted_for(
    camera: str, engine: sa.Engine, valkey: redis.Redis
) -> None:
    with worker_running():
        process = subprocess.Popen([sys.executable, "-m", "cli.main", "run-camera", camera])
        try:
            wait_for(lambda: count_rows(engine) >= 10, "rows")
        finally:
            process.kill()
            process.wait()
        assert run_camera(camera) == "held"
        wait_for(lambda: not list_holders(engine), "the lease to expire", limit_s=10)
        with camera_running(camera):
            wait_for(lambda: len(list_sessions(engine)) == 2, "the next run", limit_s=20)
            wait_for(lambda: list_sessions(engine)[1]["num_frames"], "its frames")
        wait_for(lambda: valkey.xlen(LANE) == 0, "the last windows")
    sealed = seal_all(engine)
    assert [found.find_imbalances() for found in sealed] == [[], []]
    first, second = list_sessions(engine)
    assert (first["status"], first["end_reason"], first["epoch"]) == (store.INTERRUPTED, camera_sessions.RUN_LOST, 1)
    assert (second["status"], second["epoch"]) == (store.COMPLETE, 2)
    with read_transaction(engine) as connection:
        (outage,) = camera_sessions.list_outages(connection, camera, 0.0, second["ended_at"])
    assert outage.reason == camera_sessions.RUN_LOST
    assert outage.end_at == second["started_at"] > outage.start_at >= first["started_at"]


def test_a_stream_that_has_not_run_yet_has_no_outage(camera: str, engine: sa.Engine) -> None:
    with read_transaction(engine) as connection:
        assert camera_sessions.list_outages(connection, camera, 0.0, 1e9) == []


def test_a_sealed_session_takes_rows_only_when_they_are_put_back(
    camera: str, engine: sa.Engine, valkey: redis.Redis
) -> None:
    with camera_running(camera):
        wait_for(lambda: list_sessions(engine) and list_sessions(engine)[0]["num_frames"], "frames")
    (found,) = seal_all(engine)  # no worker ran: what was published is counted as lost
    assert found.find_imbalances() == [] and found.rejected == found.published > 0 and found.rows == 0
    with worker_running():
        wait_for(lambda: valkey.xlen(LANE) == 0, "the worker")
        assert count_rows(engine) == 0
        late = list(iterate_rejected(valkey, 1.0))
        assert late and {one.reason for one in late} == {"it came after its camera's session was sealed"}
        for one in late:
            requeue(valkey, engine, one)
        wait_for(lambda: valkey.xlen(LANE) == 0, "the worker")
    (mended,) = seal_all(engine)
    assert mended.find_imbalances() == [] and mended.rejected == 0 and mended.rows == found.published
    assert list_sessions(engine)[0]["status"] == store.COMPLETE and list(iterate_rejected(valkey, 1.0)) == []


def test_while_inference_lags_the_rate_steps_down_and_every_frame_left_out_is_counted(
    camera: str, engine: sa.Engine, valkey: redis.Redis
) -> None:
    with camera_running(camera):
        # No worker runs: what waits grows old.
        wait_for(lambda: (state := read_state(valkey, camera)) and state.fps < state.asked_fps, "a lower rate")
        wait_for(lambda: "backpressure" in (read_state(valkey, camera) or NOTHING).skipped, "frames left out")
        with worker_running():
            wait_for(
                lambda: (state := read_state(valkey, camera)) and state.fps == 10, "the asked rate again", limit_s=90
            )
    with worker_running():
        wait_for(lambda: valkey.xlen(LANE) == 0, "the last windows")
    (found,) = seal_all(engine)
    assert found.find_imbalances() == [] and found.rejected == 0 and found.skipped[ledger.BACKPRESSURE] > 0
    with read_transaction(engine) as connection:
        stretches = store.list_coverage(connection, list_sessions(engine)[0]["session_id"])
    rates = [one["fps"] for one in stretches]
    assert rates[0] == rates[-1] == 10 and 5 in rates, "each change of the rate begins a stretch"
    assert sum(one["num_backpressure"] for one in stretches) > 0


def test_a_camera_that_cannot_begin_tells_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, camera: str, engine: sa.Engine, valkey: redis.Redis
) -> None:
    gate = add_camera(engine, "rtsp://admin:geheim@127.0.0.1:9/x", name="gate")
    monkeypatch.setenv("EMOTRACE_SECRET_KEY_FILE", str(tmp_path / "lost.key"))
    # It would take this process's signals.
    monkeypatch.setattr("ingest.camera_run.watch_for_stop", lambda _parent: lambda: False)
    with pytest.raises(EmotraceError, match=r"lost\.key") as raised:
        run_camera_job(gate)
    assert "geheim" not in str(raised.value)
    streams = {one.stream["name"]: one for one in read_overview(engine, valkey).streams}
    assert streams["door"].state == "waiting"
    told = streams["gate"].told
    assert streams["gate"].state == "failed" and told is not None and "lost.key" in told.message
