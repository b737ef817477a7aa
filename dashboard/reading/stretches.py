"""What a range of time of a source is made of: one session of a recording, or all of a camera's that reach into it."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from contracts import camera_sessions, store, timelines
from contracts.clocks import SessionClock
from contracts.persons import Persons, Range, read_all_persons, read_persons

Faces = tuple[tuple[str, int], ...]  # pairs of session and track


class Stretch(NamedTuple):
    """A part of a session, in its seconds, with the tracks to read (None: all together).

    ``place`` turns the session's seconds into those of the range; ``persons`` names its faces.
    """

    session: store.Row
    tracks: list[int] | None
    start_s: float
    end_s: float
    place: Callable[[float], float]
    persons: Persons


def list_stretches(
    connection: sa.Connection, source_id: str, session_id: str | None, faces: Faces | None, start: float, end: float
) -> list[Stretch]:
    """Return the stretches between two moments, in order of time: seconds of a recording's session, or Unix time.

    Raises:
        UsageError: there is no such session.
    """
    if session_id is not None:
        session = store.read_session(connection, session_id)
        tracks = None if faces is None else [track for _, track in faces]
        return [Stretch(session, tracks, start, end, float, read_persons(connection, session["session_id"]))]
    sessions = timelines.list_source_sessions(connection, source_id, start, end)
    clocks = make_clocks(connection, sessions)
    persons = read_all_persons(connection, list(clocks))
    return [
        Stretch(
            session, tracks, start_s, end_s, _place_by(clocks[session["session_id"]]), persons[session["session_id"]]
        )
        for session, tracks, start_s, end_s in find_stretches(sessions, clocks, faces, start, end)
    ]


def _place_by(clock: SessionClock) -> Callable[[float], float]:
    return lambda at: float(clock.to_wall(at))


def make_clocks(connection: sa.Connection, sessions: Sequence[store.Row]) -> dict[str, SessionClock]:
    """Return the clock of each session."""
    return {
        one["session_id"]: SessionClock(one, camera_sessions.list_anchors(connection, one["session_id"]))
        for one in sessions
    }


def find_stretches(
    sessions: Sequence[store.Row], clocks: dict[str, SessionClock], faces: Faces | None, start_at: float, end_at: float
) -> Iterator[tuple[store.Row, list[int] | None, float, float]]:
    """Yield the sessions between two moments, the oldest first, with the tracks to read and the stretch in seconds."""
    for session in reversed(sessions):
        session_id = session["session_id"]
        tracks = None if faces is None else [track for of_session, track in faces if of_session == session_id]
        start_s, end_s = (float(moment) for moment in clocks[session_id].to_session([start_at, end_at]))
        if tracks != [] and end_s >= 0:
            yield session, tracks, max(0.0, start_s), end_s


def find_ranges(
    sessions: Sequence[store.Row], clocks: dict[str, SessionClock], start_at: float, end_at: float
) -> dict[str, Range]:
    """Return the seconds of each of a camera's sessions between two moments; without ends where it is not cut."""
    ranges = {}
    for session in sessions:
        start_s, end_s = (float(moment) for moment in clocks[session["session_id"]].to_session([start_at, end_at]))
        is_over = session["ended_at"] is not None and session["ended_at"] <= end_at
        ranges[session["session_id"]] = (max(0.0, start_s), math.inf if is_over else end_s)
    return ranges
