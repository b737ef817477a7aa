"""Where a timeline's panel stands, in pixels of the picture, and how its times read."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

LEFT_PX, RIGHT_PX = 90, 40
MIN_DURATION_S = 0.05  # what lasts less is a still picture


@dataclass(frozen=True)
class PanelFrame:
    """Where a panel stands: ``top_px`` from the picture's top, over ``duration_s`` seconds of time axis."""

    figure: Figure
    top_px: int
    height_px: int
    duration_s: float
    is_last: bool

    def add_axes(self, offset_px: float, axes_px: float, left_px: float = LEFT_PX) -> Axes:
        """Add axes ``axes_px`` high that begin ``offset_px`` below the panel's top."""
        width_px = self.figure.bbox.width
        bottom_px = self.height_px - self.top_px - offset_px - axes_px
        return self.figure.add_axes(
            (
                left_px / width_px,
                bottom_px / self.height_px,
                (width_px - left_px - RIGHT_PX) / width_px,
                axes_px / self.height_px,
            )
        )

    @property
    def pixels_per_s(self) -> float:
        """Pixels of the time axis per second."""
        return (self.figure.bbox.width - LEFT_PX - RIGHT_PX) / max(self.duration_s, 1e-3)


def format_time(time_s: float) -> str:
    """Return seconds as people say them: ``4.0 s``, ``1:05 min`` or ``2:03:00 h``."""
    if time_s < 60:
        return f"{time_s:.1f} s"
    with_hours = time_s >= 3600
    return f"{format_clock(time_s, with_hours)} {'h' if with_hours else 'min'}"


def format_clock(time_s: float, with_hours: bool) -> str:
    """Return seconds as minutes:seconds, or as hours:minutes:seconds."""
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if with_hours else f"{minutes}:{seconds:02d}"
