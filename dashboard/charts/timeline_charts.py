"""Timelines as Plotly figures: data frames in, a figure out, nothing read and nothing kept.

Each face has a ribbon of its dominant emotion, its seven probabilities, and its valence, in the colours and the order
of the pictures of ``emotrace analyze``. Gaps are hatched and say why on hover; uncertain stretches are faded.
"""

from collections.abc import Sequence
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from contracts.emotions import COLOURS, EMOTIONS, INKS, PALE
from dashboard.charts.axis import TimeAxis
from dashboard.charts.canvas import Canvas
from dashboard.charts.hovers import add_hover
from dashboard.charts.marks import Mark, draw_marks, find_lane_px, stack_marks
from dashboard.charts.shapes import boxes, fade, find_stretches, line, outline
from dashboard.charts.theme import Theme
from dashboard.reading.panels import Panel, average
from dashboard.texts import to_html

Style = Literal["area", "lines"]
STYLES: tuple[Style, ...] = ("area", "lines")
RIBBON_PX, AREA_PX, VALENCE_PX = 20, 170, 64
# Lines are told apart by their dashes too.
_DASHES = {
    "angry": "12px,3px", "disgust": "dashdot", "fear": "dash", "sad": "dot", "surprise": "15px,6px",
    "neutral": "longdashdot",
}  # fmt: skip
_SHORT_NAME = 32  # in a narrow chart


def draw_timeline(
    panels: Sequence[Panel],
    start: float,
    end: float,
    *,
    theme: Theme,
    zone: ZoneInfo | None = None,
    style: Style = "area",
    with_valence: bool = True,
    moment: float | None = None,
    marks: Sequence[Mark] = (),
    is_picking: bool = False,
    with_facts: bool = True,
) -> go.Figure:
    """Draw ``panels`` below each other over one axis of time.

    ``start``, ``end``, ``moment`` (marked by a line) and the ``marks`` above the panels are in the panels' seconds,
    which a ``zone`` shows as wall-clock times. Nothing in the figure zooms by itself: dragging selects a stretch of
    time, or, where ``is_picking``, a click selects a moment. ``with_facts`` puts rows and means beside each name.
    """
    heights = [RIBBON_PX, AREA_PX, VALENCE_PX] if with_valence else [RIBBON_PX, AREA_PX]
    lane = stack_marks(marks, start, end)
    canvas, axis = Canvas(len(panels), heights, theme, find_lane_px(lane)), TimeAxis(zone)
    for index, panel in enumerate(panels):
        row = 1 + index * len(heights)
        canvas.write_title(row, _make_title(panel, theme, with_facts))
        _add_gaps(canvas, row, len(heights), panel, axis, theme)
        if len(panel.points):
            _add_ribbon(canvas, row, panel, axis)
            if style == "area":
                _add_area(canvas, row + 1, panel, axis)
                _add_peaks(canvas, row + 1, panel, axis, theme)
            else:
                _add_lines(canvas, row + 1, panel, axis, theme)
            if with_valence:
                _add_valence(canvas, row + 2, panel, axis, theme)
            _add_veil(canvas, row, panel, axis, theme, style)
            _add_words(canvas, row, panel, axis, end - start, theme)
        add_hover(canvas, row + 1, panel, axis, is_picking)
        _style_rows(canvas, row, with_valence, theme)
    axis.apply(canvas, start, end)
    draw_marks(canvas, lane, axis, start, end, theme)
    if moment is not None and start <= moment <= end:
        canvas.mark(axis.place(moment), theme.ink)
    return canvas.make_figure(**({"dragmode": False} if is_picking else {}))


def _style_rows(canvas: Canvas, row: int, with_valence: bool, theme: Theme) -> None:
    canvas.style_y(row, range=[0, 1], showticklabels=False, showgrid=False)
    labels = {"tickfont": {"color": theme.quiet}}
    title = {"font": {"size": 11}, "standoff": 4}
    canvas.style_y(
        row + 1, range=[0, 1], tickvals=[0, 0.5, 1], showgrid=False, title={"text": "probability", **title}, **labels
    )
    if with_valence:
        canvas.style_y(row + 2, range=[-1, 1], tickvals=[-1, 0, 1], title={"text": "valence", **title}, **labels)


def _make_title(panel: Panel, theme: Theme, with_facts: bool) -> str:
    if not with_facts:
        return f"<b>{to_html(panel.name, _SHORT_NAME)}</b>"
    facts = "no results in this range"
    if len(panel.points):
        mean = average(panel.points)[list(EMOTIONS)].sort_values(ascending=False)
        number = int(panel.points["num_faces"].sum())
        strongest = ", ".join(f"{value:.0%} {name}" for name, value in mean.head(2).items())
        facts = f"{number:,} {'row' if number == 1 else 'rows'}   ·   on average {strongest}"
    return f"<b>{to_html(panel.name)}</b>   <span style='color:{theme.quiet}'>{facts}</span>"


