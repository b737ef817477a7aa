"""Clock anchors: moments at which a camera's clock is tied to the wall's, so that drift can be corrected later."""

from fractions import Fraction

from ingest.camera_events import ClockAnchor

_FIRST_INTERVAL_S = 2.0


class AnchorPicker:
    """Chooses the packets by which a camera's clock is tied to the wall's: those that were least late.

    The first packet at once, then one of the 2 s after it, of the next 4 s, and so on up to ``interval_s``: at the
    beginning packets may have waited inside FFmpeg, and drift needs minutes to show.
    """

    def __init__(self, time_base: Fraction, interval_s: float) -> None:
        self._seconds_per_tick = float(time_base)
        self._longest_s = interval_s
        self._interval_s = 0.0
        self._begin_s: float | None = None
        self._best: tuple[float, ClockAnchor] | None = None

    def add(self, pts: int, wall_s: float) -> ClockAnchor | None:
        """Take note of a packet; return an anchor where one is due."""
        candidate = (wall_s - pts * self._seconds_per_tick, ClockAnchor(pts, wall_s))
        if self._best is None or candidate[0] < self._best[0]:
            self._best = candidate
        if self._begin_s is None:
            self._begin_s = wall_s
        if 0 <= wall_s - self._begin_s < self._interval_s:
            return None
        anchor, self._best, self._begin_s = self._best[1], None, wall_s
        self._interval_s = min(self._longest_s, max(_FIRST_INTERVAL_S, 2 * self._interval_s))
        return anchor
