"""What the experiments of paper B share: its stages, its setting and ours, what it claims.

Paper B: a CNN-BiLSTM with point-multiplication attention for driver emotion, 128x128 pixels, FER2013 and CK+. Two
stages train it. ``features`` trains CNN, LSTM and attention under softmax and centre loss. ``fitted`` begins by fitting
LDA, or a linear SVM, on the un-augmented training features, and then trains what stands behind it on the projected
features, which are computed once.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from training.augmentation import draw_uniform, warp
from training.centre_loss import CentreLoss
from training.ckplus import CKPLUS_LABELS
from training.contrast import preprocess
from training.datasets import FaceDataset
from training.devices import autocast
from training.engine import Stage
from training.experiments import Experiment
from training.lda import fit_lda
from training.networks.paper_b import SequenceConfig, SequenceNet
from training.supervised import EVALUATION_BATCH, Augment, BatchLoss, Setting, make_supervised_stage
from training.svm import fit_svm

# The rate and the joint weight of equations 2 to 4; the paper names none. The rate is that of Wen et al. 2016.
CENTRE_RATE, CENTRE_WEIGHT = 0.5, 0.01
CLAIM, CLAIM_NOTE = (
    0.7956,
    "Paper B gives 79.56 % and 95.12 % for the same network; neither is supported by the published record on "
    "FER2013's official splits (72 to 74 % for credible single networks).",
)

OURS = Setting(epochs=20, batch=64, learning_rate=0.002, one_cycle=True, label_smoothing=0.1, augment=True)
# All that is compared with each other has the same few epochs.
SHORT = replace(OURS, epochs=3)
# Adam at its usual rate, no augmentation; the paper's number of epochs would take too long here.
PAPER = Setting(epochs=4, batch=64, learning_rate=0.001)
CKPLUS = Setting(epochs=12, batch=32, learning_rate=0.001, one_cycle=True, augment=True)
CKPLUS_SHORT = replace(CKPLUS, epochs=4)
CKPLUS_SCRATCH = replace(CKPLUS, learning_rate=0.002)
HEAD = Setting(epochs=8, batch=256, learning_rate=0.01, one_cycle=True)
# A fold of CK+ has a thirtieth of FER2013's images.
CKPLUS_HEAD = replace(HEAD, epochs=20, batch=64)


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


def make_experiment(
    name: str,
    title: str,
    system: System,
    setting: Setting,
    head_setting: Setting = HEAD,
    starts_from: str | None = None,
    compared_with: str | None = None,
    claim: float | None = None,
    claim_note: str = "",
    measures_conditions: bool = False,
) -> Experiment:
    """Return the experiment that trains ``system`` on FER2013, or, where its name says so, on the folds of CK+."""
    is_ckplus = "-ckplus" in name
    augment = augment_ckplus if is_ckplus else augment_mildly
    config: dict[str, object] = {
        "network": system.network.to_dict(),
        "centre_loss": {"rate": CENTRE_RATE, "weight": CENTRE_WEIGHT} if system.centre_loss else None,
        "setting": setting.to_dict(),
        "head_setting": head_setting.to_dict() if system.network.fitted in ("lda, dense", "lda, softmax") else None,
        "augment": augment.__name__ if setting.augment else None,
    }

    def make_stages(training: FaceDataset, selection: FaceDataset | None, device: torch.device) -> list[Stage]:
        features = make_features_stage(system, setting, training, selection, device, augment)
        if system.network.fitted is None:
            return [features]
        return [features, make_fitted_stage(system, head_setting, training, device, features)]

    return Experiment(
        name=name,
        title=title,
        group="paper B",
        make_network=lambda: SequenceNet(system.network),
        make_stages=make_stages,
        preprocess=preprocess,
        data="ckplus" if is_ckplus else "fer2013",
        labels=CKPLUS_LABELS if is_ckplus else EMOTIONS,
        claim=claim,
        claim_note=claim_note,
        config=config,
        starts_from=starts_from,
        compared_with=compared_with,
        measures_conditions=measures_conditions,
    )


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


def make_rivals(name: str, title: str, system: System, measures_conditions: bool = False) -> tuple[Experiment, ...]:
    """Return a rival of the complete network on FER2013 and, from the weights learned there, on CK+."""
    return (
        make_experiment(name, f"{title}, few epochs", system, SHORT, measures_conditions=measures_conditions),
        make_experiment(
            f"{name}-ckplus",
            f"{title}, from FER2013's few epochs",
            system,
            CKPLUS_SHORT,
            CKPLUS_HEAD,
            starts_from=name,
        ),
    )
