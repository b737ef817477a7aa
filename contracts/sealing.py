"""Seal a camera's session: close its ledger for good, when nothing of it waits any more.

``ended`` becomes ``complete``, ``interrupted`` (its run died) or ``incomplete``. A sealed session takes no more rows,
so what its ledger says stays true. Each function takes a connection; the caller owns the transaction.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from contracts import ledger, store
from contracts.camera_sessions import RUN_LOST
from contracts.errors import LedgerError
from contracts.schema import coverage, emotions, rejections, sessions, tracks

_LOST = "lost before they were stored: their run died, or Redis lost them"


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


def seal_session(connection: sa.Connection, session_id: str) -> ledger.Ledger:
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
    found = store.read_ledger(connection, session_id)
    status = store.INTERRUPTED if session["end_reason"] == RUN_LOST else store.COMPLETE
    error = session["error"]
    try:
        found.check(session_id)
    except LedgerError as wrong:
        status, error = store.INCOMPLETE, str(wrong)
    store.update_session(connection, session_id, status=status, error=error)
    return found


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


def _record_unsaved(connection: sa.Connection, session: Any) -> None:
    """Account for faces that a dead run had published and not yet written down: rows and rejections tell of them."""
    session_id = session["session_id"]
    faces = _select_unsaved(session_id).subquery()
    frames = sa.select(sa.func.count(sa.distinct(faces.c.pts)))
    num_frames = int(connection.execute(frames).scalar_one())
    if not num_frames:
        return
    last = sa.select(sa.func.coalesce(sa.func.max(coverage.c.end_s), 0.0)).where(coverage.c.session_id == session_id)
    last_s = float(connection.execute(last).scalar_one())
    by_track = sa.select(
        faces.c.track_id,
        sa.func.min(faces.c.pts).label("start_pts"),
        sa.func.max(faces.c.pts).label("end_pts"),
        # Of rejected windows no time is known; they are put at the end of what is.
        sa.func.coalesce(sa.func.min(faces.c.time_s), last_s).label("start_s"),
        sa.func.coalesce(sa.func.max(faces.c.time_s), last_s).label("end_s"),
        sa.func.sum(faces.c.num_faces).label("num_faces"),
    ).group_by(faces.c.track_id)
    unsaved = [{**row, "num_faces": int(row["num_faces"])} for row in connection.execute(by_track).mappings()]
    stretch = {
        "session_id": session_id,
        "start_pts": min(row["start_pts"] for row in unsaved),
        "state": ledger.ANALYSED,
        "start_s": min(row["start_s"] for row in unsaved),
        "end_s": max(row["end_s"] for row in unsaved),
        "num_frames": num_frames,
        "num_not_sampled": 0,
        "num_faces": sum(row["num_faces"] for row in unsaved),
        "num_backpressure": 0,
        "fps": None,
    }
    store.record_coverage(connection, [stretch])
    known = {row["track_id"]: row for row in store.list_tracks(connection, session_id)}
    store.record_tracks(connection, [_extend_track(session_id, known.get(row["track_id"]), row) for row in unsaved])
    counts = {name: (session[name] or 0) + num_frames for name in ("num_packets", "num_frames")}
    store.update_session(connection, session_id, **counts)


def _select_unsaved(session_id: str) -> sa.Select[Any]:
    """Select the faces of rows and rejections that lie behind what the run had written of their tracks."""
    no_time = sa.cast(sa.null(), sa.Double).label("time_s")
    rows = sa.select(emotions.c.track_id, emotions.c.pts, emotions.c.time_s, sa.literal(1).label("num_faces"))
    rows = rows.where(emotions.c.session_id == session_id)
    rejected = sa.select(rejections.c.track_id, rejections.c.first_pts, no_time, rejections.c.num_faces)
    rejected = rejected.where(rejections.c.session_id == session_id)
    faces = sa.union_all(rows, rejected).subquery()
    same_track = sa.and_(tracks.c.session_id == session_id, tracks.c.track_id == faces.c.track_id)
    is_unsaved = sa.or_(tracks.c.end_pts.is_(None), faces.c.pts > tracks.c.end_pts)
    return sa.select(faces).select_from(faces.outerjoin(tracks, same_track)).where(is_unsaved)


def _extend_track(session_id: str, known: store.Row | None, unsaved: store.Row) -> store.Row:
    """Return a track's row with its unsaved faces; ``known`` is what was written of it, if anything."""
    if known is None:
        return {"session_id": session_id, **unsaved}
    ends = {name: unsaved[name] for name in ("end_pts", "end_s")}
    return {**known, **ends, "num_faces": known["num_faces"] + unsaved["num_faces"]}


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
