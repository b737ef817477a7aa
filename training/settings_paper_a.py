"""What the experiments of paper A share: its setting and ours, the two sizes of the networks, the claim.

Paper A: a CNN-BiLSTM on FER2013, 48x48 grey. It does not say how many layers and channels its CNN has, in which order
the map is read, or how pixels are scaled. The readings that were chosen stand beside each name below.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from contracts.emotions import EMOTIONS
from models.networks import EmotionNet
from models.preprocessing import standardise
from training import teaching
from training.augmentation import MILD, augment_stills
from training.datasets import FaceDataset
from training.engine import Stage
from training.experiments import Experiment
from training.networks.paper_a import CROP_PX, PaperAConfig, ResidualConfig
from training.supervised import Preprocess, Setting, make_supervised_stage
from training.teaching import make_taught_loss

THREE_EMOTIONS = ("happy", "sad", "neutral")
# From its abstract (CNN-BiLSTM based Facial Emotion Recognition, InJET 2024, doi 10.3126/injet.v2i1.72579).
CLAIMS = {EMOTIONS: 0.794, THREE_EMOTIONS: 0.890}
CLAIM_NOTE = (
    "Paper A's test row adds up to 7,178 images: both of FER2013's official test splits (PublicTest and PrivateTest). "
    "The published record on the official splits supports no such figure for a network of this size (72 to 74 % for "
    "credible single networks on seven emotions)."
)

# The paper's size, as read here: three blocks of one convolution, a sequence of 6x6 = 36 steps.
PAPER_SIZE = PaperAConfig(blocks=((32,), (64,), (128,)), dropout=0.1, dense=128, lstm_hidden=64)
# Ours: four blocks of the same kind, a sequence of 3x3 = 9 steps.
OUR_SIZE = PaperAConfig(blocks=((32,), (64,), (128, 128), (256, 256)), dropout=0.3, dense=128, lstm_hidden=128)
# The ablation's: cheap enough to be trained five times.
SMALL_SIZE = PaperAConfig(blocks=((32,), (64,), (128,), (192,)), dropout=0.3, dense=128, lstm_hidden=96)

# The paper's second setting; how long early stopping waits is not said.
PAPER = Setting(epochs=100, batch=16, learning_rate=0.001, patience=4)
# The paper's first setting, which diverged.
DIVERGING = replace(PAPER, batch=32, learning_rate=0.1, patience=2)
OURS = Setting(
    epochs=14,
    batch=128,
    learning_rate=0.1,
    optimiser="sgd",
    weight_decay=5e-4,
    one_cycle=True,
    average_decay=0.99,
    label_smoothing=0.1,
    augment=True,
)
# Our optimiser with none of what the paper left for later.
PLAIN = replace(OURS, epochs=4, augment=False)
# The sides of the crops that ours learns from: smaller ones cost less, and 40 pixels give the same map as 48.
TRAIN_PX = 40


def scale_pixels(crops: Tensor) -> Tensor:
    """Return crops (N H W) as (N 1 H W) with values from 0 to 1, for the paper's setting."""
    return crops[:, None].float() / 255


def standardise_pixels(crops: Tensor) -> Tensor:
    """Return crops (N H W) as (N 1 H W) with zero mean and unit deviation each, for our setting."""
    return standardise(crops)[:, None]


def make_experiment(
    name: str,
    title: str,
    network: Callable[[Any, int], nn.Module],
    size: PaperAConfig | ResidualConfig,
    setting: Setting,
    labels: tuple[str, ...] = EMOTIONS,
    preprocess: Preprocess = standardise_pixels,
    train_px: int = CROP_PX,
    measures_conditions: bool = False,
    is_claimed: bool = False,
    starts_from: str | None = None,
    taught_by: str | None = None,
    compared_with: str | None = None,
) -> Experiment:
    """Return the experiment that trains ``network`` of ``size`` as ``setting`` says, on the classes ``labels``.

    ``is_claimed`` is for what the paper states a figure for: its CNN-BiLSTM, not the bare CNN nor our variations.
    """

    def augment(crops: Tensor, generator: Generator) -> Tensor:
        return augment_stills(crops, train_px, generator, MILD)

    def make_stages(
        training: FaceDataset, selection: FaceDataset | None, device: torch.device, teacher: EmotionNet | None = None
    ) -> list[Stage]:
        loss = make_taught_loss(teacher, labels, setting.label_smoothing) if teacher else None
        return [make_supervised_stage("faces", setting, training, selection, device, preprocess, augment, loss)]

    return Experiment(
        name=name,
        title=title,
        group="paper A",
        make_network=lambda: network(size, len(labels)),
        make_stages=make_stages,
        preprocess=preprocess,
        labels=labels,
        claim=CLAIMS[labels] if is_claimed else None,
        claim_note=CLAIM_NOTE if is_claimed else "",
        config={
            "network": size.to_dict(),
            "setting": setting.to_dict(),
            "preprocess": preprocess.__name__,
            "train_px": train_px,
            **({"teacher": teaching.describe()} if taught_by else {}),
        },
        starts_from=starts_from,
        taught_by=taught_by,
        compared_with=compared_with,
        measures_conditions=measures_conditions,
    )
