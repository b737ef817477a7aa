"""Choose frames by their time, so that a variable frame rate is sampled evenly."""

from fractions import Fraction


class FrameSampler:
    """Chooses the frame nearest to each multiple of 1/``fps`` seconds from the start; ``fps`` None takes all.

    Nearest is judged when the frame comes, as if the next one followed after the same interval as this one did. So a
    camera whose frames come at about the asked rate, but a little early or late, loses none. Whole numbers make a
    second reading choose the same frames.
    """

    def __init__(self, fps: float | None, time_base: Fraction) -> None:
        self._slots_per_tick = None if fps is None else time_base * Fraction(fps).limit_denominator(1_000_000)
        self._last_ticks = 0
        self._last_slot = -1

    def is_due(self, ticks: int) -> bool:
        """Return whether the frame ``ticks`` after the start is to be analysed. Ask for each frame in turn."""
        if self._slots_per_tick is None:
            return True
        interval = (ticks - self._last_ticks) * self._slots_per_tick
        self._last_ticks = ticks
        # A pause says nothing of the frames after it.
        slot = int(ticks * self._slots_per_tick + min(interval, Fraction(1)) / 2)
        if slot <= self._last_slot:
            return False
        self._last_slot = slot
        return True