def _add_area(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis) -> None:
    tops = panel.points[list(EMOTIONS)].to_numpy().cumsum(axis=1)
    for index, name in enumerate(EMOTIONS):
        low = tops[:, index - 1] if index else np.zeros(len(tops))
        x, y = outline(panel, low, tops[:, index])
        canvas.fill(row, axis.place(x), y, COLOURS[name], name=name)


def _add_peaks(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    """Mark where an emotion led for a moment that the mean of its point does not show."""
    for name in EMOTIONS:
        hidden = panel.points[(panel.points[f"{name}_max"] >= 0.5) & (panel.points[name] < 0.5)]
        hidden = hidden[hidden["label"] != name]
        marker = {
            "symbol": "triangle-up",
            "size": 7,
            "color": COLOURS[name],
            "line": {"color": theme.ink, "width": 1},
        }
        x, y = axis.place(hidden["time_s"].to_numpy()), hidden[f"{name}_max"]
        canvas.add(row, x=x, y=y, mode="markers", marker=marker)


def _add_lines(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    points = panel.points
    is_bucketed = bool((points["num_faces"] > 1).any())
    for name in EMOTIONS:
        if is_bucketed:
            x, y = outline(panel, points[f"{name}_min"].to_numpy(), points[f"{name}_max"].to_numpy())
            canvas.fill(row, axis.place(x), y, fade(COLOURS[name], 0.16))
    for name in EMOTIONS:
        x, y = line(panel, points[name].to_numpy())
        pen = {"color": COLOURS[name], "width": 2, "dash": _DASHES.get(name, "solid")}
        if name in PALE:
            canvas.add(row, x=axis.place(x), y=y, mode="lines", line={**pen, "color": theme.ink, "width": 3.5})
        canvas.add(row, x=axis.place(x), y=y, mode="lines", line=pen, name=name)


def _add_valence(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    points = panel.points
    x, y = outline(panel, points["valence_min"].to_numpy(), points["valence_max"].to_numpy())
    canvas.fill(row, axis.place(x), y, fade(theme.ink, 0.18))
    x, y = line(panel, points["valence"].to_numpy())
    pen = {"color": theme.ink, "width": 1.5}
    canvas.add(row, x=axis.place(x), y=y, mode="lines", line=pen)


def _add_ribbon(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis) -> None:
    stretches = find_stretches(panel, panel.points["label"])
    for name in EMOTIONS:
        of_name = stretches[stretches["value"] == name]
        if len(of_name):
            x, y = boxes(of_name["start"].to_numpy(), of_name["end"].to_numpy(), 0, 1)
            canvas.fill(row, axis.place(x), y, COLOURS[name])


def _add_words(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis, duration: float, theme: Theme) -> None:
    """Write the emotions' names into the ribbon where there is room, and no change of certainty below them."""
    words = panel.points["label"].str.cat(np.where(_find_uncertain(panel), "?", ""))
    stretches = find_stretches(panel, words)
    wide = stretches[stretches["end"] - stretches["start"] > duration * 0.07]
    if not len(wide):
        return
    names = [word.rstrip("?") for word in wide["value"]]
    inks = [theme.ink if word.endswith("?") else INKS[name] for word, name in zip(wide["value"], names, strict=True)]
    middles = ((wide["start"] + wide["end"]) / 2).to_numpy()
    canvas.add(
        row, x=axis.place(middles), y=np.full(len(wide), 0.5), mode="text", text=wide["value"],
        textfont={"size": 11, "color": inks},
    )  # fmt: skip


def _find_uncertain(panel: Panel) -> pd.Series:
    """Return of which points most rows are uncertain."""
    return panel.points["num_uncertain"] * 2 > panel.points["num_faces"]


def _add_gaps(canvas: Canvas, row: int, num_rows: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    """Hatch the stretches without results."""
    if not len(panel.gaps):
        return
    starts, ends = panel.gaps["start"].to_numpy(), panel.gaps["end"].to_numpy()
    pattern = {"shape": "/", "fgcolor": theme.hatch, "bgcolor": theme.gap, "size": 7, "solidity": 0.2}
    for offset in range(1, num_rows):
        x, y = boxes(starts, ends, *((0, 1) if offset == 1 else (-1, 1)))
        canvas.fill(row + offset, axis.place(x), y, theme.gap, fillpattern=pattern)


def _add_veil(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis, theme: Theme, style: Style) -> None:
    """Fade the stretches in which most rows are uncertain."""
    stretches = find_stretches(panel, _find_uncertain(panel))
    faded = stretches[stretches["value"].astype(bool)]
    if len(faded):
        x, y = boxes(faded["start"].to_numpy(), faded["end"].to_numpy(), 0, 1)
        pattern = {"shape": ".", "fgcolor": theme.quiet, "bgcolor": theme.veil, "size": 9, "solidity": 0.06}
        canvas.fill(row, axis.place(x), y, theme.veil)  # words stand on it
        canvas.fill(row + 1, axis.place(x), y, theme.veil, **({"fillpattern": pattern} if style == "area" else {}))
