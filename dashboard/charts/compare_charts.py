"""Strips of time over each other: one panel for each value, a line for each strip, and their mean with its band."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from contracts.markers import COLOURS
from dashboard.charts.axis import TimeAxis
from dashboard.charts.canvas import Canvas
from dashboard.charts.shapes import Floats, fade
from dashboard.charts.theme import Theme
from dashboard.texts import to_html

PANEL_PX = 150
# As many pairs of colour and dash as strips: nothing is told by colour alone.
_DASHES = ("solid", "dash")
_BREAK_BINS = 1.5


def find_pen(index: int) -> tuple[str, str]:
    """Return the colour and the dash of a strip's lines."""
    colours = list(COLOURS.values())
    return colours[index % len(colours)], _DASHES[index // len(colours) % len(_DASHES)]


def draw_overlay(
    bins: pd.DataFrame,
    group: pd.DataFrame | None,
    names: Sequence[str],
    values: Sequence[str],
    bin_s: float,
    span: tuple[float, float],
    theme: Theme,
) -> go.Figure:
    """Draw the strips ``names`` of ``bins`` (``comparing.make_bins``), with ``group`` (``average_strips``) over them.

    Each of ``values`` has a panel. 0 s, where strips are aligned, is marked.
    """
    canvas, axis = Canvas(len(values), [PANEL_PX], theme), TimeAxis(None)
    for row, value in enumerate(values, start=1):
        canvas.write_title(row, f"<b>{value}</b>")
        is_valence = value == "valence"
        canvas.style_y(
            row, range=[-1, 1] if is_valence else [0, 1], tickvals=[-1, 0, 1] if is_valence else [0, 0.5, 1],
            tickfont={"color": theme.quiet},
        )  # fmt: skip
        for index, name in enumerate(names):
            strip = bins[bins["strip"] == name]
            colour, dash = find_pen(index)
            faint = 1.0 if group is None else 0.65
            pen = {"color": fade(colour, faint), "width": 2 if group is None else 1.2, "dash": dash}
            _add_line(canvas, row, strip["time_s"].to_numpy(), strip[value].to_numpy(), bin_s, name, pen)
        if group is not None:
            _add_group(canvas, row, group, value, bin_s, theme)
    axis.apply(canvas, *span)
    if span[0] < 0 < span[1]:
        canvas.mark(0.0, theme.ink)
    return canvas.make_figure(dragmode=False)


def _add_line(
    canvas: Canvas, row: int, times_s: Floats, values: Floats, bin_s: float, name: str, pen: Mapping[str, object]
) -> None:
    """Draw a line that is broken where bins have no rows."""
    breaks = np.flatnonzero(np.diff(times_s) > _BREAK_BINS * bin_s) + 1
    x, y = np.insert(times_s, breaks, np.nan), np.insert(values, breaks, np.nan)
    mode = "lines+markers" if len(times_s) < 3 else "lines"
    shown = to_html(name, 40)
    hover = f"{shown.replace('%', '&#37;')}: %{{y:.2f}}<extra></extra>"
    canvas.add(row, x=x, y=y, mode=mode, line=pen, name=shown, hovertemplate=hover)


def _add_group(canvas: Canvas, row: int, group: pd.DataFrame, value: str, bin_s: float, theme: Theme) -> None:
    times_s = group["time_s"].to_numpy()
    banded = group[f"{value}_low"].notna().to_numpy()
    is_new = np.concatenate([[True], (np.diff(times_s) > _BREAK_BINS * bin_s) | ~banded[:-1]])
    for part in np.split(np.arange(len(group)), np.flatnonzero(is_new)[1:]):
        inside = group.iloc[[index for index in part if banded[index]]]
        if len(inside):
            x = np.concatenate([inside["time_s"], inside["time_s"][::-1]])
            y = np.concatenate([inside[f"{value}_low"], inside[f"{value}_high"][::-1]])
            canvas.fill(row, x, y, fade(theme.ink, 0.16))
    pen = {"color": theme.ink, "width": 2.5}
    _add_line(canvas, row, times_s, group[value].to_numpy(), bin_s, "mean", pen)
