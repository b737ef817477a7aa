"""Markers and spans on a chart: a lane above the panels with their names, and lines through all rows at their ends."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dashboard.charts.axis import TimeAxis
from dashboard.charts.canvas import Canvas
from dashboard.charts.shapes import boxes, fade
from dashboard.charts.theme import Theme
from dashboard.texts import tell_duration, to_html

MAX_SHOWN = 200
_LEVEL_PX, _MAX_LEVELS, _NAME_LENGTH = 22, 4, 28
# How wide a chart and a letter are, about, to tell which names would lie over each other.
_CHART_PX, _LETTER_PX = 1000, 7


class Mark(NamedTuple):
    """A marker in the chart's seconds; a moment has no ``end``. ``colour`` is #RRGGBB, words are strangers'."""

    start: float
    end: float | None
    name: str
    colour: str
    note: str
    author: str


class PlacedMark(NamedTuple):
    """A mark with its level in the lane, from the top; without room for its name, it has none."""

    mark: Mark
    level: int
    has_name: bool


def stack_marks(marks: Sequence[Mark], start: float, end: float) -> list[PlacedMark]:
    """Place those marks that a view shows, ``MAX_SHOWN`` at most, so that names do not lie over each other."""
    shown = [one for one in marks if one.start <= end and (one.end or one.start) >= start][:MAX_SHOWN]
    letter_s = (end - start) / _CHART_PX * _LETTER_PX
    free_from: list[float] = []
    placed = []
    for mark in sorted(shown, key=lambda one: one.start):
        begin = max(mark.start, start)
        until = max(mark.end or begin, begin + letter_s * (min(len(mark.name), _NAME_LENGTH) + 3))
        level = next((number for number, free in enumerate(free_from) if free <= begin), len(free_from))
        if level < _MAX_LEVELS:
            free_from[level : level + 1] = [until]
            placed.append(PlacedMark(mark, level, True))
        else:
            placed.append(PlacedMark(mark, _MAX_LEVELS - 1, False))
    return placed


def find_lane_px(placed: Sequence[PlacedMark]) -> int:
    """Return the lane's height."""
    return _LEVEL_PX * (1 + max(one.level for one in placed)) if placed else 0


def draw_marks(
    canvas: Canvas, placed: Sequence[PlacedMark], axis: TimeAxis, start: float, end: float, theme: Theme
) -> None:
    """Draw marks into the lane and lines at their ends through all rows."""
    if not placed:
        return
    row = canvas.lane
    num_levels = 1 + max(one.level for one in placed)
    canvas.style_y(row, range=[num_levels, 0], visible=False)
    canvas.style_x(row, visible=False)
    for mark, level, has_name in placed:
        begin, finish = max(mark.start, start), min(mark.end or mark.start, end)
        for place in {mark.start, mark.end or mark.start}:
            if start <= place <= end:
                canvas.mark(axis.place(place), mark.colour, "dash", (level + 0.5) / num_levels)
        if mark.end is not None:
            x, y = boxes(np.array([begin]), np.array([finish]), level + 0.1, level + 0.9)
            canvas.fill(row, axis.place(x), y, fade(mark.colour, 0.35))
        name = f"   {to_html(mark.name, _NAME_LENGTH)}" if has_name else ""
        canvas.add(
            row, x=axis.place(np.array([begin])), y=[level + 0.5], mode="markers+text", text=[name], cliponaxis=False,
            textposition="middle right", textfont={"size": 12, "color": theme.ink},
            marker={"symbol": "diamond" if mark.end is None else "line-ns-open", "size": 10, "color": mark.colour,
                    "line": {"width": 2, "color": mark.colour}},
        )  # fmt: skip
        _add_hover(canvas, mark, level, axis, begin, finish)


def _add_hover(canvas: Canvas, mark: Mark, level: int, axis: TimeAxis, begin: float, finish: float) -> None:
    """Have a mark tell what it is wherever the pointer meets it."""
    told = f"<b>{to_html(mark.name)}</b><br>{axis.tell(mark.start)}"
    if mark.end is not None:
        told += f" to {axis.tell(mark.end)}, {tell_duration(mark.end - mark.start)}"
    if mark.note:
        told += f"<br>{to_html(mark.note, 200)}"
    told += f"<br>by {to_html(mark.author)}"
    places = np.linspace(begin, finish, 1 if math.isclose(begin, finish) else 30)
    canvas.add(
        canvas.lane, x=axis.place(places), y=np.full(len(places), level + 0.5), mode="lines",
        line={"width": 0}, opacity=0, hovertext=[told] * len(places), hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
