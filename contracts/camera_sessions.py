"""A camera's sessions: begun and ended by the run that holds the lease, sealed when nothing of them waits any more.

``running`` becomes ``ended`` with the connection, and then, sealed, ``complete``, ``interrupted`` (its run died) or
``incomplete``. A sealed session takes no more rows, so what its ledger says stays true. Each function takes a
connection; the caller owns the transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.cameras import record_source
from contracts.errors import LedgerError
from contracts.leases import Lease, acquire_lease, check_lease, release_lease
from contracts.ledger import Ledger
from contracts.model_card import ModelCard
from contracts.schema import clock_anchors, coverage, emotions, rejections, sessions, tracks

RUN_LOST = "run_lost"
_LOST = "lost before they were stored: their run died, or Redis lost them"


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


def count_missing_faces(connection: sa.Connection, session_ids: Sequence[str]) -> dict[str, int]:
    """Return how many faces of each session are known to be published and have neither rows nor a rejection.

    Negative where a run died before it wrote down what it had published.
    """
    missing = dict.fromkeys(session_ids, 0)
    for table, number, sign in (
        (coverage, sa.func.sum(coverage.c.num_faces), 1),
        (emotions, sa.func.count(), -1),
        (rejections, sa.func.sum(rejections.c.num_faces), -1),
    ):
        query = sa.select(table.c.session_id, number).where(table.c.session_id.in_(session_ids))
        for session_id, total in connection.execute(query.group_by(table.c.session_id)):
            missing[session_id] += sign * int(total)
    return missing


def seal_session(connection: sa.Connection, session_id: str) -> Ledger:
    """Close a session's ledger for good: account for what a dead run had not, then judge it. Return the ledger.

    Call it when nothing of the session waits, or when what waits is known to be lost: that is counted as rejected.
    """
    locked = sa.select(sessions).where(sessions.c.session_id == session_id).with_for_update()
    session = connection.execute(locked).mappings().one()
    # Both read all rows, which takes long for a session of months, and SQLite lets nobody else write meanwhile.
    if session["end_reason"] == RUN_LOST:
        _record_unsaved(connection, session)
    if count_missing_faces(connection, [session_id])[session_id] > 0:
        _record_lost(connection, session_id)
    ledger = store.read_ledger(connection, session_id)
    status = store.INTERRUPTED if session["end_reason"] == RUN_LOST else store.COMPLETE
    error = session["error"]
    try:
        ledger.check(session_id)
    except LedgerError as wrong:
        status, error = store.INCOMPLETE, str(wrong)
    store.update_session(connection, session_id, status=status, error=error)
    return ledger


def reopen_session(connection: sa.Connection, session_id: str) -> None:
    """Let a sealed session take rows again; it is sealed anew when nothing of it waits. Others stay as they are.

    What was counted as lost may come yet, and is counted anew then.
    """
    # For update, as sealing does it: workers that store rows of the session wait for this transaction.
    locked = sa.select(sessions).where(sessions.c.session_id == session_id).with_for_update()
    session = connection.execute(locked).mappings().one_or_none()
    if session is None or session["epoch"] is None or session["status"] in (store.RUNNING, store.ENDED):
        return
    error = None if session["status"] == store.INCOMPLETE else session["error"]
    store.update_session(connection, session_id, status=store.ENDED, error=error)
    is_lost = sa.and_(rejections.c.session_id == session_id, rejections.c.reason == _LOST)
    connection.execute(sa.delete(rejections).where(is_lost))


def list_outages(connection: sa.Connection, stream_id: str, start_at: float, end_at: float) -> list[Outage]:
    """Return when a stream had no session between two moments, and why; a stretch still open ends at ``end_at``."""
    query = (
        sa.select(sessions.c.started_at, sessions.c.ended_at, sessions.c.end_reason, sessions.c.error)
        .where(sessions.c.source_id == stream_id, sessions.c.started_at < end_at)
        .order_by(sessions.c.started_at)
    )
    rows = connection.execute(query).all()
    following = [*(row.started_at for row in rows[1:]), end_at]
    return [
        Outage(max(row.ended_at, start_at), until, row.end_reason or RUN_LOST, row.error)
        for row, until in zip(rows, following, strict=False)  # one more where there are no rows
        if row.ended_at is not None and max(row.ended_at, start_at) < until
    ]


def _record_unsaved(connection: sa.Connection, session: Any) -> None:
    """Account for faces that a dead run had published and not yet written down: rows and rejections tell of them.

    Of rejected windows no time is known; they are put at the end of what is.
    """
    session_id = session["session_id"]
    rejected_s = sa.cast(sa.null(), sa.Double).label("time_s")
    faces = sa.union_all(
        sa.select(emotions.c.track_id, emotions.c.pts, emotions.c.time_s, sa.literal(1).label("num_faces")).where(
            emotions.c.session_id == session_id
        ),
        sa.select(rejections.c.track_id, rejections.c.first_pts, rejected_s, rejections.c.num_faces).where(
            rejections.c.session_id == session_id
        ),
    ).subquery()
    same_track = sa.and_(tracks.c.session_id == session_id, tracks.c.track_id == faces.c.track_id)
    is_unsaved = sa.or_(tracks.c.end_pts.is_(None), faces.c.pts > tracks.c.end_pts)
    last = sa.select(sa.func.coalesce(sa.func.max(coverage.c.end_s), 0.0)).where(coverage.c.session_id == session_id)
    last_s = float(connection.execute(last).scalar_one())
    query = (
        sa.select(
            faces.c.track_id,
            sa.func.min(faces.c.pts).label("start_pts"),
            sa.func.max(faces.c.pts).label("end_pts"),
            sa.func.coalesce(sa.func.min(faces.c.time_s), last_s).label("start_s"),
            sa.func.coalesce(sa.func.max(faces.c.time_s), last_s).label("end_s"),
            sa.func.sum(faces.c.num_faces).label("num_faces"),
            tracks.c.start_pts.label("old_start_pts"),
            tracks.c.start_s.label("old_start_s"),
            sa.func.coalesce(tracks.c.num_faces, 0).label("old_num_faces"),
        )
        .select_from(faces.outerjoin(tracks, same_track))
        .where(is_unsaved)
        .group_by(faces.c.track_id, tracks.c.start_pts, tracks.c.start_s, tracks.c.num_faces)
    )
    grown = connection.execute(query).all()
    if not grown:
        return
    frames = sa.select(sa.func.count(sa.distinct(faces.c.pts))).select_from(faces.outerjoin(tracks, same_track))
    num_frames = int(connection.execute(frames.where(is_unsaved)).scalar_one())
    stretch = {
        "session_id": session_id,
        "start_pts": min(row.start_pts for row in grown),
        "state": "analysed",
        "start_s": min(row.start_s for row in grown),
        "end_s": max(row.end_s for row in grown),
        "num_frames": num_frames,
        "num_not_sampled": 0,
        "num_faces": sum(int(row.num_faces) for row in grown),
        "num_backpressure": 0,
        "fps": None,
    }
    store.record_coverage(connection, [stretch])
    store.record_tracks(
        connection,
        [
            {
                "session_id": session_id,
                "track_id": row.track_id,
                "start_pts": row.start_pts if row.old_start_pts is None else row.old_start_pts,
                "start_s": row.start_s if row.old_start_s is None else row.old_start_s,
                "end_pts": row.end_pts,
                "end_s": row.end_s,
                "num_faces": row.old_num_faces + int(row.num_faces),
            }
            for row in grown
        ],
    )
    counts = {name: (session[name] or 0) + num_frames for name in ("num_packets", "num_frames")}
    store.update_session(connection, session_id, **counts)


def _record_lost(connection: sa.Connection, session_id: str) -> None:
    """Count, track by track, the faces that were published and never came to rows as rejected."""

    def sum_by_track(table: sa.Table, number: sa.ColumnElement[Any]) -> dict[int, int]:
        query = sa.select(table.c.track_id, number).where(table.c.session_id == session_id).group_by(table.c.track_id)
        return {track_id: int(total) for track_id, total in connection.execute(query)}

    rows = sum_by_track(emotions, sa.func.count())
    rejected = sum_by_track(rejections, sa.func.sum(rejections.c.num_faces))
    lost = [
        {
            "session_id": session_id,
            "track_id": track["track_id"],
            "first_pts": track["end_pts"] + 1,
            "num_faces": missing,
            "reason": _LOST,
        }
        for track in store.list_tracks(connection, session_id)
        if (missing := track["num_faces"] - rows.get(track["track_id"], 0) - rejected.get(track["track_id"], 0)) > 0
    ]
    store.insert_new(connection, rejections, lost)
