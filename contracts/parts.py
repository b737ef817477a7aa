"""The parts of a recording: what is to be read, who reads it, and what has been. The caller owns the transaction.

A part that has begun again has a new ``attempt``; only the last one may write, so that a worker which was given up for
dead adds nothing behind its successor's back. A finished part is final.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from contracts import ledger, store
from contracts.database import read_clock
from contracts.errors import UsageError
from contracts.schema import batch_files, coverage, emotions, parts, rejections, tracks

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
OVER = (DONE, FAILED, CANCELLED)
HIGH, NORMAL, LOW = "high", "normal", "low"
PRIORITIES = (HIGH, NORMAL, LOW)
# The ids of a part's tracks begin with its number times this; they are 32-bit integers.
TRACKS_PER_PART = 100_000
MAX_PARTS = (2**31 - 1) // TRACKS_PER_PART
# A worker that has not written for so long is taken for dead; it writes every 2 s, and waits for a slow database.
DEAD_AFTER_S = 20.0
# A part whose worker died so often is what kills them.
MAX_TRIES = 4


def record_parts(connection: sa.Connection, session_id: str, plan: Sequence[store.Row]) -> None:
    """Store a new session's parts (``ingest.parts.Part`` as mappings), waiting to be read."""
    state = {
        "status": WAITING,
        "attempts": 0,
        "tries": 0,
        "packets_read": 0,
        "frames_read": 0,
        "updated_at": read_clock(connection),
    }
    rows = [{**part, "session_id": session_id, "done_s": part["start_s"], **state} for part in plan]
    store.insert_new(connection, parts, rows)


def list_parts(connection: sa.Connection, session_id: str) -> list[store.Row]:
    """Return a session's parts in order."""
    query = sa.select(parts).where(parts.c.session_id == session_id).order_by(parts.c.part)
    return [dict(row) for row in connection.execute(query).mappings()]


def read_part(connection: sa.Connection, session_id: str, part: int) -> store.Row:
    """Return a part's row.

    Raises:
        UsageError: the session has no such part.
    """
    query = sa.select(parts).where(parts.c.session_id == session_id, parts.c.part == part)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise UsageError(f"The session {session_id!r} has no part {part}. List batches with: emotrace batch list")
    return dict(row)


def list_unread_parts(connection: sa.Connection) -> list[store.Row]:
    """Return all parts, of any session, that a job should be reading or waiting to read: (session_id, part, priority).

    Those that wait, and those whose worker has died.
    """
    is_dead = sa.and_(parts.c.status == RUNNING, parts.c.updated_at < read_clock(connection) - DEAD_AFTER_S)
    of_batch = batch_files.c.session_id == parts.c.session_id
    query = sa.select(parts.c.session_id, parts.c.part, batch_files.c.priority).join(batch_files, of_batch)
    query = query.where(sa.or_(parts.c.status == WAITING, is_dead))
    return [dict(row) for row in connection.execute(query.order_by(parts.c.session_id, parts.c.part)).mappings()]


def begin_part(connection: sa.Connection, session_id: str, part: int) -> store.Row | None:
    """Begin a new attempt to read a part and return its row, or None where it is over, gone, or being read.

    What an earlier attempt wrote of its ledger is taken back; rows of emotions stay but the last ones
    (``contracts.store.forget_cut_rows``), they would be the same.
    """
    row = _lock_part(connection, session_id, part)
    if row is None or row["status"] in OVER or (row["status"] == RUNNING and not _is_dead(connection, row)):
        return None
    _forget_ledger(connection, row)
    if row["tries"] >= MAX_TRIES:
        last = f" The last error: {row['error']}" if row["error"] else ""
        _close(connection, row, FAILED, f"Its worker died, or failed, {row['tries']} times.{last}", None)
        return None
    store.forget_cut_rows(connection, _has_own_track(emotions, row))
    now = read_clock(connection)
    values = {
        "status": RUNNING,
        "attempts": row["attempts"] + 1,
        "tries": row["tries"] + 1,
        "done_s": row["start_s"],
        "packets_read": 0,
        "frames_read": 0,
        "error": None,
        "started_at": now,
        "updated_at": now,
    }
    _update(connection, row, **values)
    return {**row, **values}


