"""How an installation went over the last hours, as charts: a data frame in, a figure out."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from contracts.history import SAMPLE_S
from dashboard.charts.axis import TimeAxis
from dashboard.charts.canvas import Canvas
from dashboard.charts.shapes import fade
from dashboard.charts.theme import Theme

_ROW_PX = 88
# A line does not run on over samples that were not taken.
_BREAK_S = 3 * SAMPLE_S


class Measure(NamedTuple):
    """A chart: what it is called, and the columns that it shows (the second one dashed) with their divisor and unit."""

    title: str
    columns: tuple[str, ...]
    unit: str = ""
    divisor: float = 1.0


_MIB = float(2**20)
MEASURES = (
    Measure("Crop sequences waiting", ("waiting",)),
    Measure("Oldest waits (s)", ("oldest_age_s",), " s"),
    Measure("Crops a second", ("crops_per_s",)),
    Measure("Inference workers", ("workers",)),
    Measure("Jobs that wait for a host", ("jobs",)),
    Measure("Cameras live, of those enabled (dashed)", ("live", "enabled")),
    Measure("Largest lag of a camera (s)", ("lag_s",), " s"),
    Measure("Reconnects of running cameras", ("reconnects",)),
    Measure("Rejected crop sequences", ("rejected",)),
    Measure("Redis (MiB), of its limit (dashed)", ("redis_used_bytes", "redis_max_bytes"), " MiB", _MIB),
    Measure("Database (MiB)", ("database_bytes",), " MiB", _MIB),
    Measure("Rows", ("num_rows",)),
)


def draw_history(
    samples: pd.DataFrame, measures: tuple[Measure, ...], start: float, end: float, zone: ZoneInfo, theme: Theme
) -> go.Figure:
    """Draw measures below each other between two moments (seconds since 1970)."""
    canvas, axis = Canvas(len(measures), [_ROW_PX], theme), TimeAxis(zone)
    broken = break_lines(samples)
    x = axis.place(broken["at"].to_numpy(np.float64)) if len(broken) else []
    for row, measure in enumerate(measures, start=1):
        top = 0.0
        for place, column in enumerate(measure.columns):
            y = broken[column].to_numpy(np.float64) / measure.divisor
            if place and not np.nan_to_num(y).any():
                continue  # there is no limit
            top = max(top, float(np.nanmax(y)) if len(y) else 0.0)
            pen = {"color": theme.quiet if place else theme.accent, "width": 1.5, "dash": "dash" if place else "solid"}
            area = {} if place else {"fill": "tozeroy", "fillcolor": fade(theme.accent, 0.14)}
            told = f"{column.replace('_', ' ')}: " if len(measure.columns) > 1 else ""
            hover = f"{told}%{{y:,.4~g}}{measure.unit}<extra></extra>"
            canvas.add(row, x=x, y=y, mode="lines", line=pen, hovertemplate=hover, **area)
        canvas.style_y(row, range=[0, 1.1 * top or 1.0], nticks=4, tickfont={"color": theme.quiet})
        canvas.write_title(row, measure.title)
    axis.apply(canvas, start, end)
    return canvas.make_figure(dragmode=False, hovermode="x unified")


def break_lines(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples with a row of nothing in each stretch without any."""
    at = samples["at"].to_numpy(np.float64)
    breaks = at[:-1][np.diff(at) > _BREAK_S] + 1.0 if len(at) else at
    empty = pd.DataFrame({"at": breaks}, columns=samples.columns, dtype=np.float64)
    if not len(empty):
        return samples.astype(np.float64)
    return pd.concat([samples.astype(np.float64), empty]).sort_values("at", ignore_index=True)
