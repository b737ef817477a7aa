"""Where the ticks of a report's axis of time stand, and what they say."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from reports.derived import Floats
from reports.panel_frame import format_clock

_STEPS_S = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400),
)


def find_ticks(start: float, end: float, zone: ZoneInfo | None) -> tuple[Floats, list[str], str]:
    """Return the places and words of the axis of time, and its unit."""
    span = end - start
    step = next((step for step in _STEPS_S if span / step <= 10), _STEPS_S[-1])
    offset = datetime.fromtimestamp(start, zone).utcoffset() if zone is not None else None
    shift = offset.total_seconds() if offset is not None else 0.0
    ticks = np.arange(np.ceil((start + shift) / step) * step - shift, end + 1e-6, step)
    if zone is not None:
        form = "%Y-%m-%d" if step >= 86400 else "%H:%M" if step >= 60 else "%H:%M:%S" if step >= 1 else "%H:%M:%S.%f"
        words = [datetime.fromtimestamp(round(tick, 2), zone).strftime(form) for tick in ticks]
        return ticks, [word[:-4] if "." in word else word for word in words], str(zone)
    if span <= 120:
        return ticks, [f"{tick:.6g}" for tick in ticks], "s"
    with_hours = end >= 3600
    return ticks, [format_clock(tick, with_hours) for tick in ticks], "h:min:s" if with_hours else "min:s"
