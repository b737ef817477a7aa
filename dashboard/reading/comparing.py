"""What is compared: strips of time that begin together, put into common bins, and their mean as a group."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from contracts.timelines import VALUES, find_bucket_s
from dashboard.reading.panels import Panel
from dashboard.reading.stretches import Faces

MAX_STRIPS = 12
NUM_BINS = 300
_INTERVALS = 1.5
_CONFIDENCE = 0.95


class Strip(NamedTuple):
    """A stretch of time of a face, or of all faces together (None). ``origin`` is the moment that is 0 s for it.

    Times are seconds of a recording's session (``session_id``), or since 1970 of a camera (None): of all its sessions
    between ``start`` and ``end``, or of one alone (``camera_session_id``).
    """

    name: str
    source_id: str
    session_id: str | None
    faces: Faces | None
    start: float
    end: float
    origin: float
    camera_session_id: str | None = None


def find_bounds(strips: Sequence[Strip]) -> tuple[float, float]:
    """Return the seconds around their origins that strips cover."""
    return min(one.start - one.origin for one in strips), max(one.end - one.origin for one in strips)


def find_bin_s(panels: Sequence[Panel], least_s: float) -> float:
    """Return how long bins are: ``least_s``, or long enough that each holds a row of every strip, as a round number."""
    interval_s = max((2 * panel.half_s for panel in panels if len(panel.points) > 1), default=0.0)
    return max(least_s, find_bucket_s(_INTERVALS * interval_s, 2)) if interval_s else least_s


def make_bins(panels: Sequence[Panel], bin_s: float) -> pd.DataFrame:
    """Return the means of each strip's values over bins of ``bin_s``: strip, time_s (the bin's middle), rows, values.

    Bins without rows are not there; nothing is made up for them.
    """
    tables = []
    for panel in panels:
        points = panel.points
        # Rows that stand on an edge, but for rounding, fall into the same bin whatever their strip's origin is.
        number = np.floor(points["time_s"] / bin_s + 1e-6)
        weighted = points[list(VALUES)].mul(points["num_faces"], axis=0)
        sums = weighted.assign(rows=points["num_faces"]).groupby(number).sum()
        table = sums[list(VALUES)].div(sums["rows"], axis=0)
        table.insert(0, "rows", sums["rows"])
        table.insert(0, "time_s", (sums.index.to_numpy(dtype=np.float64) + 0.5) * bin_s)
        table.insert(0, "strip", panel.name)
        tables.append(table)
    return (
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["strip", "time_s", "rows", *VALUES])
    )


def average_strips(bins: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of strips in each bin, each strip counting the same, with the band that holds it at 95 %.

    time_s, strips (how many have rows there), and for each value its mean, ``_low`` and ``_high``: Student's confidence
    interval of the mean, as if strips were drawn independently. One strip alone has no band.
    """
    grouped = bins.groupby("time_s")
    numbers = grouped.size().to_numpy(dtype=np.float64)
    columns: dict[str, Any] = {
        "time_s": np.array(list(grouped.groups), dtype=np.float64),
        "strips": numbers.astype(int),
    }
    with np.errstate(invalid="ignore"):
        spread = np.where(numbers > 1, stdtrit(np.maximum(numbers - 1, 1), 0.5 + _CONFIDENCE / 2), np.nan)
    for name in VALUES:
        mean = grouped[name].mean().to_numpy()
        half = spread * grouped[name].std(ddof=1).to_numpy() / np.sqrt(numbers)
        low, high = (-1.0, 1.0) if name == "valence" else (0.0, 1.0)
        columns |= {
            name: mean,
            f"{name}_low": np.maximum(mean - half, low),
            f"{name}_high": np.minimum(mean + half, high),
        }
    return pd.DataFrame(columns)