def renew_part(connection: sa.Connection, session_id: str, part: int, attempt: int, **values: Any) -> str | None:
    """Store how far an attempt is, and return the part's status; None where the attempt may not write any more.

    To be called in the transaction that writes the part's rows, before they are written.
    """
    row = _lock_part(connection, session_id, part)
    if row is None or row["attempts"] != attempt or row["ended_at"] is not None or row["status"] == WAITING:
        return None
    _update(connection, row, updated_at=read_clock(connection), **values)
    return str(row["status"])


def end_part(
    connection: sa.Connection,
    session_id: str,
    part: int,
    attempt: int,
    status: str,
    error: str | None = None,
    result: dict[str, Any] | None = None,
) -> bool:
    """End an attempt: the part is over, or waits for another one; return whether the attempt was still the last one.

    A part that was cancelled meanwhile stays so, unless it was read to its end. One that has failed or was cancelled
    says in coverage which seconds are missing.
    """
    row = _lock_part(connection, session_id, part)
    if row is None or row["attempts"] != attempt or row["ended_at"] is not None:
        return False
    if row["status"] == CANCELLED and status != DONE:
        status, error = CANCELLED, row["error"]
    if status == WAITING:
        # Whoever was asked to stop has not tried in vain.
        tries = row["tries"] if error is not None else row["tries"] - 1
        _update(connection, row, status=WAITING, tries=tries, error=error, updated_at=read_clock(connection))
    else:
        _close(connection, row, status, error, result)
    return True


def cancel_parts(connection: sa.Connection, session_id: str, reason: str) -> int:
    """Cancel what is not over; return how many parts that were. One that is being read stops within seconds."""
    cancelled = 0
    for row in list_parts(connection, session_id):
        row = _lock_part(connection, session_id, row["part"]) or row
        if row["status"] == WAITING:
            _close(connection, row, CANCELLED, reason, None)
        elif row["status"] == RUNNING:
            _update(connection, row, status=CANCELLED, error=reason)  # its worker notices, and closes it
        cancelled += row["status"] not in OVER
    return cancelled


def retry_parts(connection: sa.Connection, session_id: str) -> list[int]:
    """Have the parts that failed or were cancelled be read again; return their numbers.

    Of a session that ended incomplete, also those whose faces have not all become rows: Redis has lost some.
    """
    again = []
    rows = lock_parts(connection, session_id)
    is_incomplete = store.read_session(connection, session_id)["status"] == store.INCOMPLETE
    for row in rows:
        if row["status"] in (FAILED, CANCELLED) or (is_incomplete and _lacks_rows(connection, row)):
            _forget_ledger(connection, row)
            # A worker that still reads the old attempt may not write any more.
            values = {"status": WAITING, "attempts": row["attempts"] + 1, "tries": 0, "done_s": row["start_s"]}
            counts = {"packets_read": 0, "frames_read": 0, "error": None, "ended_at": None}
            _update(connection, row, **values, **counts, updated_at=read_clock(connection))
            again.append(int(row["part"]))
    if again:
        store.update_session(connection, session_id, status=store.RUNNING, error=None, ended_at=None)
    return again


def close_dead_parts(connection: sa.Connection, session_id: str) -> None:
    """Close cancelled parts whose worker has died before it could."""
    for row in list_parts(connection, session_id):
        if row["status"] == CANCELLED and row["ended_at"] is None and _is_dead(connection, row):
            _close(connection, row, CANCELLED, row["error"], None)


def _is_dead(connection: sa.Connection, row: store.Row) -> bool:
    """Return whether the worker that reads a part has not written for too long."""
    return bool(row["updated_at"] < read_clock(connection) - DEAD_AFTER_S)


