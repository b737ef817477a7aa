"""One stage that trains a classifier on labelled stills, with everything that a setting may switch on or off."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from contracts.errors import DataError
from training.augmentation import mix
from training.datasets import FaceDataset
from training.devices import autocast
from training.engine import Stage, measure_nothing

# Turns uint8 crops (N H W) into what the network takes (N 1 H' W').
Preprocess = Callable[[Tensor], Tensor]
# Returns the loss of a batch from (network, inputs, class indices (N) or shares of the classes (N K), weights of the
# classes (K) or None).
BatchLoss = Callable[[nn.Module, Tensor, Tensor, Tensor | None], Tensor]
Augment = Callable[[Tensor, Generator], Tensor]
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Setting:
    """How a classifier is trained. ``epochs`` is the most; with a ``patience`` the stage ends earlier.

    ``class_weights`` weighs each class by the inverse of its frequency in the loss; ``oversample`` draws each class
    equally often instead (an epoch keeps its length). Both are ways to hear rare emotions; together they overdo it.
    ``mixed_share`` of the crops shine through one another (``augmentation.mix``), and so do their labels: for losses
    that take shares of classes, as cross-entropies do and centre losses do not.
    """

    epochs: int
    batch: int
    learning_rate: float
    optimiser: Literal["adam", "sgd"] = "adam"
    weight_decay: float = 0.0
    one_cycle: bool = False
    patience: int | None = None
    average_decay: float = 0.0
    label_smoothing: float = 0.0
    augment: bool = False
    mixed_share: float = 0.0
    class_weights: bool = False
    oversample: bool = False

    def to_dict(self) -> dict[str, object]:
        return leave_out_mixing(asdict(self))

    def make_optimiser(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if self.optimiser == "adam":
            return torch.optim.Adam(parameters, self.learning_rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            parameters, self.learning_rate, momentum=0.9, nesterov=True, weight_decay=self.weight_decay
        )


def leave_out_mixing(settings: dict[str, object]) -> dict[str, object]:
    """Return ``settings`` without a ``mixed_share`` of 0: runs older than it are told from others by their settings."""
    return {key: value for key, value in settings.items() if key != "mixed_share" or value}


def make_supervised_stage(
    name: str,
    setting: Setting,
    training: FaceDataset,
    selection: FaceDataset | None,
    device: torch.device,
    preprocess: Preprocess,
    augment: Augment,
    compute_loss: BatchLoss | None = None,
    parameters: Callable[[nn.Module], list[nn.Parameter]] = lambda network: list(network.parameters()),
) -> Stage:
    """Return the stage that trains on ``training``'s labels and watches the accuracy on ``selection``.

    ``compute_loss`` is by default the cross-entropy of ``network(inputs)`` (N K) with the setting's label smoothing.

    Raises:
        DataError: there are fewer images than make a batch.
    """
    if len(training) < setting.batch:
        raise DataError(f"{training.name} has {len(training)} faces. Expected at least {setting.batch}, one batch.")
    images = torch.from_numpy(training.images).to(device)
    labels = torch.from_numpy(training.labels).to(device)
    counts = torch.bincount(labels, minlength=len(training.label_names)).float()
    weights = len(labels) / (len(counts) * counts.clamp(min=1)) if setting.class_weights else None
    loss_of = compute_loss or _make_cross_entropy(setting.label_smoothing)
    # An epoch of the batches that fit; the images left out differ from epoch to epoch.
    num_batches = len(images) // setting.batch

    def make_losses(network: nn.Module, _: int, generator: Generator) -> Iterator[Tensor]:
        if setting.oversample:
            share = (1 / counts.clamp(min=1))[labels]
            order = torch.multinomial(share, len(images), replacement=True, generator=generator)
        else:
            order = torch.randperm(len(images), generator=generator, device=device)
        for chosen in torch.split(order[: num_batches * setting.batch], setting.batch):
            crops = images[chosen]
            if setting.augment:
                crops = augment(crops.float(), generator).round().clamp(0, 255).to(torch.uint8)
            targets = labels[chosen]
            if setting.mixed_share:
                one_hot = functional.one_hot(targets, len(counts)).float()
                mixed, targets = mix(setting.mixed_share, generator, crops.float(), one_hot)
                crops = mixed.round().to(torch.uint8)
            with autocast(device):
                loss = loss_of(network, preprocess(crops), targets, weights)
            yield loss

    return Stage(
        name=name,
        epochs=setting.epochs,
        batches_per_epoch=num_batches,
        make_optimiser=lambda network: setting.make_optimiser(parameters(network)),
        make_losses=make_losses,
        measure=_make_measure(selection, device, preprocess) if selection is not None else measure_nothing,
        patience=setting.patience,
        one_cycle=setting.one_cycle,
        average_decay=setting.average_decay,
    )


@torch.inference_mode()
def compute_logits(network: nn.Module, images: Tensor, preprocess: Preprocess) -> Tensor:
    """Return the float32 logits (N K) of uint8 ``images`` (N H W), on the images' device, without changing them."""
    network.eval()
    parts = []
    for part in torch.split(images, EVALUATION_BATCH):
        with autocast(images.device):
            parts.append(network(preprocess(part)).float())
    return torch.cat(parts)


def _make_cross_entropy(label_smoothing: float) -> BatchLoss:
    def compute_loss(network: nn.Module, inputs: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        logits = network(inputs).float()
        return functional.cross_entropy(logits, labels, weights, label_smoothing=label_smoothing)

    return compute_loss


def _make_measure(
    selection: FaceDataset, device: torch.device, preprocess: Preprocess
) -> Callable[[nn.Module], dict[str, float]]:
    images = torch.from_numpy(selection.images).to(device)
    labels = torch.from_numpy(selection.labels).to(device)

    def measure(network: nn.Module) -> dict[str, float]:
        right = compute_logits(network, images, preprocess).argmax(-1) == labels
        return {"accuracy": float(right.float().mean())}

    return measure
