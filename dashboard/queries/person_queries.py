"""What pages read of who is who in a session. What was just edited must be seen: no cache."""

from typing import NamedTuple

import sqlalchemy as sa

from contracts import store, timelines
from contracts.clocks import SessionClock
from contracts.persons import list_persons
from contracts.track_history import find_undoable, list_edits, read_version
from dashboard.asking import read
from dashboard.identity import VIEWER, require
from dashboard.reading.stretches import make_clocks

MAX_OFFERED, SHOWN_EDITS = 200, 10


class Faces(NamedTuple):
    """The faces of a session as they are at a ``version`` of its edits.

    ``names`` by track; ``edits``, the newest first; ``undoable``, the one that would be undone, if there is one.
    """

    version: int
    names: dict[int, str]
    edits: list[store.Row]
    undoable: store.Row | None


def read_faces(session_id: str) -> Faces:
    """Return who is who in a session, and what was done to its tracks."""
    require(VIEWER)
    with read() as connection:
        names = {row["track_id"]: row["name"] for row in list_persons(connection, session_id)}
        return _make_faces(connection, session_id, names)


def read_faces_between(session_id: str, start: float, end: float, is_camera: bool) -> Faces:
    """Return the faces that are there between two moments, those seen most first, ``MAX_OFFERED`` at most.

    The moments are seconds of a recording, or since 1970.
    """
    require(VIEWER)
    with read() as connection:
        if is_camera:
            start, end = (float(moment) for moment in _read_clock(connection, session_id).to_session([start, end]))
        rows = timelines.list_tracks_between(connection, {session_id: (start, end)})[:MAX_OFFERED]
        names = {row["track_id"]: row["name"] for row in rows}
        return _make_faces(connection, session_id, names)


def _make_faces(connection: sa.Connection, session_id: str, names: dict[int, str]) -> Faces:
    version, edits = read_version(connection, session_id), list_edits(connection, session_id, SHOWN_EDITS)
    return Faces(version, names, edits, find_undoable(connection, session_id))


def find_session_time(session_id: str, at: float) -> float:
    """Return the seconds from a camera session's start of a moment in seconds since 1970.

    Raises:
        UsageError: there is no such session.
    """
    require(VIEWER)
    with read() as connection:
        return float(_read_clock(connection, session_id).to_session(at))


def _read_clock(connection: sa.Connection, session_id: str) -> SessionClock:
    return make_clocks(connection, [store.read_session(connection, session_id)])[session_id]
