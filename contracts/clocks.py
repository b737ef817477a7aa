"""When a camera's frames were seen: its own clock, tied to the wall's by anchors, so that drift is corrected."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class SessionClock:
    """Translates a session's seconds into wall-clock seconds since 1970, and back.

    ``session`` is a row of ``sessions``; ``anchors`` are its pairs of (pts, wall-clock seconds), in order of pts, from
    ``camera_sessions.list_anchors``. Between two anchors time runs evenly, which takes the camera's drift out; before
    the first and after the last it runs as fast as the wall's. Without anchors only the session's start is known.
    """

    def __init__(self, session: Mapping[str, Any], anchors: Sequence[tuple[int, float]]) -> None:
        is_timed = session["time_base_num"] is not None and session["start_pts"] is not None
        if anchors and is_timed:
            tick_s = session["time_base_num"] / session["time_base_den"]
            self._times_s = np.array([(pts - session["start_pts"]) * tick_s for pts, _ in anchors])
            # A wall clock that was set back would make one moment of two.
            self._walls_s = np.maximum.accumulate(np.array([wall_s for _, wall_s in anchors]))
        else:
            self._times_s, self._walls_s = np.zeros(1), np.array([float(session["started_at"])])

    def to_wall(self, times_s: ArrayLike) -> Floats:
        """Return wall-clock seconds since 1970 of moments in seconds from the session's start."""
        return _interpolate(np.asarray(times_s, dtype=np.float64), self._times_s, self._walls_s)

    def to_session(self, walls_s: ArrayLike) -> Floats:
        """Return seconds from the session's start of moments in wall-clock seconds since 1970."""
        return _interpolate(np.asarray(walls_s, dtype=np.float64), self._walls_s, self._times_s)


def _interpolate(values: Floats, known: Floats, wanted: Floats) -> Floats:
    outside = np.minimum(values - known[0], 0.0) + np.maximum(values - known[-1], 0.0)
    inside: Floats = np.interp(values, known, wanted)
    moved: Floats = inside + outside
    return moved
