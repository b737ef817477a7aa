"""The numbers of one face's timeline, ready to be drawn: its points, cut into segments, and its gaps with reasons."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from contracts.emotions import EMOTIONS
from contracts.timelines import VALUES
from reports.derived import derive
from reports.series import Gap, find_absences, find_interval, split_segments

POINT_COLUMNS = (
    "time_s", "first_s", "last_s", "num_faces", "num_uncertain",
    *(f"{name}{suffix}" for name in VALUES for suffix in ("", "_min", "_max")),
)  # fmt: skip
# A view is about this many pixels wide; a gap thinner than one is not to be seen.
_PIXELS = 1500
MAX_GAPS = 400


class Panel(NamedTuple):
    """One face, or all together.

    ``points`` has ``POINT_COLUMNS``, ``label``, ``confidence`` and ``segment`` (points of one number may be joined by a
    line); ``gaps`` has ``start``, ``end`` and ``state``. Times are seconds: from the session's start, or since 1970.
    ``half_s`` is half the usual time between points.
    """

    name: str
    points: pd.DataFrame
    gaps: pd.DataFrame
    half_s: float


def make_panel(name: str, rows: Sequence[Mapping[str, Any]], gaps: Sequence[Gap], start: float, end: float) -> Panel:
    """Return the panel of points in order of time, between ``start`` and ``end``."""
    points = pd.DataFrame(rows, columns=list(POINT_COLUMNS)).astype(np.float64)
    points = points.astype({"num_faces": np.int64, "num_uncertain": np.int64})
    derived = derive(points[list(EMOTIONS)].to_numpy()) if len(points) else None
    points["label"] = derived.labels if derived else pd.Series(dtype=object)
    points["confidence"] = derived.confidences if derived else pd.Series(dtype=np.float64)
    seen = [gap for gap in gaps if gap.end_s - gap.start_s > (end - start) / _PIXELS]
    times = points["time_s"].to_numpy()
    segments = split_segments(times, seen)
    points["segment"] = np.repeat(np.arange(len(segments)), [part.stop - part.start for part in segments])
    half_s = (find_interval(times) or (end - start) / 200) / 2
    spans = [(times[part][0] - half_s - start, times[part][-1] + half_s - start) for part in segments]
    moved = [Gap(gap.start_s - start, gap.end_s - start, gap.state) for gap in seen]
    absent = find_absences(spans, moved, end - start)
    seen += [Gap(gap.start_s + start, gap.end_s + start, gap.state) for gap in absent]
    return Panel(name, points, _make_gaps(seen, start, end), half_s)


def _make_gaps(gaps: Sequence[Gap], start: float, end: float) -> pd.DataFrame:
    """Return the gaps inside the view, the longest ``MAX_GAPS`` of them, in order of time."""
    inside = [(max(gap.start_s, start), min(gap.end_s, end), gap.state) for gap in gaps]
    longest = sorted((gap for gap in inside if gap[1] > gap[0]), key=lambda gap: gap[0] - gap[1])[:MAX_GAPS]
    return pd.DataFrame(sorted(longest), columns=["start", "end", "state"])


def average(points: pd.DataFrame) -> pd.Series:
    """Return the mean of each emotion and of valence over all rows behind ``points``."""
    weights = points["num_faces"].to_numpy(dtype=np.float64)
    values = points[list(VALUES)].to_numpy()
    return pd.Series(np.average(values, axis=0, weights=weights) if weights.sum() else np.nan, index=list(VALUES))
