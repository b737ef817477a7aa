"""What the page Summary reads. A summary reads every row of its range, and so is kept for longer than a timeline."""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from contracts import store, summaries, timelines
from contracts.clocks import SessionClock
from contracts.persons import read_persons
from dashboard.asking import query, read
from dashboard.identity import VIEWER
from dashboard.reading.camera_gaps import list_camera_gaps
from dashboard.reading.stretches import Faces, find_stretches, make_clocks
from dashboard.reading.summing import Part, Summary, make_summary, name_track
from reports.series import find_gaps

_FRESH_S = 30.0


@query(VIEWER, ttl=_FRESH_S, max_entries=32, spinner="Summing up …")
def sum_recording(session_id: str, track_ids: tuple[int, ...] | None, start_s: float, end_s: float) -> Summary:
    """Return what a session comes to between two moments, for each of its tracks or for all faces together."""
    with read() as connection:
        session = store.read_session(connection, session_id)
        gaps = find_gaps(timelines.list_coverage_between(connection, session_id, start_s, end_s))
        part = _read_part(connection, session, start_s, end_s, track_ids)
    return make_summary([part], gaps, start_s, end_s)


@query(VIEWER, ttl=_FRESH_S, max_entries=32, spinner="Summing up …")
def sum_camera(source_id: str, faces: Faces | None, start_at: float, end_at: float) -> Summary:
    """Return what a camera saw between two moments, for each of the faces or for all of them together."""
    with read() as connection:
        sessions = timelines.list_source_sessions(connection, source_id, start_at, end_at)
        clocks = make_clocks(connection, sessions)
        gaps = list_camera_gaps(connection, source_id, sessions, clocks, start_at, end_at)
        parts = []
        for session, tracks, start_s, end_s in find_stretches(sessions, clocks, faces, start_at, end_at):
            part = _read_part(connection, session, start_s, end_s, tracks)
            session_id, clock = session["session_id"], clocks[session["session_id"]]
            name = partial(name_track, session_id=session_id, persons=read_persons(connection, session_id))
            parts.append(part._replace(name=name, place=partial(_to_wall, clock)))
    return make_summary(parts, gaps, start_at, end_at)


def _read_part(
    connection: sa.Connection, session: store.Row, start_s: float, end_s: float, tracks: Sequence[int] | None
) -> Part:
    asked = (connection, session, start_s, end_s, tracks)
    return Part(
        summaries.read_shares(*asked),
        summaries.read_transitions(*asked),
        summaries.read_episodes(*asked),
        summaries.read_quality(*asked),
        partial(name_track, persons=read_persons(connection, session["session_id"])),
        float,
    )


def _to_wall(clock: SessionClock, time_s: float) -> float:
    return float(clock.to_wall(time_s))
