"""The axis of time: seconds of a recording, or wall-clock times of a zone."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from dashboard.charts.canvas import Canvas
from dashboard.texts import tell_seconds
from reports.panel_frame import format_clock

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def read_place(place: float | str, zone: ZoneInfo | None) -> float:
    """Return the seconds of a place on the axis, as a selection tells it."""
    if zone is None:
        return float(place)
    return float(pd.Timestamp(place).tz_localize(zone, ambiguous=True, nonexistent="shift_forward").timestamp())


class TimeAxis:
    """Places seconds on the axis: as they are, or as wall-clock times of a zone."""

    def __init__(self, zone: ZoneInfo | None) -> None:
        self.zone = zone

    def place(self, seconds: Any) -> Any:
        """Return where seconds stand on the axis."""
        if self.zone is None:
            return seconds
        times = pd.to_datetime(np.atleast_1d(np.asarray(seconds, dtype=np.float64)), unit="s", utc=True)
        local = times.tz_convert(self.zone).tz_localize(None)
        return local.to_numpy() if np.ndim(seconds) else local[0]

    def tell(self, seconds: float) -> str:
        """Return a moment in words. Charts tell hundreds of them, which takes pandas longer than all the rest."""
        if self.zone is None:
            return tell_seconds(seconds)
        return datetime.fromtimestamp(seconds, self.zone).strftime("%H:%M:%S.%f")[:-5]

    def apply(self, canvas: Canvas, start: float, end: float) -> None:
        """Give a canvas this axis, its ticks below the last row."""
        hover = ".2f" if self.zone is None else "%H:%M:%S"
        for row in range(1, canvas.num_rows + 1):
            canvas.style_x(row, range=[self.place(start), self.place(end)], hoverformat=hover)
        text, ticks = "time (s)", {}
        if self.zone is not None:
            text = f"time ({self.zone})"
        elif end - start > 120:
            step = next((step for step in _STEPS_S if (end - start) / step <= 10), _STEPS_S[-1])
            values = np.arange(np.ceil(start / step) * step, end, step)
            ticks = {"tickvals": values, "ticktext": [format_clock(value, end >= 3600) for value in values]}
            text = "time (h:min:s)" if end >= 3600 else "time (min:s)"
        canvas.style_x(canvas.num_rows, showticklabels=True, title={"text": text, "font": {"size": 12}}, **ticks)
