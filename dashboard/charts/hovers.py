"""What a chart says under the pointer: exact values where there are results, the reason where there are none."""

from typing import Any

import numpy as np

from contracts.emotions import COLOURS, EMOTIONS
from contracts.timelines import VALUES
from dashboard.charts.axis import TimeAxis
from dashboard.charts.canvas import Canvas
from dashboard.reading.panels import Panel
from dashboard.reading.rows import iterate_rows
from dashboard.texts import tell_duration, tell_state

# A gap answers the pointer wherever it is met.
_STEPS = 100


def add_hover(canvas: Canvas, row: int, panel: Panel, axis: TimeAxis, is_picking: bool) -> None:
    """Have each point tell its values, and each gap its reason, over the chart in ``row``.

    ``is_picking`` lets points be clicked; a stretch that is dragged over is then told with all its points.
    """
    if len(panel.points):
        x = axis.place(panel.points["time_s"].to_numpy())
        canvas.add(row, **_make_handles(x, _tell_points(panel, axis), is_picking))
    if not len(panel.gaps):
        return
    span = float(panel.gaps["end"].max() - panel.gaps["start"].min())
    moments, texts = [], []
    for gap in iterate_rows(panel.gaps):
        length = gap.end - gap.start
        number = int(np.clip(np.ceil(length / max(span, 1e-9) * _STEPS), 1, _STEPS))
        moments += list(gap.start + (np.arange(number) + 0.5) * length / number)
        between = f"{axis.tell(gap.start)} to {axis.tell(gap.end)}, {tell_duration(length)}"
        texts += [f"<b>no results: {tell_state(gap.state)}</b><br>{between}"] * number
    canvas.add(row, **_make_handles(axis.place(np.array(moments)), texts, False))


def _tell_points(panel: Panel, axis: TimeAxis) -> list[str]:
    points = panel.points
    texts = [axis.tell(at) for at in points["time_s"]]
    for name in VALUES:
        form = "{:.1%}" if name in EMOTIONS else "{:+.2f}"
        mark = f"<span style='color:{COLOURS[name]}'>■</span> " if name in EMOTIONS else ""
        columns = (points[name], points[f"{name}_min"], points[f"{name}_max"], points["num_faces"])
        for position, (mean, low, high, number) in enumerate(zip(*columns, strict=True)):
            between = f" ({form.format(low)} to {form.format(high)})" if number > 1 else ""
            texts[position] += f"<br>{mark}{name} {form.format(mean)}{between}"
    for position, (number, uncertain) in enumerate(zip(points["num_faces"], points["num_uncertain"], strict=True)):
        alone = "<br>uncertain" if uncertain else ""
        texts[position] += f"<br>{number} rows, {uncertain} uncertain" if number > 1 else alone
    return texts


def _make_handles(x: Any, texts: list[str], is_picking: bool) -> dict[str, Any]:
    """Return invisible points that answer the pointer. Those of a line cannot be selected, and so are not sent back."""
    unseen = {"marker": {"opacity": 0}}
    shape = (
        {"mode": "markers", "marker": {"opacity": 0, "size": 12}, "selected": unseen, "unselected": unseen}
        if is_picking
        else {"mode": "lines", "line": {"width": 0}, "opacity": 0}
    )
    y = np.full(len(x), 0.5)
    return {"x": x, "y": y, "hovertext": texts, "hovertemplate": "%{hovertext}<extra></extra>", **shape}
