"""Choose frames by their time, so that a variable frame rate is sampled evenly."""

from fractions import Fraction


class FrameSampler:
    """Chooses the first frame in each slot of 1/``fps`` seconds from the session's start; ``fps`` None takes all.

    Slots are computed in whole numbers from pts, so a second reading chooses the same frames.
    """

    def __init__(self, fps: float | None, time_base: Fraction) -> None:
        self._slots_per_tick = None if fps is None else time_base * Fraction(fps).limit_denominator(1_000_000)
        self._last_slot = -1

    def is_due(self, ticks: int) -> bool:
        """Return whether the frame ``ticks`` after the first one is to be analysed."""
        if self._slots_per_tick is None:
            return True
        slot = int(ticks * self._slots_per_tick)
        if slot == self._last_slot:
            return False
        self._last_slot = slot
        return True
