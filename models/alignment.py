"""Cut a face out of a picture the way the training images are framed. Shared by ingest and training; no torch."""

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.messages import Box
from models.detection import BoxFraming


def find_crop_square(box: Box, framing: BoxFraming, side_factor: float = 1.0) -> tuple[float, float, float]:
    """Return the centre (x, y) and side in pixels of the square that shows ``box`` as the training images would."""
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    side = float(np.sqrt(framing.height_factor * height * framing.width_factor * width)) * side_factor
    return x1 + framing.centre_x * width, y1 + framing.centre_y * height, side


def crop_face(
    image: NDArray[np.uint8], box: Box, framing: BoxFraming, size_px: int, side_factor: float = 1.0
) -> NDArray[np.uint8]:
    """Return the face in ``box`` as a square crop (size_px size_px) of a grey picture (H W).

    Where the square reaches beyond the picture, the picture's edge is repeated.
    """
    centre_x, centre_y, side = find_crop_square(box, framing, side_factor)
    height, width = image.shape[:2]
    side_px = max(1, round(side))
    left, top = round(centre_x - side_px / 2), round(centre_y - side_px / 2)
    right, bottom = left + side_px, top + side_px
    # At least one row and column stay inside, so that there is an edge to repeat.
    rows = slice(min(max(top, 0), height - 1), max(min(bottom, height), 1))
    columns = slice(min(max(left, 0), width - 1), max(min(right, width), 1))
    inside = image[rows, columns]
    margins = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if any(margins):
        inside = cv2.copyMakeBorder(inside, *margins, borderType=cv2.BORDER_REPLICATE).astype(np.uint8)
    # Averaging avoids aliasing when shrinking; enlarging needs a smooth interpolation.
    interpolation = cv2.INTER_AREA if side_px >= size_px else cv2.INTER_LINEAR
    return cv2.resize(inside, (size_px, size_px), interpolation=interpolation).astype(np.uint8)
