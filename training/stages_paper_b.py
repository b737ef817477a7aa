"""How paper B's systems learn: their augmentation and the two stages that train them.

``features`` trains CNN, LSTM and attention under softmax and centre loss. ``fitted`` begins by fitting LDA, or a linear
SVM, on the un-augmented training features, and then trains what stands behind it on the projected features, which are
computed once.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from contracts.errors import DataError
from training.augmentation import draw_uniform, warp
from training.centre_loss import CentreLoss
from training.contrast import preprocess
from training.datasets import FaceDataset
from training.devices import autocast
from training.engine import Stage
from training.lda import fit_lda
from training.networks.paper_b import SequenceConfig, SequenceNet
from training.supervised import EVALUATION_BATCH, Augment, BatchLoss, Setting, make_supervised_stage
from training.svm import fit_svm

# The rate and the joint weight of equations 2 to 4; the paper names none. The rate is that of Wen et al. 2016.
CENTRE_RATE, CENTRE_WEIGHT = 0.5, 0.01


@dataclass(frozen=True)
class System:
    """A row of the paper: its network, and whether centre loss trains it; plain cross-entropy does otherwise."""

    network: SequenceConfig
    centre_loss: bool = False


def augment_mildly(crops: Tensor, generator: Generator) -> Tensor:
    """Return crops (N H W) turned by up to 10°, scaled and shifted a little, half of them mirrored."""
    number = (len(crops),)
    return _mirror_half(
        warp(
            crops,
            draw_uniform(number, -math.radians(10), math.radians(10), generator),
            draw_uniform(number, 0.9, 1.1, generator),
            draw_uniform(number, -0.04, 0.04, generator),
            draw_uniform(number, -0.04, 0.04, generator),
            crops.shape[-1],
            crops.shape[-1],
        ),
        generator,
    )


def augment_ckplus(crops: Tensor, generator: Generator) -> Tensor:
    """Return crops (N H W) under the paper's augmentation of CK+: rotation, flip, brightness.

    Contrast normalisation takes brightness away again, except where it ran into black or white.
    """
    number = (len(crops),)
    angle = draw_uniform(number, -math.radians(10), math.radians(10), generator)
    still = torch.zeros_like(angle)
    turned = warp(crops, angle, still + 1, still, still, crops.shape[-1], crops.shape[-1])
    brightness = draw_uniform(number, 0.7, 1.3, generator)[:, None, None]
    return (_mirror_half(turned, generator) * brightness).clamp(0, 255)


def _mirror_half(crops: Tensor, generator: Generator) -> Tensor:
    mirrored = draw_uniform((len(crops),), 0, 1, generator) < 0.5
    return torch.where(mirrored[:, None, None], crops.flip(-1), crops)


def make_features_stage(
    system: System,
    setting: Setting,
    training: FaceDataset,
    selection: FaceDataset | None,
    device: torch.device,
    augment: Augment,
) -> Stage:
    """Return the stage that trains everything before the fitted layer, with a softmax layer in its place."""
    loss: BatchLoss | None = None
    memory: dict[str, Tensor] = {}
    if system.centre_loss:
        centres = CentreLoss(len(training.label_names), SequenceNet(system.network).features, CENTRE_RATE, device)
        loss, memory = make_joint_loss(centres, CENTRE_WEIGHT, setting.label_smoothing), {"centres": centres.centres}
    stage = make_supervised_stage("features", setting, training, selection, device, preprocess, augment, loss)
    # A network that begins with another run's weights has that run's fitted layer.
    return replace(stage, begin=SequenceNet.restart, memory=memory)


def make_joint_loss(centres: CentreLoss, weight: float, label_smoothing: float) -> BatchLoss:
    """Return softmax loss + ``weight`` · centre loss (equation 4's joint loss), which moves the centres as it goes."""

    def compute_loss(network: nn.Module, inputs: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        assert isinstance(network, SequenceNet)
        features = network.compute_features(inputs)
        logits = network.classify(features).float()
        softmax_loss = functional.cross_entropy(logits, labels, weights, label_smoothing=label_smoothing)
        loss = softmax_loss + weight * centres(features, labels)
        centres.update(features, labels)
        return loss

    return compute_loss


def make_fitted_stage(
    system: System, setting: Setting, training: FaceDataset, device: torch.device, features: Stage
) -> Stage:
    """Return the stage that fits the projection and trains the head behind it; an SVM has none, so no epochs.

    It watches what ``features`` watches.
    """
    labels = torch.from_numpy(training.labels).to(device)
    batch = min(setting.batch, len(labels))
    num_batches = len(labels) // batch
    projected: list[Tensor] = []  # What the head learns from, (N C), once it is known.

    def begin(network: SequenceNet) -> None:
        found = compute_features(network, training, device)
        if not bool(found.isfinite().all()):
            raise DataError(
                "The features are no finite numbers: the training diverged, so nothing can be fitted. Lower its "
                "rate, and start over in another --out."
            )
        fit = fit_svm if system.network.fitted == "svm" else fit_lda
        size = network.projection.out_features
        weight, bias = fit(found.cpu().double().numpy(), training.labels, size)
        network.set_projection(torch.from_numpy(weight), torch.from_numpy(bias))

    def make_losses(network: SequenceNet, _epoch: int, generator: Generator) -> Iterator[Tensor]:
        if not projected:
            with torch.no_grad():
                projected.append(network.projection(compute_features(network, training, device)))
        (inputs,) = projected
        network.eval()
        network.head.train()
        order = torch.randperm(len(labels), generator=generator, device=device)
        for chosen in torch.split(order[: num_batches * batch], batch):
            yield functional.cross_entropy(network.head(inputs[chosen]), labels[chosen])

    return Stage(
        name="fitted",
        epochs=0 if system.network.fitted == "svm" else setting.epochs,
        batches_per_epoch=num_batches,
        make_optimiser=lambda network: setting.make_optimiser(list(network.head.parameters())),
        make_losses=make_losses,
        measure=features.measure,
        begin=begin,
        one_cycle=setting.one_cycle,
        average_decay=0,
    )


@torch.no_grad()
def compute_features(network: SequenceNet, faces: FaceDataset, device: torch.device) -> Tensor:
    """Return the trained features (N C) of ``faces`` as they are, without augmentation."""
    network.eval()
    parts = []
    for crops in torch.split(torch.from_numpy(faces.images), EVALUATION_BATCH):
        with autocast(device):
            parts.append(network.compute_features(preprocess(crops.to(device))))
    return torch.cat(parts)
