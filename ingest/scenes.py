"""Notice hard cuts between analysed frames, where every face is a new one."""

import cv2
import numpy as np
from numpy.typing import NDArray

_SIZE = (32, 18)
_MIN_CHANGE = 22.0
_MIN_RATIO = 3.0


class SceneCutDetector:
    """Compares small grey copies of successive analysed frames.

    A cut changes most of the picture at once, and much more than the frames before it did: the mean absolute change
    is at least 22 of 255 levels and 3 times its running mean (the idea of PySceneDetect's adaptive detector).
    """

    def __init__(self) -> None:
        self._last: NDArray[np.float32] | None = None
        self._usual_change = 4.0

    def is_cut(self, luma: NDArray[np.uint8]) -> bool:
        """Return whether a cut lies between the last picture (H W) and this one."""
        # Every few pixels are enough, and reading a whole large plane is not free.
        step = max(1, min(luma.shape) // 72)
        small = cv2.resize(luma[::step, ::step], _SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, small
        if last is None:
            return False
        change = float(np.abs(small - last).mean())
        is_cut = change >= _MIN_CHANGE and change >= _MIN_RATIO * self._usual_change
        if not is_cut:
            self._usual_change += 0.2 * (change - self._usual_change)
        return is_cut
