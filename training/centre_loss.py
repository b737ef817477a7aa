"""The centre loss: features are drawn to their class's centre (paper B, equations 2 to 4; Wen et al. 2016)."""

import torch
from torch import Tensor
from torch.nn import functional


class CentreLoss:
    """Class centres (K C), which are part of the loss and not of the network, and their two rules.

    ``centres`` are changed in place, so that a stage can keep them in its memory.
    """

    def __init__(self, num_classes: int, features: int, rate: float, device: torch.device) -> None:
        self.centres = torch.zeros(num_classes, features, device=device)
        self.rate = rate

    def __call__(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return half the mean squared distance of ``features`` (N C) to their classes' centres.

        The paper sums over the batch; the mean keeps the joint weight's meaning when the batch's size changes.
        """
        return (features - self.centres[labels]).square().sum(1).mean() / 2

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Move each class's centre by rate · Σ(x - c) / (1 + n) over the batch's n features x of that class."""
        member = functional.one_hot(labels, len(self.centres)).to(features.dtype)  # N K
        number = member.sum(0)[:, None]  # K 1
        difference = member.T @ features - number * self.centres  # K C
        self.centres += self.rate * difference / (1 + number)
