"""How far a crop can be trusted: one number from 0 to 1."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Below this side, in source pixels, a face is enlarged more than three times and says nothing reliable.
MIN_FACE_PX = 16


def compute_quality(crop: NDArray[np.uint8], side_px: float, score: float) -> float:
    """Return the geometric mean of sharpness, size, contrast and detection score, each from 0 to 1.

    ``crop`` is (H W) or (H W 3), ``side_px`` the square's side in the source's pixels, ``score`` the detector's. The
    scales are such that a clear face of the clips we know comes to about 0.9: half sharpness at a Laplacian variance of
    100, full size at the crop's own resolution, full contrast at a deviation of 40 levels.
    """
    variance = float(cv2.Laplacian(crop, cv2.CV_32F).var())
    sharpness = variance / (variance + 100)
    size = min(1.0, side_px / crop.shape[0])
    contrast = min(1.0, float(crop.std()) / 40)
    product = sharpness * size * contrast * min(max(score, 0.0), 1.0)
    return float(product**0.25)
