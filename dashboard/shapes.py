"""The geometry of charts: what is drawn between two curves, over a stretch, or broken where a line would tell a lie."""

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.panels import Panel

Floats = NDArray[np.float64]


def outline(panel: Panel, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return polygons between two curves: one for each segment, held for half an interval at both ends."""
    times, segments = panel.points["time_s"].to_numpy(), panel.points["segment"].to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(segments)) + 1), len(times)]
    xs: list[Floats] = []
    ys: list[Floats] = []
    for first, last in pairwise(bounds):
        part = slice(first, last)
        along = np.concatenate([[times[first] - panel.half_s], times[part], [times[last - 1] + panel.half_s]])
        top, bottom = (np.concatenate([side[part][:1], side[part], side[part][-1:]]) for side in (high, low))
        xs += [along, along[::-1], along[:1], np.array([np.nan])]
        ys += [top, bottom[::-1], top[:1], np.array([np.nan])]
    return np.concatenate(xs)[:-1], np.concatenate(ys)[:-1]


def line(panel: Panel, values: Floats) -> tuple[Floats, Floats]:
    """Return a line through the points, broken between segments."""
    times, segments = panel.points["time_s"].to_numpy(), panel.points["segment"].to_numpy()
    breaks = np.flatnonzero(np.diff(segments)) + 1
    first, last = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(times)]]) - 1
    xs = np.concatenate([times, times[first] - panel.half_s, times[last] + panel.half_s, times[last] + panel.half_s])
    ys = np.concatenate([values, values[first], values[last], np.full(len(last), np.nan)])
    order = np.lexsort((np.isnan(ys), xs))
    return xs[order], ys[order]


def boxes(starts: Floats, ends: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """Return rectangles as polygons."""
    nothing = np.full(len(starts), np.nan)
    x = np.column_stack([starts, starts, ends, ends, starts, nothing]).ravel()
    y = np.column_stack([np.full(len(starts), value) for value in (low, high, high, low, low, np.nan)]).ravel()
    return x[:-1], y[:-1]


def find_stretches(panel: Panel, values: pd.Series) -> pd.DataFrame:
    """Return the stretches over which ``values`` stay the same within a segment: start, end and value."""
    points = panel.points
    times, segments, held = points["time_s"].to_numpy(), points["segment"].to_numpy(), values.to_numpy()
    starts = np.concatenate([[0], np.flatnonzero((np.diff(segments) != 0) | (held[1:] != held[:-1])) + 1])
    last = np.concatenate([starts[1:], [len(times)]]) - 1
    begins, ends = times[starts] - panel.half_s, times[last] + panel.half_s
    is_joined = segments[starts[1:]] == segments[last[:-1]]
    middles = (times[starts[1:]] + times[last[:-1]]) / 2
    begins[1:][is_joined] = ends[:-1][is_joined] = middles[is_joined]
    return pd.DataFrame({"start": begins, "end": ends, "value": held[starts]})


def fade(colour: str, opacity: float) -> str:
    """Return a colour of six digits, let through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
