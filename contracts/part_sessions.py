"""End a session that was read in parts: join the tracks at its seams, add its parts up, and check the ledger."""

from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from contracts import aliases, parts, store
from contracts.completion import end_session
from contracts.database import read_transaction, write_transaction
from contracts.errors import EmotraceError, SourceError
from contracts.recordings import is_variable
from contracts.schema import batch_files, sessions
from contracts.schema import parts as parts_table
from contracts.seams import join_tracks, read_seen_track
from contracts.stream import CropStream

_MAX_NAMED = 3


def finish_parts(engine: sa.Engine, stream: CropStream, session_id: str, retry_s: float) -> str | None:
    """End a session of which every part is over and no face waits in ``stream``; return its status, else None.

    It may be asked at any time, by several processes, and again.

    Raises:
        ServiceError: Redis or the database stayed out of reach.
    """
    write_transaction(engine, lambda connection: parts.close_dead_parts(connection, session_id), retry_s)
    with read_transaction(engine) as connection:
        session = store.read_session(connection, session_id)
        rows = parts.list_parts(connection, session_id)
    if session["status"] != store.RUNNING or not rows or any(row["ended_at"] is None for row in rows):
        return None
    if stream.count_waiting_faces(session_id):
        return None

    def write(connection: sa.Connection) -> str | None:
        # Somebody may have asked meanwhile for parts to be read again; whoever comes second sees what the first did.
        rows = parts.lock_parts(connection, session_id)
        session = store.read_session(connection, session_id)
        if session["status"] != store.RUNNING or any(row["ended_at"] is None for row in rows):
            return None
        aliases.remove_aliases(connection, session_id, aliases.AT_SEAMS)
        known = {track["track_id"] for track in store.list_tracks(connection, session_id)}
        aliases.record_aliases(connection, session_id, find_joins(rows, known), aliases.AT_SEAMS)
        store.update_session(connection, session_id, **_add_up(session, rows))
        is_fully_read = all(row["status"] == parts.DONE for row in rows)
        remedy = f"emotrace batch retry {session_id}"
        # What ended its parts left nothing waiting, as was seen above, and nobody else publishes faces of the session.
        end_session(connection, session_id, 0, is_fully_read, _find_error(rows), remedy)
        return str(store.read_session(connection, session_id)["status"])

    return write_transaction(engine, write, retry_s)


def list_unfinished(connection: sa.Connection) -> list[store.Row]:
    """Return the sessions of batches that may end, no part of them being left to read: (session_id, model_id)."""
    is_unread = sa.and_(
        parts_table.c.session_id == sessions.c.session_id, parts_table.c.status.in_((parts.WAITING, parts.RUNNING))
    )
    query = sa.select(sessions.c.session_id, sessions.c.model_id).join(batch_files)
    query = query.where(sessions.c.status == store.RUNNING, ~sa.exists().where(is_unread))
    query = query.order_by(sessions.c.session_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def find_joins(rows: list[store.Row], known: set[int]) -> list[tuple[int, int, str]]:
    """Return (track, its person's first track, reason) for all tracks that go on from part to part.

    Only ``known`` tracks, which have faces of their own, are named: others were seen in an overlap alone.
    """
    persons: dict[int, list[tuple[int, str]]] = {}
    for before, after in pairwise(rows):
        if before["status"] != parts.DONE or after["status"] != parts.DONE:
            continue
        tail = [read_seen_track(values) for values in before["result"]["seams"]["tail"]]
        head = [read_seen_track(values) for values in after["result"]["seams"]["head"]]
        for later_id, earlier_id, reason in join_tracks(tail, head, after["start_pts"]):
            person = persons.setdefault(earlier_id, [(earlier_id, "")])
            person.append((later_id, reason))
            persons[later_id] = person
    joins = []
    for person in {id(person): person for person in persons.values()}.values():
        tracks = [(track_id, reason) for track_id, reason in person if track_id in known]
        joins += [(track_id, tracks[0][0], reason) for track_id, reason in tracks[1:]]
    return sorted(joins)


def _add_up(session: store.Row, rows: list[store.Row]) -> dict[str, Any]:
    """Return the session's columns, from what its parts found."""
    results = [row["result"] for row in rows if row["result"] is not None]
    values: dict[str, Any] = {
        "num_packets": sum(row["packets_read"] for row in rows),
        "num_frames": sum(row["frames_read"] for row in rows),
    }
    if results:
        intervals = [result["min_interval"] for result in results if result["min_interval"]]
        longest = max(result["max_interval"] for result in results)
        values["facts"] = {
            **session["facts"],
            **results[0]["facts"],
            "variable_frame_rate": is_variable(min(intervals, default=0), longest),
            "last_time_s": max(result["last_time_s"] for result in results),
            "repaired_pts": sum(result["repaired_pts"] for result in results),
            "flagged_frames": sum(result["flagged_frames"] for result in results),
        }
        values["start_pts"] = results[0]["start_pts"]
    return values


def _find_error(rows: list[store.Row]) -> EmotraceError | None:
    """Return what kept parts from being read, None where nothing did but being cancelled."""
    failed = [row for row in rows if row["status"] == parts.FAILED]
    if not failed:
        if sum(row["frames_read"] for row in rows) == 0 and all(row["status"] == parts.DONE for row in rows):
            return SourceError("None of its packets could be decoded. The file is damaged beyond repair, or encrypted.")
        return None
    spans = ", ".join(f"{row['start_s']:.1f} s to {row['end_s']:.1f} s" for row in failed[:_MAX_NAMED])
    more = f" and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
    return SourceError(f"{len(failed)} of {len(rows)} parts failed ({spans}{more}): {failed[0]['error']}")
