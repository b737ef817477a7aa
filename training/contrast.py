"""Paper B's preprocessing: a larger picture, a median filter, global contrast normalisation."""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SIZE_PX = 128
# Equation 1's constants, for pictures of 0 to 255: the paper names no values.
SCALE, REGULARISER, SMALLEST = 1.0, 10.0, 1e-8


def preprocess(crops: Tensor) -> Tensor:
    """Return uint8 crops (N H W) as the network takes them: float (N 1 128 128), contrast normalised."""
    enlarged = functional.interpolate(crops[:, None].float(), (SIZE_PX, SIZE_PX), mode="bilinear", align_corners=False)
    return normalise_contrast(filter_median(enlarged[:, 0].round().to(torch.uint8)).float())[:, None]


def filter_median(images: Tensor) -> Tensor:
    """Return uint8 images (N H W) whose pixels are the medians of their 3x3 neighbourhoods; edges are repeated."""
    if images.device.type == "cpu":
        # OpenCV's filter takes a fiftieth of the time of the tensor operations below and gives the same.
        return torch.from_numpy(np.stack([cv2.medianBlur(image, 3) for image in images.numpy()]))
    return filter_median_of_tensors(images)


def filter_median_of_tensors(images: Tensor) -> Tensor:
    """Do what ``filter_median`` does, on any device."""
    height, width = images.shape[1:]
    padded = functional.pad(images[:, None].float(), (1, 1, 1, 1), mode="replicate")[:, 0]
    shifted = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.stack(shifted).median(0).values.to(torch.uint8)


def normalise_contrast(
    images: Tensor, scale: float = SCALE, regulariser: float = REGULARISER, smallest: float = SMALLEST
) -> Tensor:
    """Return float images (N H W) under global contrast normalisation (paper B, equation 1).

    Each image loses its mean and is divided by max(ε, sqrt(λ + mean square of what is left)), times s: ``smallest`` is
    ε, ``regulariser`` λ, ``scale`` s.
    """
    centred = images - images.mean((1, 2), keepdim=True)
    contrast = (regulariser + centred.square().mean((1, 2), keepdim=True)).sqrt()
    return scale * centred / contrast.clamp(min=smallest)
