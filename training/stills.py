"""How an ``EmotionNet``'s CNN learns from stills: FER+ votes and original labels at once, and from a teacher.

Each picture has two targets, one for each head: the distribution of FER+'s votes, and FER2013's original label.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from models.networks import EmotionNet
from models.preprocessing import standardise
from training.augmentation import Strength, augment_stills, mix
from training.datasets import FaceDataset, compute_soft_targets, find_non_faces
from training.devices import autocast
from training.engine import Stage
from training.evaluation import select_labelled
from training.teaching import compute_distance, weigh

BATCH = 128
# Rarer emotions weigh more, by this power of their rarity: without it disgust is hardly ever named.
RARITY_POWER = 0.25


@dataclass(frozen=True)
class Stills:
    """The training images on the device, and what is to be said of them.

    ``images`` (N H W) uint8; ``votes`` and ``labels`` are target distributions (N K), all zero where there is none;
    ``vote_weights`` and ``label_weights`` (K) are the emotions' weights.
    """

    images: Tensor
    votes: Tensor
    labels: Tensor
    vote_weights: Tensor
    label_weights: Tensor

    @property
    def num_batches(self) -> int:
        """How many whole batches an epoch has."""
        return len(self.images) // BATCH


def read_stills(training: FaceDataset, device: torch.device) -> Stills:
    """Return ``training``'s faces, without what FER+ calls non-faces.

    Raises:
        DataError: there are no FER+ votes, or too few faces.
    """
    faces = training.select(~find_non_faces(training.get_votes()), training.name)
    if len(faces) < BATCH:
        raise DataError(f"{training.name} has {len(faces)} faces. Expected at least {BATCH}, one batch; add images.")
    votes = torch.from_numpy(compute_soft_targets(faces.get_votes())).to(device)
    labels = functional.one_hot(torch.from_numpy(faces.labels), len(EMOTIONS)).float().to(device)
    return Stills(
        torch.from_numpy(faces.images).to(device), votes, labels, _weigh_emotions(votes), _weigh_emotions(labels)
    )


def make_stills_stage(
    name: str,
    stills: Stills,
    epochs: int,
    learning_rate: float,
    sizes_px: Sequence[int],
    strength: Strength,
    label_smoothing: float,
    measure: Callable[[EmotionNet], dict[str, float]],
    teacher: EmotionNet | None = None,
    mixed_share: float = 0.0,
) -> Stage:
    """Return the stage that trains the CNN and both heads; the crops' sizes take equal shares of the epochs.

    ``label_smoothing`` is the share of each original label that is spread over all emotions: one annotator's word is
    less sure than ten votes. With a ``teacher``, most of the loss is the distance to what it says of the same crops.
    ``mixed_share`` of the crops shine through one another (``augmentation.mix``), and so does what is wanted of them.
    """

    labels_smoothed = stills.labels * (1 - label_smoothing) + label_smoothing / len(EMOTIONS)

    def make_losses(network: EmotionNet, epoch: int, generator: Generator) -> Iterator[Tensor]:
        size_px = sizes_px[epoch * len(sizes_px) // epochs]
        order = torch.randperm(len(stills.images), generator=generator, device=stills.images.device)
        for batch in torch.split(order[: stills.num_batches * BATCH], BATCH):
            pictures = augment_stills(stills.images[batch].float(), size_px, generator, strength)
            votes_wanted, labels_wanted = stills.votes[batch], labels_smoothed[batch]
            if mixed_share:
                pictures, votes_wanted, labels_wanted = mix(
                    mixed_share, generator, pictures, votes_wanted, labels_wanted
                )
            crops = standardise(pictures)
            votes, labels = _answer(network, crops)
            loss = _compare(votes, votes_wanted, stills.vote_weights) + _compare(
                labels, labels_wanted, stills.label_weights
            )
            if teacher is not None:
                with torch.no_grad():
                    said = _answer(teacher, crops)
                loss = weigh(loss, compute_distance(votes, said[0]) + compute_distance(labels, said[1]))
            yield loss

    return Stage(
        name=name,
        epochs=epochs,
        batches_per_epoch=stills.num_batches,
        make_optimiser=lambda network: torch.optim.SGD(
            list_parameters(network.cnn, network.emotion_head, network.original_head),
            learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,
        ),
        make_losses=make_losses,
        measure=measure,
    )


def list_parameters(*parts: nn.Module) -> list[nn.Parameter]:
    return [parameter for part in parts for parameter in part.parameters()]


def make_measure(selection: FaceDataset, device: torch.device) -> Callable[[EmotionNet], dict[str, float]]:
    """Return what measures the accuracy of windows of one on ``selection``, against FER+'s majorities.

    Raises:
        DataError: there are no votes, or no face has a majority.
    """
    watched, majority = select_labelled(selection, "ferplus")
    images, expected = torch.from_numpy(watched.images).to(device), torch.from_numpy(majority).to(device)

    @torch.inference_mode()
    def measure(network: EmotionNet) -> dict[str, float]:
        right = 0
        for start in range(0, len(images), 256):
            crops = standardise(images[start : start + 256])[:, None]
            times_s = torch.zeros(len(crops), 1, device=crops.device)
            logits = network(crops, times_s, torch.ones(len(crops), dtype=torch.int64))[:, 0]
            right += int((logits.argmax(-1) == expected[start : start + 256]).sum())
        return {"accuracy": right / len(images)}

    return measure


def _weigh_emotions(targets: Tensor) -> Tensor:
    """Return weights (K) that grow with an emotion's rarity and leave the mean weight of a target at 1."""
    share = targets.sum(0) / targets.sum()
    weights = share**-RARITY_POWER
    return weights / (weights * share).sum()


def _answer(network: EmotionNet, crops: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits (N K) of both heads for standardised crops (N H W), in float32."""
    with autocast(crops.device):
        features = network.compute_features(crops)
        votes, labels = network.emotion_head(features), network.original_head(features)
    return votes.float(), labels.float()


def _compare(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy of logits (N K) with ``targets`` (N K); images without a target count not."""
    weight = targets @ weights
    losses = functional.cross_entropy(logits, targets, reduction="none")
    return (losses * weight).sum() / weight.sum()
