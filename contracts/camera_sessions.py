"""A camera's sessions: begun and ended by the run that holds the lease.

``running`` becomes ``ended`` with the connection; ``contracts.sealing`` does the rest. Each function takes a
connection; the caller owns the transaction.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from contracts import store
from contracts.cameras import record_source
from contracts.leases import Lease, acquire_lease, check_lease, release_lease
from contracts.model_card import ModelCard
from contracts.schema import clock_anchors, coverage, sessions

RUN_LOST = "run_lost"


@dataclass(frozen=True)
class Outage:
    """Time between two sessions of a stream, in seconds since 1970, and why the first one ended."""

    start_at: float
    end_at: float
    reason: str
    message: str | None


def begin_session(
    connection: sa.Connection,
    lease: Lease,
    stream: store.Row,
    card: ModelCard,
    session_id: str,
    settings: store.Row,
    started_at: float,
) -> None:
    """Store a new session of ``stream``, in the state ``running``; ``started_at`` may lie well before this call.

    Raises:
        LeaseLostError: another run has taken over.
    """
    check_lease(connection, lease)
    store.record_model(connection, card)
    row = {
        "session_id": session_id,
        "source_id": record_source(connection, stream),
        "model_id": card.model_id,
        "status": store.RUNNING,
        "fingerprint": "",
        "settings": dict(settings),
        "facts": {},
        "started_at": started_at,
        "epoch": lease.epoch,
    }
    store.insert_new(connection, sessions, [row])


def record_anchors(connection: sa.Connection, session_id: str, anchors: list[tuple[int, float]]) -> None:
    """Store moments (pts, wall-clock seconds since 1970) at which the camera's clock was tied to the wall's."""
    rows = [{"session_id": session_id, "pts": pts, "wall_s": wall_s} for pts, wall_s in anchors]
    store.insert_new(connection, clock_anchors, rows)


def list_anchors(connection: sa.Connection, session_id: str) -> list[tuple[int, float]]:
    """Return a session's anchors in order of pts."""
    query = sa.select(clock_anchors.c.pts, clock_anchors.c.wall_s).where(clock_anchors.c.session_id == session_id)
    return [(pts, wall_s) for pts, wall_s in connection.execute(query.order_by(clock_anchors.c.pts))]


def end_session(
    connection: sa.Connection, lease: Lease, session_id: str, reason: str, message: str, ended_at: float
) -> None:
    """Store that a session's connection is over.

    Raises:
        LeaseLostError: another run has taken over.
    """
    check_lease(connection, lease)
    store.update_session(
        connection, session_id, status=store.ENDED, end_reason=reason, error=message or None, ended_at=ended_at
    )


def end_lost_sessions(connection: sa.Connection, lease: Lease) -> int:
    """End the sessions that earlier runs of the stream left behind; return how many there were."""
    check_lease(connection, lease)
    last_s = (
        sa.select(sa.func.coalesce(sa.func.max(coverage.c.end_s), 0.0))
        .where(coverage.c.session_id == sessions.c.session_id)
        .scalar_subquery()
    )
    left = sa.and_(
        sessions.c.source_id == lease.stream_id, sessions.c.status == store.RUNNING, sessions.c.epoch < lease.epoch
    )
    values = {
        "status": store.ENDED,
        "end_reason": RUN_LOST,
        "error": "Its process or host died, or was cut off.",
        "ended_at": sessions.c.started_at + last_s,
    }
    return connection.execute(sa.update(sessions).where(left).values(**values)).rowcount


def list_running_streams(connection: sa.Connection) -> set[str]:
    """Return the streams that have a session of a run which lives, or died without a word."""
    query = sa.select(sessions.c.source_id).where(sessions.c.status == store.RUNNING, sessions.c.epoch.is_not(None))
    return set(connection.execute(query.distinct()).scalars())


def end_abandoned_sessions(connection: sa.Connection, stream_id: str, holder: str) -> int:
    """End what runs of a stream left behind that no run will follow, unless one still holds the lease.

    The epoch grows with it, so that a run which was only cut off writes nothing behind its end.
    """
    lease = acquire_lease(connection, stream_id, holder)
    if lease is None:
        return 0
    num_ended = end_lost_sessions(connection, lease)
    release_lease(connection, lease)
    return num_ended


def list_ended(connection: sa.Connection) -> list[store.Row]:
    """Return the sessions that wait to be sealed, the oldest first."""
    query = sa.select(sessions).where(sessions.c.status == store.ENDED).order_by(sessions.c.ended_at)
    return [dict(row) for row in connection.execute(query).mappings()]


def list_outages(connection: sa.Connection, stream_id: str, start_at: float, end_at: float) -> list[Outage]:
    """Return when a stream had no session between two moments, and why; a stretch still open ends at ``end_at``."""
    # A stream's sessions follow each other: of those that began before, the last one alone may reach so far.
    first_at = sa.select(sa.func.max(sessions.c.started_at)).where(
        sessions.c.source_id == stream_id, sessions.c.started_at <= start_at
    )
    query = (
        sa.select(sessions.c.started_at, sessions.c.ended_at, sessions.c.end_reason, sessions.c.error)
        .where(sessions.c.source_id == stream_id, sessions.c.started_at < end_at)
        .where(sessions.c.started_at >= sa.func.coalesce(first_at.scalar_subquery(), start_at))
        .order_by(sessions.c.started_at)
    )
    rows = connection.execute(query).all()
    following = [*(row.started_at for row in rows[1:]), end_at]
    return [
        Outage(max(row.ended_at, start_at), until, row.end_reason or RUN_LOST, row.error)
        for row, until in zip(rows, following, strict=False)  # one more where there are no rows
        if row.ended_at is not None and max(row.ended_at, start_at) < until
    ]
