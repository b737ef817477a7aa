"""The scheduler seals a camera's session when nothing of it can come any more, and not before."""

import time
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from crop_sequences import make_sequence
from stored_rows import CARD, make_row

from contracts import camera_sessions, store
from contracts.database import read_transaction
from contracts.lanes import LIVE, name_lane
from contracts.leases import acquire_lease, release_lease
from contracts.schema import rejections, streams
from contracts.stream import CropStream
from workers.scheduler import Scheduler

LOST_S = 0.2
STREAM: dict[str, Any] = {
    "stream_id": "01900000-0000-7000-8000-00000000000a",
    "name": "door",
    "kind": "file",
    "url": "/videos/door.mp4",
    "profile": "live",
    "fps": 10.0,
    "enabled": False,
    "revision": 1,
    "created_at": 0.0,
    "updated_at": 0.0,
}
SESSION = make_sequence().session_id


@pytest.fixture
def lane(valkey: redis.Redis) -> CropStream:
    lane = CropStream(valkey, name_lane(LIVE, CARD.model_id))
    lane.create_group()
    return lane


@pytest.fixture
def scheduler(valkey: redis.Redis, engine: sa.Engine) -> Scheduler:
    return Scheduler(valkey, engine, lost_s=LOST_S)


def begin(engine: sa.Engine, num_faces: int, num_rows: int) -> None:
    """Store a session that runs, has written down so many faces as published, and has rows of some."""
    with engine.begin() as connection:
        store.insert_new(connection, streams, [STREAM])
        lease = acquire_lease(connection, STREAM["stream_id"], "a host", lease_s=-1.0)
        assert lease is not None
        camera_sessions.begin_session(connection, lease, STREAM, CARD, SESSION, {}, started_at=time.time())
        counts = {"num_frames": num_faces, "num_not_sampled": 0, "num_faces": num_faces, "num_backpressure": 0}
        times = {"start_pts": 0, "start_s": 0.0, "end_s": 1.0, "fps": 10.0}
        row = {"session_id": SESSION, "state": "analysed", **times, **counts}
        store.record_coverage(connection, [row])
        times = {"start_pts": 0, "end_pts": num_faces - 1, "start_s": 0.0, "end_s": 1.0}
        store.record_tracks(connection, [{"session_id": SESSION, "track_id": 1, "num_faces": num_faces, **times}])
        store.update_session(connection, SESSION, num_packets=num_faces, num_frames=num_faces)
        store.record_emotions(connection, [make_row(pts, session_id=SESSION) for pts in range(num_rows)])


def end(engine: sa.Engine, reason: str) -> None:
    with engine.begin() as connection:
        values = {"status": store.ENDED, "end_reason": reason, "ended_at": time.time()}
        store.update_session(connection, SESSION, **values)


def read_status(engine: sa.Engine) -> str:
    with read_transaction(engine) as connection:
        return str(store.read_session(connection, SESSION)["status"])


def tick_for(scheduler: Scheduler, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert scheduler.tick()
        time.sleep(0.1)


def test_a_session_whose_faces_all_have_rows_is_sealed_at_once(engine: sa.Engine, scheduler: Scheduler) -> None:
    begin(engine, num_faces=3, num_rows=3)
    end(engine, "stopped")
    scheduler.tick()
    assert read_status(engine) == store.COMPLETE


def test_the_last_windows_of_a_run_that_died_are_waited_for_though_nobody_wrote_them_down(
    engine: sa.Engine, scheduler: Scheduler, lane: CropStream
) -> None:
    begin(engine, num_faces=3, num_rows=3)
    lane.publish(make_sequence(model_id=CARD.model_id, pts=(7, 8, 9)))
    end(engine, camera_sessions.RUN_LOST)
    tick_for(scheduler, LOST_S + 2.0)
    assert read_status(engine) == store.ENDED
    with engine.begin() as connection:
        assert not store.record_emotions(connection, [make_row(pts, session_id=SESSION) for pts in (7, 8)])
    lane.acknowledge(lane.read(1, None))
    tick_for(scheduler, LOST_S + 2.0)
    assert read_status(engine) == store.INTERRUPTED
    with read_transaction(engine) as connection:
        ledger = store.read_ledger(connection, SESSION)
    assert ledger.find_imbalances() == [] and ledger.rows == ledger.published == 5


def test_windows_that_were_rejected_before_a_dying_run_wrote_them_down_stand_in_its_ledger(
    engine: sa.Engine, scheduler: Scheduler
) -> None:
    begin(engine, num_faces=3, num_rows=2)
    with engine.begin() as connection:
        store.record_emotions(connection, [make_row(7, session_id=SESSION)])
        for track_id, first_pts in ((1, 8), (2, 8)):
            store.record_rejection(connection, SESSION, track_id, first_pts, 2, "inference failed")
    end(engine, camera_sessions.RUN_LOST)
    tick_for(scheduler, LOST_S + 2.0)
    with read_transaction(engine) as connection:
        ledger, tracks = store.read_ledger(connection, SESSION), store.list_tracks(connection, SESSION)
    assert ledger.find_imbalances() == [] and (ledger.published, ledger.rows, ledger.rejected) == (8, 3, 5)
    assert ledger.decoded == 3 + 2
    assert [(track["num_faces"], track["end_pts"]) for track in tracks] == [(6, 8), (2, 8)]
    assert read_status(engine) == store.INTERRUPTED


def test_a_session_that_cannot_be_sealed_keeps_nobody_waiting(engine: sa.Engine, scheduler: Scheduler) -> None:
    begin(engine, num_faces=3, num_rows=2)
    with engine.begin() as connection:
        last = 2**63 - 1  # as a damaged entry may say
        times = {"start_pts": 0, "end_pts": last, "start_s": 0.0, "end_s": 1.0}
        store.record_tracks(connection, [{"session_id": SESSION, "track_id": 2, "num_faces": 1, **times}])
    end(engine, "stopped")
    tick_for(scheduler, LOST_S + 2.0)
    assert read_status(engine) == store.INCOMPLETE
    with read_transaction(engine) as connection:
        assert "refused rows" in store.read_session(connection, SESSION)["error"]


def test_a_run_that_died_and_whose_stream_was_disabled_leaves_no_session_open(
    engine: sa.Engine, scheduler: Scheduler
) -> None:
    begin(engine, num_faces=3, num_rows=3)
    with engine.begin() as connection:
        alive = acquire_lease(connection, STREAM["stream_id"], "a host that lives")
    scheduler.tick()
    assert read_status(engine) == store.RUNNING
    with engine.begin() as connection:
        release_lease(connection, alive)  # type: ignore[arg-type]
    tick_for(scheduler, LOST_S + 2.0)
    assert read_status(engine) == store.INTERRUPTED


def test_what_a_run_cannot_hand_over_because_redis_is_full_is_not_lost(
    engine: sa.Engine, scheduler: Scheduler, lane: CropStream, valkey: redis.Redis
) -> None:
    limit = valkey.config_get("maxmemory")["maxmemory"]  # type: ignore[index]
    valkey.config_set("maxmemory", int(1.5 * valkey.info("memory")["used_memory"]))  # type: ignore[index]
    try:
        begin(engine, num_faces=3, num_rows=1)
        end(engine, "stopped")
        tick_for(scheduler, LOST_S + 2.0)
        assert read_status(engine) == store.ENDED
    finally:
        valkey.config_set("maxmemory", limit)
    tick_for(scheduler, LOST_S + 2.0)
    assert read_status(engine) == store.COMPLETE
    with read_transaction(engine) as connection:
        assert connection.execute(sa.select(rejections.c.num_faces)).scalars().all() == [2]
