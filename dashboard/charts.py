"""Timelines as Plotly figures: data frames in, a figure out, nothing read and nothing kept.

Each face has a ribbon of its dominant emotion, its seven probabilities, and its valence, in the colours and the order
of the pictures of ``emotrace analyze``. Gaps are hatched and say why on hover; uncertain stretches are faded.
"""

from collections.abc import Sequence
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from contracts.emotions import COLOURS, EMOTIONS
from dashboard.axis import TimeAxis
from dashboard.hovers import add_hover
from dashboard.panels import Panel, average
from dashboard.shapes import Floats, boxes, fade, find_stretches, line, outline
from dashboard.theme import Theme

Style = Literal["area", "lines"]
STYLES: tuple[Style, ...] = ("area", "lines")
TITLE_PX, RIBBON_PX, AREA_PX, VALENCE_PX, AXIS_PX = 34, 20, 170, 64, 44
_SPACE_PX = 12
# Lines are told apart by their dashes too.
_DASHES = {"disgust": "dashdot", "fear": "dash", "sad": "dot", "surprise": "longdash", "neutral": "longdashdot"}
DARK_INK = ("angry", "happy", "surprise", "neutral")  # the colours on which black reads better than white


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
    is_picking: bool = False,
) -> go.Figure:
    """Draw ``panels`` below each other over one axis of time.

    ``start``, ``end`` and ``moment`` (marked by a line) are in the panels' seconds, which a ``zone`` shows as
    wall-clock times. Nothing in the figure zooms by itself: dragging selects a stretch of time, or, where
    ``is_picking``, a click selects a moment.
    """
    heights = [RIBBON_PX, AREA_PX, VALENCE_PX] if with_valence else [RIBBON_PX, AREA_PX]
    figure = _make_rows(len(panels), heights, theme)
    if is_picking:
        figure.update_layout(dragmode=False)
    axis = TimeAxis(zone)
    for index, panel in enumerate(panels):
        row = 1 + index * len(heights)
        _add_title(figure, row, panel, theme)
        _add_gaps(figure, row, len(heights), panel, axis, theme)
        if len(panel.points):
            _add_ribbon(figure, row, panel, axis)
            if style == "area":
                _add_area(figure, row + 1, panel, axis)
                _add_peaks(figure, row + 1, panel, axis, theme)
            else:
                _add_lines(figure, row + 1, panel, axis)
            if with_valence:
                _add_valence(figure, row + 2, panel, axis, theme)
            _add_veil(figure, row, panel, axis, theme)
            _add_words(figure, row, panel, axis, end - start, theme)
        add_hover(figure, row + 1, panel, axis, is_picking)
        _style_rows(figure, row, with_valence, theme)
    axis.apply(figure, start, end, max(1, len(panels)) * len(heights))
    if moment is not None and start <= moment <= end:
        figure.add_vline(x=axis.place(moment), line={"color": theme.ink, "width": 1.5, "dash": "dot"})
    return figure


def _make_rows(num_panels: int, heights: list[int], theme: Theme) -> go.Figure:
    """Return an empty figure whose rows are exactly as high as asked, a title's height above each panel."""
    panel_px = TITLE_PX + sum(heights) + _SPACE_PX * (len(heights) - 1)
    height_px = panel_px * max(1, num_panels) + AXIS_PX
    figure = make_subplots(rows=max(1, num_panels) * len(heights), cols=1, shared_xaxes=True)
    top_px = 0.0
    for row in range(1, max(1, num_panels) * len(heights) + 1):
        part = (row - 1) % len(heights)
        top_px += TITLE_PX if part == 0 else _SPACE_PX
        domain = [1 - (top_px + heights[part]) / (height_px - AXIS_PX), 1 - top_px / (height_px - AXIS_PX)]
        figure.update_yaxes(domain=[max(0.0, domain[0]), domain[1]], row=row, col=1)
        top_px += heights[part]
    figure.update_layout(
        height=height_px, margin={"l": 48, "r": 14, "t": 0, "b": AXIS_PX}, paper_bgcolor=theme.paper,
        plot_bgcolor=theme.paper, font={"color": theme.ink, "size": 12}, showlegend=False, hovermode="x",
        hoverdistance=12, dragmode="select", selectdirection="h", clickmode="event+select",
        newselection={"line": {"color": theme.accent, "width": 1}},
        hoverlabel={
            "bgcolor": theme.paper, "font": {"color": theme.ink, "size": 12}, "bordercolor": theme.line, "align": "left"
        },
    )  # fmt: skip
    figure.update_xaxes(
        fixedrange=True, showgrid=False, zeroline=False, showticklabels=False, ticks="", linecolor=theme.line,
        showspikes=True, spikemode="across", spikethickness=1, spikedash="solid", spikecolor=theme.quiet,
        spikesnap="data",
    )  # fmt: skip
    figure.update_yaxes(fixedrange=True, zeroline=False, linecolor=theme.line, gridcolor=theme.line)
    return figure