def lock_parts(connection: sa.Connection, session_id: str) -> list[store.Row]:
    """Return a session's parts, which nobody else changes until the transaction ends."""
    query = sa.select(parts).where(parts.c.session_id == session_id).order_by(parts.c.part).with_for_update()
    return [dict(row) for row in connection.execute(query).mappings()]


def _lock_part(connection: sa.Connection, session_id: str, part: int) -> store.Row | None:
    """Return a part's row, which nobody else changes until the transaction ends."""
    query = sa.select(parts).where(parts.c.session_id == session_id, parts.c.part == part).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else dict(row)


def _update(connection: sa.Connection, row: store.Row, **values: Any) -> None:
    is_row = (parts.c.session_id == row["session_id"], parts.c.part == row["part"])
    connection.execute(sa.update(parts).where(*is_row).values(**values))


def _close(
    connection: sa.Connection, row: store.Row, status: str, error: str | None, result: dict[str, Any] | None
) -> None:
    if status != DONE:
        _note_missing(connection, row)
    now = read_clock(connection)
    _update(connection, row, status=status, error=error, result=result, updated_at=now, ended_at=now)


def _of_part(row: store.Row) -> list[sa.ColumnElement[bool]]:
    """Return what holds for the part's rows of coverage."""
    found: list[sa.ColumnElement[bool]] = [coverage.c.session_id == row["session_id"]]
    if row["start_pts"] is not None:
        found.append(coverage.c.start_pts >= row["start_pts"])
    if row["end_pts"] is not None:
        found.append(coverage.c.start_pts < row["end_pts"])
    return found


def _has_own_track(table: sa.Table, row: store.Row) -> sa.ColumnElement[bool]:
    first = row["part"] * TRACKS_PER_PART
    is_own = table.c.track_id.between(first, first + TRACKS_PER_PART - 1)
    return sa.and_(table.c.session_id == row["session_id"], is_own)


def _forget_ledger(connection: sa.Connection, row: store.Row) -> None:
    connection.execute(sa.delete(coverage).where(*_of_part(row)))
    for table in (tracks, rejections):
        connection.execute(sa.delete(table).where(_has_own_track(table, row)))


def _lacks_rows(connection: sa.Connection, row: store.Row) -> bool:
    """Return whether faces of a part that were published are neither rows nor rejected."""
    published = sa.select(sa.func.coalesce(sa.func.sum(coverage.c.num_faces), 0)).where(*_of_part(row))
    stored = sa.select(sa.func.count()).select_from(emotions).where(_has_own_track(emotions, row))
    lost = sa.select(sa.func.coalesce(sa.func.sum(rejections.c.num_faces), 0)).where(_has_own_track(rejections, row))
    published_, stored_, lost_ = (int(connection.execute(query).scalar_one()) for query in (published, stored, lost))
    return published_ > stored_ + lost_


def _note_missing(connection: sa.Connection, row: store.Row) -> None:
    """Say as coverage which seconds of a part were not read: from where its coverage ends to its own end."""
    query = sa.select(sa.func.max(coverage.c.start_pts), sa.func.max(coverage.c.end_s)).where(*_of_part(row))
    last_pts, reached_s = connection.execute(query).one()
    session = store.read_session(connection, row["session_id"])
    start_s = row["start_s"] if reached_s is None else float(reached_s)
    start_pts = last_pts + 1 if last_pts is not None else row["start_pts"] or session["start_pts"] or 0
    if row["end_pts"] is not None:
        start_pts = min(start_pts, row["end_pts"] - 1)
    if start_s < row["end_s"]:
        counts = {"num_frames": 0, "num_not_sampled": 0, "num_faces": 0}
        times = {"start_pts": start_pts, "start_s": start_s, "end_s": row["end_s"]}
        missing = {"session_id": row["session_id"], "state": ledger.INTERRUPTED, **times, **counts}
        store.insert_new(connection, coverage, [missing])
