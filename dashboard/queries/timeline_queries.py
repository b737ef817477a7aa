"""What timelines are made of, as data frames: sources, their sessions and faces, and the points of a stretch."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from contracts import store, timelines
from contracts.persons import NOBODY, Persons, read_all_persons, read_persons
from dashboard.asking import FRESH_S, query, read
from dashboard.identity import VIEWER
from dashboard.reading.camera_gaps import list_camera_gaps
from dashboard.reading.panels import Panel, make_panel
from dashboard.reading.stretches import Faces, find_ranges, find_stretches, make_clocks
from dashboard.reading.summing import name_track
from reports.series import find_gaps

MAX_FACES = 6


@query(VIEWER, ttl=FRESH_S, max_entries=4)
def list_sources() -> pd.DataFrame:
    """Return the sources with sessions: source_id, kind, name, created_at, num_sessions, newest_at."""
    with read() as connection:
        rows = timelines.list_sources(connection)
    return pd.DataFrame(rows, columns=["source_id", "kind", "name", "created_at", "num_sessions", "newest_at"])


@query(VIEWER, ttl=FRESH_S, max_entries=64)
def list_sessions(source_id: str) -> pd.DataFrame:
    """Return a source's sessions, the newest first: session_id, status, model_id, started_at, ended_at."""
    with read() as connection:
        rows = timelines.list_source_sessions(connection, source_id)
    return pd.DataFrame(rows, columns=["session_id", "status", "model_id", "started_at", "ended_at", "error"])


@query(VIEWER, ttl=FRESH_S, max_entries=64)
def read_session(session_id: str) -> dict[str, Any]:
    """Return a session's row with its source's name, and ``duration_s``.

    Raises:
        UsageError: there is none with this id.
    """
    with read() as connection:
        session = dict(store.read_session(connection, session_id))
        return {**session, "duration_s": timelines.find_duration(connection, session)}


@query(VIEWER, ttl=FRESH_S, max_entries=64)
def list_tracks(session_id: str) -> pd.DataFrame:
    """Return a session's faces, those seen most first: track_id, name, num_faces, start_s, end_s."""
    with read() as connection:
        rows = timelines.list_tracks_between(connection, {session_id: (0.0, math.inf)})
    return pd.DataFrame(rows, columns=["track_id", "name", "num_faces", "start_s", "end_s"])


@query(VIEWER, ttl=FRESH_S, max_entries=128)
def read_recording(session_id: str, track_ids: tuple[int, ...] | None, start_s: float, end_s: float) -> list[Panel]:
    """Return a panel for each track of a session between two moments, or one for all faces together."""
    with read() as connection:
        session = store.read_session(connection, session_id)
        gaps = find_gaps(timelines.list_coverage_between(connection, session_id, start_s, end_s))
        rows = timelines.read_points(connection, session, start_s, end_s, track_ids)
        persons = read_persons(connection, session_id)
    names = {one: name_track(one, persons=persons) for one in track_ids or (timelines.TOGETHER,)}
    return [
        make_panel(name, [row for row in rows if row["track_id"] == track_id], gaps, start_s, end_s)
        for track_id, name in names.items()
    ]


@query(VIEWER, ttl=FRESH_S, max_entries=64)
def list_camera_faces(source_id: str, start_at: float, end_at: float, kept: Faces = ()) -> pd.DataFrame:
    """Return the faces that a camera saw between two moments, those seen most first, ``MAX_FACES`` times four at most.

    ``session_id`` and ``track_id`` name them; ``start_at`` and ``end_at`` are seconds since 1970. Those of ``kept`` are
    there too, however seldom they were seen.
    """
    with read() as connection:
        sessions = timelines.list_source_sessions(connection, source_id, start_at, end_at)
        clocks = make_clocks(connection, sessions)
        rows = timelines.list_tracks_between(connection, find_ranges(sessions, clocks, start_at, end_at))
    faces = [
        {
            "session_id": row["session_id"],
            "track_id": row["track_id"],
            "name": f"{row['name']} of {row['session_id'][-4:]}",
            "num_faces": row["num_faces"],
            "start_at": float(clocks[row["session_id"]].to_wall(row["start_s"])),
            "end_at": float(clocks[row["session_id"]].to_wall(row["end_s"])),
        }
        for row in rows
    ]
    most = faces[: 4 * MAX_FACES]
    most += [face for face in faces[4 * MAX_FACES :] if (face["session_id"], face["track_id"]) in kept]
    return pd.DataFrame(most, columns=["session_id", "track_id", "name", "num_faces", "start_at", "end_at"])


@query(VIEWER, ttl=FRESH_S, max_entries=64)
def read_camera(source_id: str, faces: Faces | None, start_at: float, end_at: float) -> list[Panel]:
    """Return a panel for each of a camera's faces between two moments, or one for all of them together.

    ``faces`` are pairs of session and track. Times are seconds since 1970, the camera's drift taken out.
    """
    with read() as connection:
        sessions = timelines.list_source_sessions(connection, source_id, start_at, end_at)
        clocks = make_clocks(connection, sessions)
        gaps = list_camera_gaps(connection, source_id, sessions, clocks, start_at, end_at)
        bucket_s = timelines.find_bucket_s(end_at - start_at)
        persons = read_all_persons(connection, list(clocks))
        rows: dict[tuple[str, int] | None, list[store.Row]] = {key: [] for key in faces or (None,)}
        for session, tracks, start_s, end_s in find_stretches(sessions, clocks, faces, start_at, end_at):
            session_id, clock = session["session_id"], clocks[session["session_id"]]
            points = timelines.read_points(connection, session, start_s, end_s, tracks, bucket_s=bucket_s)
            for point in points:
                walls = {name: float(clock.to_wall(point[name])) for name in ("time_s", "first_s", "last_s")}
                key = None if faces is None else (session_id, point["track_id"])
                rows[key].append({**point, **walls})
    return [make_panel(_name_face(key, persons), points, gaps, start_at, end_at) for key, points in rows.items()]


def _name_face(face: tuple[str, int] | None, persons: Mapping[str, Persons]) -> str:
    if face is None:
        return name_track(timelines.TOGETHER)
    session_id, track_id = face
    return name_track(track_id, session_id, persons.get(session_id, NOBODY))
