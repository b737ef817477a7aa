"""Learning from a teacher beside the labels (Hinton et al. 2015): how far its word counts, and how it is asked."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.emotions import EMOTIONS
from models.networks import EmotionNet
from training.supervised import BatchLoss

# What a teacher says is softened and weighs against the labels so.
TEMPERATURE = 2.0
SHARE = 0.7


def describe() -> dict[str, float]:
    """Return what an experiment's ``config`` says of the teaching."""
    return {"temperature": TEMPERATURE, "share": SHARE}


def weigh(loss: Tensor, distance: Tensor) -> Tensor:
    """Return the loss against the labels and the ``distance`` from the teacher as one."""
    return (1 - SHARE) * loss + SHARE * distance


def compute_distance(logits: Tensor, said: Tensor) -> Tensor:
    """Return the divergence of logits (N K) from those of the teacher (N K), both softened."""
    wanted = (said / TEMPERATURE).softmax(-1)
    found = (logits / TEMPERATURE).log_softmax(-1)
    return TEMPERATURE**2 * functional.kl_div(found, wanted, reduction="batchmean")


def make_taught_loss(teacher: EmotionNet, label_names: Sequence[str], label_smoothing: float) -> BatchLoss:
    """Return the loss of a classifier of FER2013's original labels ``label_names``, taught by the head that knows them.

    It takes standardised crops, as the teacher does.
    """
    columns = [EMOTIONS.index(name) for name in label_names]

    def compute_loss(network: nn.Module, crops: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:  # N 1 H W
        with torch.no_grad():
            said = teacher.original_head(teacher.compute_features(crops[:, 0])).float()[:, columns]
        logits = network(crops).float()
        loss = functional.cross_entropy(logits, labels, weights, label_smoothing=label_smoothing)
        return weigh(loss, compute_distance(logits, said))

    return compute_loss
