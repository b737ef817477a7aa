"""Notice whether a picture has changed since one that was searched as a whole: else nothing new is to be found."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.messages import Box

# The smallest face that a search of the whole frame finds covers 4 x 4 of these cells.
_GRID = (64, 36)
# Levels of 255, of a cell's mean: above noise and a codec's unrest, below what a head does to its background.
_MIN_CHANGE = 6.0
# Each cell is the mean of this many pixels a side or a little more; reading a whole large plane is not free.
_PIXELS = 8


class SearchedPicture:
    """A small grey copy of the picture that was last searched as a whole."""

    def __init__(self) -> None:
        self._searched: NDArray[np.float32] | None = None
        self._newest: NDArray[np.float32] | None = None

    def has_changed(self, luma: NDArray[np.uint8], known: Sequence[Box]) -> bool:
        """Return whether ``luma`` (H W) differs from that picture outside the ``known`` regions, in its pixels."""
        step = max(1, min(luma.shape[0] // (_PIXELS * _GRID[1]), luma.shape[1] // (_PIXELS * _GRID[0])))
        self._newest = cv2.resize(luma[::step, ::step], _GRID, interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._searched is None:
            return True
        change = np.abs(self._newest - self._searched)
        scale_x, scale_y = _GRID[0] / luma.shape[1], _GRID[1] / luma.shape[0]
        for x1, y1, x2, y2 in known:
            # A cell that lies in it by half is looked at with it.
            rows = slice(max(0, round(y1 * scale_y)), max(0, round(y2 * scale_y)))
            columns = slice(max(0, round(x1 * scale_x)), max(0, round(x2 * scale_x)))
            change[rows, columns] = 0.0
        return bool(change.max() >= _MIN_CHANGE)

    def keep(self) -> None:
        """Take note that the picture that was last asked about is searched as a whole."""
        self._searched = self._newest
