"""Rows of a chart below each other, over one axis of time, as the plain values that a Plotly figure is made of.

Plotly's own objects check each value when it is set, which takes longer than everything else of a page.
"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard.charts.theme import Theme

TITLE_PX, AXIS_PX = 34, 44
_SPACE_PX = 12


class Canvas:
    """``num_panels`` times rows of ``heights`` pixels, a title's height above each panel; rows are counted from 1.

    Above them all is a ``lane`` of ``lane_px`` pixels for what concerns every panel: one more row, after the others.
    """

    def __init__(self, num_panels: int, heights: Sequence[int], theme: Theme, lane_px: int = 0) -> None:
        panel_px = TITLE_PX + sum(heights) + _SPACE_PX * (len(heights) - 1)
        inner_px = panel_px * max(1, num_panels) + lane_px
        self.num_rows = max(1, num_panels) * len(heights)
        self.lane = self.num_rows + 1
        self._lane_height = lane_px / inner_px
        self._traces: list[dict[str, Any]] = []
        self._layout: dict[str, Any] = {
            "height": inner_px + AXIS_PX, "margin": {"l": 48, "r": 14, "t": 0, "b": AXIS_PX}, "annotations": [],
            "shapes": [], "paper_bgcolor": theme.paper, "plot_bgcolor": theme.paper, "showlegend": False,
            "font": {"color": theme.ink, "size": 12}, "hovermode": "x", "hoverdistance": 12, "dragmode": "select",
            "selectdirection": "h", "clickmode": "event+select",
            "newselection": {"line": {"color": theme.accent, "width": 1}},
            "hoverlabel": {
                "bgcolor": theme.paper, "font": {"color": theme.ink, "size": 12}, "bordercolor": theme.line,
                "align": "left",
            },
        }  # fmt: skip
        top_px = float(lane_px)
        if lane_px:
            self._add_axes(self.lane, [1 - self._lane_height, 1], theme)
        for row in range(1, self.num_rows + 1):
            part = (row - 1) % len(heights)
            top_px += _SPACE_PX if part else TITLE_PX
            bottom = max(0.0, 1 - (top_px + heights[part]) / inner_px)
            self._add_axes(row, [bottom, 1 - top_px / inner_px], theme)
            top_px += heights[part]

    def _add_axes(self, row: int, domain: list[float], theme: Theme) -> None:
        number = _number(row)
        self._layout[f"xaxis{number}"] = {
            "anchor": f"y{number}", "fixedrange": True, "showgrid": False, "zeroline": False, "showticklabels": False,
            "linecolor": theme.line, "showspikes": True, "spikemode": "across", "spikethickness": 1,
            "spikedash": "solid", "spikecolor": theme.quiet, "spikesnap": "data",
            **({"matches": "x"} if row > 1 else {}),
        }  # fmt: skip
        self._layout[f"yaxis{number}"] = {
            "anchor": f"x{number}", "domain": domain, "fixedrange": True, "zeroline": False, "linecolor": theme.line,
            "gridcolor": theme.line,
        }  # fmt: skip

    def add(self, row: int, **trace: Any) -> None:
        """Add a scatter trace to a row; without a ``hovertemplate`` it does not answer the pointer."""
        number = _number(row)
        hover = {} if "hovertemplate" in trace else {"hoverinfo": "skip"}
        self._traces.append({"type": "scatter", "xaxis": f"x{number}", "yaxis": f"y{number}", **hover, **trace})

    def fill(self, row: int, x: Any, y: Any, colour: str, **more: Any) -> None:
        """Fill polygons."""
        pen = {"width": 0, "color": colour}
        self.add(row, x=x, y=y, mode="lines", fill="toself", fillcolor=colour, line=pen, **more)

    def style_x(self, row: int, **values: Any) -> None:
        """Set properties of a row's axis of time."""
        self._layout[f"xaxis{_number(row)}"] |= values

    def style_y(self, row: int, **values: Any) -> None:
        """Set properties of a row's other axis."""
        self._layout[f"yaxis{_number(row)}"] |= values

    def write_title(self, row: int, text: str) -> None:
        """Write a panel's title above its first row."""
        # By place: a row without a trace has no axes, and a title that names them would stand over another row.
        top = self._layout[f"yaxis{_number(row)}"]["domain"][1]
        self._layout["annotations"].append(
            {
                "text": text, "showarrow": False, "x": 0, "y": top, "xref": "paper", "yref": "paper",
                "xanchor": "left", "yanchor": "bottom", "font": {"size": 13},
            }
        )  # fmt: skip

    def mark(self, x: Any, colour: str, dash: str = "dot", lane_share: float = 0.0) -> None:
        """Mark a moment by a line through all rows, from the top or from a share of the lane's height down."""
        pen = {"color": colour, "width": 1.5, "dash": dash}
        top = 1 - self._lane_height * lane_share
        self._layout["shapes"].append(
            {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": top, "line": pen}
        )

    def make_figure(self, **layout: Any) -> go.Figure:
        """Return the figure."""
        return go.Figure(data=self._traces, layout={**self._layout, **layout})


def _number(row: int) -> str:
    """Return the number that stands in the names of a row's axes; the first has none."""
    return "" if row == 1 else str(row)
