"""A decoded picture as its planes, from which grey and small colour pictures are taken cheaply.

Converting a whole frame to RGB costs about as much as decoding it. The luma plane is a grey picture already, and small
colour pictures are made by shrinking each plane first.
"""

from functools import cached_property

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.messages import Box

_PLANAR_8_BIT = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}


class VideoImage:
    """One decoded picture, upright: ``luma`` (H W) uint8, and RGB pictures of any part on request.

    Boxes and sizes are those of the upright picture, after the video's rotation metadata has been applied.
    """

    def __init__(self, frame: av.VideoFrame) -> None:
        self._frame = frame  # owns the memory that the planes show
        self._turns = round(frame.rotation / 90) % 4  # both the metadata and rot90 count counter-clockwise
        self.width, self.height = (frame.height, frame.width) if self._turns % 2 else (frame.width, frame.height)

    @cached_property
    def _planes(self) -> list[NDArray[np.uint8]]:
        # Only frames that are analysed ever come here; a format of another kind is converted whole.
        if self._frame.format.name not in _PLANAR_8_BIT:
            self._frame = self._frame.reformat(format="yuv420p")
        return [_read_plane(plane, self._turns) for plane in self._frame.planes]

    @property
    def luma(self) -> NDArray[np.uint8]:
        return self._planes[0]

    def read_rgb(self, box: Box, width: int, height: int) -> NDArray[np.uint8]:
        """Return the part within ``box`` (xyxy in pixels, inside the picture) as RGB (height width 3)."""
        luma, blue, red = (self._shrink(plane, box, width, height) for plane in self._planes)
        rgb = cv2.cvtColor(cv2.merge((luma, red, blue)), cv2.COLOR_YCrCb2RGB)
        return rgb.astype(np.uint8, copy=False)

    def _shrink(self, plane: NDArray[np.uint8], box: Box, width: int, height: int) -> NDArray[np.uint8]:
        scale_x, scale_y = plane.shape[1] / self.width, plane.shape[0] / self.height
        left, top = int(box[0] * scale_x), int(box[1] * scale_y)
        right = max(left + 1, min(plane.shape[1], round(box[2] * scale_x)))
        bottom = max(top + 1, min(plane.shape[0], round(box[3] * scale_y)))
        return shrink(plane[top:bottom, left:right], width, height)


def shrink(plane: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return ``plane`` (H W) resized to (height width): halved while it is more than twice as large, then resampled.

    Halving by averaging is ten times as fast as averaging over a broken ratio, and looks the same to a detector.
    """
    while plane.shape[0] >= 2 * height and plane.shape[1] >= 2 * width:
        rows, columns = plane.shape[0] // 2, plane.shape[1] // 2
        even = plane[: 2 * rows, : 2 * columns]
        plane = cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _read_plane(plane: av.video.plane.VideoPlane, turns: int) -> NDArray[np.uint8]:
    pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
