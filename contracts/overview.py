"""The state of an installation at a glance, read from the database and Redis alone: for ``status`` and pages."""

import time
from dataclasses import dataclass
from typing import cast

import redis
import sqlalchemy as sa

from contracts import cameras, leases, store
from contracts.database import read_transaction
from contracts.jobs import CAMERAS, PARTS
from contracts.lanes import find_lane, name_lane
from contracts.metrics import FleetState, LaneState
from contracts.pressure import read_pressure
from contracts.redis_server import explain_error
from contracts.schema import emotions, sessions, tracks
from contracts.stream import GROUP, REJECTED_SUFFIX
from contracts.stream_state import DISABLED, FAILED, StreamState, read_states
from contracts.worker_state import WorkerState, list_worker_states

WAITING = "waiting"
SILENT = "silent"
_SMALL_BYTES = 100 * 2**20


@dataclass(frozen=True)
class StreamOverview:
    """A stream: its row, whether and where it runs, and what its run tells of itself, if anything.

    ``state`` is one of ``contracts.stream_state``'s, ``waiting`` (for a free ingest worker) or ``silent`` (its lease is
    held, and its run tells nothing).
    """

    stream: store.Row
    state: str
    holder: str | None
    told: StreamState | None


@dataclass(frozen=True)
class LaneOverview:
    """A lane: entries not yet stored, those of them that a worker holds, the oldest one's age, and rejected ones."""

    name: str
    model_id: str
    num_waiting: int
    num_pending: int
    oldest_age_s: float
    num_rejected: int


@dataclass(frozen=True)
class Overview:
    """Everything that ``status`` shows. ``at`` is seconds since 1970, sizes are in bytes."""

    at: float
    streams: list[StreamOverview]
    lanes: list[LaneOverview]
    queues: dict[str, int]
    workers: list[WorkerState]
    redis_used_bytes: int
    redis_max_bytes: int
    database_bytes: int
    num_rows: int
    num_sessions: int


def read_overview(engine: sa.Engine, client: redis.Redis) -> Overview:
    """Read the state of everything.

    Raises:
        ServiceError: the database or Redis is out of reach.
    """
    with read_transaction(engine) as connection:
        rows = cameras.list_streams(connection)
        held = leases.list_held(connection)
        size, num_rows = measure_database(connection)
        num_sessions = int(connection.execute(sa.select(sa.func.count()).select_from(sessions)).scalar_one())
    try:
        told = read_states(client, [row["stream_id"] for row in rows])
        memory = client.info("memory")
        keys = cast("list[bytes]", list(client.scan_iter(name_lane("*", "*"), count=1000, _type="STREAM")))
        names = sorted(key.decode(errors="replace") for key in keys if not key.endswith(REJECTED_SUFFIX.encode()))
        lanes = [_read_lane(client, name, lane) for name in names if (lane := find_lane(name)) is not None]
        workers = list_worker_states(client)
        queues = {name: int(client.llen(f"rq:queue:{name}")) for name in (CAMERAS, *PARTS.values())}
    except redis.exceptions.RedisError as error:
        raise explain_error(error) from None
    return Overview(
        at=time.time(),
        streams=[_judge(row, held.get(row["stream_id"]), told.get(row["stream_id"])) for row in rows],
        lanes=lanes,
        queues=queues,
        workers=workers,
        redis_used_bytes=int(memory["used_memory"]),
        redis_max_bytes=int(memory.get("maxmemory") or 0),
        database_bytes=size,
        num_rows=num_rows,
        num_sessions=num_sessions,
    )


def list_states(engine: sa.Engine, client: redis.Redis) -> list[StreamState]:
    """Return what all runs tell of themselves.

    Raises:
        ServiceError: the database or Redis is out of reach.
    """
    with read_transaction(engine) as connection:
        ids = [row["stream_id"] for row in cameras.list_streams(connection, enabled=True)]
    try:
        return list(read_states(client, ids).values())
    except redis.exceptions.RedisError as error:
        raise explain_error(error) from None


def read_fleet(engine: sa.Engine, client: redis.Redis) -> FleetState:
    """Return an overview as metrics have it.

    Raises:
        ServiceError: the database or Redis is out of reach.
    """
    overview = read_overview(engine, client)
    return FleetState(
        lanes=[
            LaneState(one.name, one.model_id, one.num_waiting, one.num_pending, one.oldest_age_s, one.num_rejected)
            for one in overview.lanes
        ],
        jobs=overview.queues,
        redis_used_bytes=overview.redis_used_bytes,
        redis_max_bytes=overview.redis_max_bytes,
        database_bytes=overview.database_bytes,
        leases=sum(one.holder is not None for one in overview.streams),
        cameras_enabled=sum(bool(one.stream["enabled"]) for one in overview.streams),
        ingest_hosts=len({one.told.host for one in overview.streams if one.told is not None}),
        inference_workers=len(overview.workers),
    )


def measure_database(connection: sa.Connection) -> tuple[int, int]:
    """Return the database's size in bytes and about how many emotion rows it holds.

    Counting millions of rows takes seconds; of a large database the faces that were handed to inference are told.
    """
    if connection.dialect.name == "postgresql":
        size = int(connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one())
    else:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        size = int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    exact = sa.select(sa.func.count()).select_from(emotions)
    close = sa.select(sa.func.coalesce(sa.func.sum(tracks.c.num_faces), 0))
    return size, int(connection.execute(exact if size < _SMALL_BYTES else close).scalar_one())


def _judge(row: store.Row, holder: str | None, told: StreamState | None) -> StreamOverview:
    # One that failed before it had the lease tells why.
    if told is not None and row["enabled"] and (holder is not None or told.state == FAILED):
        state = told.state
    elif holder is not None:
        state = SILENT
    else:
        state, told = (WAITING if row["enabled"] else DISABLED), None
    return StreamOverview(row, state, holder, told)


def _read_lane(client: redis.Redis, name: str, lane: str) -> LaneOverview:
    pressure = read_pressure(client, name)
    try:
        pending = int(client.xpending(name, GROUP)["pending"])
    except redis.exceptions.ResponseError:
        pending = 0  # nobody has read from it yet
    rejected = int(client.xlen(name + REJECTED_SUFFIX))
    return LaneOverview(
        lane, name.removeprefix(name_lane(lane, "")), pressure.num_waiting, pending, pressure.oldest_age_s, rejected
    )