def _style_rows(figure: go.Figure, row: int, with_valence: bool, theme: Theme) -> None:
    figure.update_yaxes(range=[0, 1], showticklabels=False, showgrid=False, row=row)
    figure.update_yaxes(
        range=[0, 1], tickvals=[0, 0.5, 1], showgrid=False, title_text="probability", title_font={"size": 11},
        title_standoff=4, tickfont={"color": theme.quiet}, row=row + 1,
    )  # fmt: skip
    if with_valence:
        figure.update_yaxes(
            range=[-1, 1], tickvals=[-1, 0, 1], showgrid=True, title_text="valence", title_font={"size": 11},
            title_standoff=4, tickfont={"color": theme.quiet}, row=row + 2,
        )  # fmt: skip


def _add_title(figure: go.Figure, row: int, panel: Panel, theme: Theme) -> None:
    facts = "no results in this range"
    if len(panel.points):
        mean = average(panel.points)[list(EMOTIONS)].sort_values(ascending=False)
        number = int(panel.points["num_faces"].sum())
        strongest = ", ".join(f"{value:.0%} {name}" for name, value in mean.head(2).items())
        facts = f"{number:,} {'row' if number == 1 else 'rows'}   ·   on average {strongest}"
    figure.add_annotation(
        text=f"<b>{panel.name}</b>   <span style='color:{theme.quiet}'>{facts}</span>", showarrow=False, x=0, y=1,
        xref="x domain", yref="y domain", xanchor="left", yanchor="bottom", font={"size": 13}, row=row, col=1,
    )  # fmt: skip


def _fill(x: Any, y: Floats, colour: str, **more: Any) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        fill="toself",
        fillcolor=colour,
        line={"width": 0, "color": colour},
        hoverinfo="skip",
        **more,
    )


def _add_area(figure: go.Figure, row: int, panel: Panel, axis: TimeAxis) -> None:
    tops = panel.points[list(EMOTIONS)].to_numpy().cumsum(axis=1)
    for index, name in enumerate(EMOTIONS):
        low = tops[:, index - 1] if index else np.zeros(len(tops))
        x, y = outline(panel, low, tops[:, index])
        figure.add_trace(_fill(axis.place(x), y, COLOURS[name], name=name), row=row, col=1)


