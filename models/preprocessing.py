"""What happens to a crop's pixels before the network sees them, in training and in serving alike."""

import torch
from torch import Tensor


def standardise(crops: Tensor) -> Tensor:
    """Return crops (..., H, W) with zero mean and unit deviation each, as float32.

    This removes exposure and contrast, which differ between cameras more than between emotions. The small constant
    keeps a crop of one flat grey finite.
    """
    crops = crops.to(torch.float32)
    mean = crops.mean((-2, -1), keepdim=True)
    deviation = crops.std((-2, -1), keepdim=True, correction=0)
    return (crops - mean) / (deviation + 1.0)
