"""Lower a camera's sampling rate while inference is behind, and raise it again later."""

# Of the asked rate: 10, 5, 2 and 1 frames a second.
_STEPS = (1.0, 0.5, 0.2, 0.1)
# Time for a step to show before the next one.
_SETTLE_S = 3.0
_CALM_S = 10.0


class RateStepper:
    """Steps down when the oldest waiting entry is older than ``high_s``; up after ten seconds below ``low_s``.

    The two bounds lie apart, and the way up is slower than the way down, so that the rate does not swing.
    """

    def __init__(self, asked_fps: float, high_s: float, low_s: float) -> None:
        self._asked_fps, self._high_s, self._low_s = asked_fps, high_s, low_s
        self._step = 0
        self._changed_s = float("-inf")
        self._calm_since_s: float | None = None

    @property
    def fps(self) -> float:
        """The rate in force."""
        return self._asked_fps * _STEPS[self._step]

    @property
    def is_lowered(self) -> bool:
        """Whether the rate in force is below the asked one."""
        return self._step > 0

    def update(self, now_s: float, age_s: float) -> bool:
        """Take note of how old the oldest waiting work is at ``now_s``; return whether the rate changed."""
        if age_s >= self._low_s:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        before = self._step
        if age_s > self._high_s and now_s - self._changed_s >= _SETTLE_S:
            self._step = min(self._step + 1, len(_STEPS) - 1)
        elif self._calm_since_s is not None and now_s - max(self._calm_since_s, self._changed_s) >= _CALM_S:
            self._step = max(self._step - 1, 0)
        if self._step != before:
            self._changed_s = now_s
        return self._step != before
