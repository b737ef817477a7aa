"""Choose frames by their time, so that a variable frame rate is sampled evenly."""

from fractions import Fraction


class FrameSampler:
    """Chooses the frame nearest to each multiple of 1/``fps`` seconds from the start; ``fps`` None takes all.

    Nearest is judged when the frame comes, as if the next one followed after the same interval as this one did. So a
    camera whose frames come at about the asked rate, but a little early or late, loses none. Whole numbers make a
    second reading choose the same frames.
    """

    def __init__(self, fps: float | None, time_base: Fraction) -> None:
        # Slots in a tick, as a ratio of whole numbers.
        self._ratio = (
            None if fps is None else (time_base * Fraction(fps).limit_denominator(1_000_000)).as_integer_ratio()
        )
        self._last_ticks = 0
        self._last_slot = -1

    def is_due(self, ticks: int) -> bool:
        """Return whether the frame ``ticks`` after the start is to be analysed. Ask for each frame in turn."""
        if self._ratio is None:
            return True
        slots, per_ticks = self._ratio
        interval = (ticks - self._last_ticks) * slots
        self._last_ticks = ticks
        # Rounded by half an interval; a pause says nothing of the frames after it.
        slot = (2 * ticks * slots + min(interval, per_ticks)) // (2 * per_ticks)
        if slot <= self._last_slot:
            return False
        self._last_slot = slot
        return True