def _add_peaks(figure: go.Figure, row: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    """Mark where an emotion led for a moment that the mean of its point does not show."""
    for name in EMOTIONS:
        hidden = panel.points[(panel.points[f"{name}_max"] >= 0.5) & (panel.points[name] < 0.5)]
        hidden = hidden[hidden["label"] != name]
        marker = {
            "symbol": "triangle-up",
            "size": 7,
            "color": COLOURS[name],
            "line": {"color": theme.paper, "width": 1},
        }
        x, y = axis.place(hidden["time_s"].to_numpy()), hidden[f"{name}_max"]
        figure.add_trace(go.Scatter(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip"), row=row, col=1)


def _add_lines(figure: go.Figure, row: int, panel: Panel, axis: TimeAxis) -> None:
    points = panel.points
    is_bucketed = bool((points["num_faces"] > 1).any())
    for name in EMOTIONS:
        if is_bucketed:
            x, y = outline(panel, points[f"{name}_min"].to_numpy(), points[f"{name}_max"].to_numpy())
            figure.add_trace(_fill(axis.place(x), y, fade(COLOURS[name], 0.16)), row=row, col=1)
    for name in EMOTIONS:
        x, y = line(panel, points[name].to_numpy())
        pen = {"color": COLOURS[name], "width": 2, "dash": _DASHES.get(name, "solid")}
        figure.add_trace(
            go.Scatter(x=axis.place(x), y=y, mode="lines", line=pen, name=name, hoverinfo="skip"), row=row, col=1
        )


def _add_valence(figure: go.Figure, row: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    points = panel.points
    x, y = outline(panel, points["valence_min"].to_numpy(), points["valence_max"].to_numpy())
    figure.add_trace(_fill(axis.place(x), y, fade(theme.ink, 0.18)), row=row, col=1)
    x, y = line(panel, points["valence"].to_numpy())
    pen = {"color": theme.ink, "width": 1.5}
    figure.add_trace(go.Scatter(x=axis.place(x), y=y, mode="lines", line=pen, hoverinfo="skip"), row=row, col=1)


def _add_ribbon(figure: go.Figure, row: int, panel: Panel, axis: TimeAxis) -> None:
    stretches = find_stretches(panel, panel.points["label"])
    for name in EMOTIONS:
        of_name = stretches[stretches["value"] == name]
        if len(of_name):
            x, y = boxes(of_name["start"].to_numpy(), of_name["end"].to_numpy(), 0, 1)
            figure.add_trace(_fill(axis.place(x), y, COLOURS[name]), row=row, col=1)


def _add_words(figure: go.Figure, row: int, panel: Panel, axis: TimeAxis, duration: float, theme: Theme) -> None:
    """Write the emotions' names into the ribbon where there is room, and no change of certainty below them."""
    words = panel.points["label"].str.cat(np.where(_find_uncertain(panel), "?", ""))
    stretches = find_stretches(panel, words)
    wide = stretches[stretches["end"] - stretches["start"] > duration * 0.07]
    if not len(wide):
        return
    names = [word.rstrip("?") for word in wide["value"]]
    inks = [
        theme.ink if word.endswith("?") else "#000000" if name in DARK_INK else "#FFFFFF"
        for word, name in zip(wide["value"], names, strict=True)
    ]
    middles = ((wide["start"] + wide["end"]) / 2).to_numpy()
    text = go.Scatter(
        x=axis.place(middles), y=np.full(len(wide), 0.5), mode="text", text=wide["value"],
        textfont={"size": 11, "color": inks}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_trace(text, row=row, col=1)


def _find_uncertain(panel: Panel) -> pd.Series:
    """Return of which points most rows are uncertain."""
    return panel.points["num_uncertain"] * 2 > panel.points["num_faces"]


def _add_gaps(figure: go.Figure, row: int, num_rows: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    """Hatch the stretches without results."""
    if not len(panel.gaps):
        return
    starts, ends = panel.gaps["start"].to_numpy(), panel.gaps["end"].to_numpy()
    pattern = {"shape": "/", "fgcolor": theme.hatch, "bgcolor": theme.gap, "size": 7, "solidity": 0.2}
    for offset in range(1, num_rows):
        x, y = boxes(starts, ends, *((0, 1) if offset == 1 else (-1, 1)))
        figure.add_trace(_fill(axis.place(x), y, theme.gap, fillpattern=pattern), row=row + offset, col=1)


def _add_veil(figure: go.Figure, row: int, panel: Panel, axis: TimeAxis, theme: Theme) -> None:
    """Fade the stretches in which most rows are uncertain."""
    stretches = find_stretches(panel, _find_uncertain(panel))
    faded = stretches[stretches["value"].astype(bool)]
    if len(faded):
        x, y = boxes(faded["start"].to_numpy(), faded["end"].to_numpy(), 0, 1)
        pattern = {"shape": ".", "fgcolor": theme.quiet, "bgcolor": theme.veil, "size": 9, "solidity": 0.06}
        figure.add_trace(_fill(axis.place(x), y, theme.veil), row=row, col=1)  # words stand on it
        figure.add_trace(_fill(axis.place(x), y, theme.veil, fillpattern=pattern), row=row + 1, col=1)
