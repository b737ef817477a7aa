"""The geometry of charts: what is drawn between two curves, over a stretch, or broken where a line would tell a lie.

And what their colours are mixed to, and which ink reads on them.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.reading.panels import Panel

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
    red, green, blue = _split(colour)
    return f"rgba({red},{green},{blue},{opacity})"


def mix(first: str, second: str, share: float) -> str:
    """Return the colour with a ``share`` of the second, as a colour scale has it between two of six digits."""
    parts = zip(_split(first), _split(second), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in parts)


def find_ink(colour: str) -> str:
    """Return black or white, whichever stands out more from a colour of six digits: at 4.5 to 1 and better."""
    return max(("#000000", "#FFFFFF"), key=lambda ink: find_contrast(ink, colour))


def find_contrast(first: str, second: str) -> float:
    """Return how much two colours of six digits stand out from each other, from 1 to 21, as WCAG 2 defines it."""
    low, high = sorted(_find_luminance(colour) for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def _find_luminance(colour: str) -> float:
    parts = [value / 255 for value in _split(colour)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _split(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
