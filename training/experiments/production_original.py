"""The shipped size, fine-tuned for FER2013's original labels alone.

``production`` follows FER+'s votes and knows the original labels by a second head. Here the CNN and that head go on
from it for those labels only, ten epochs with ``base``'s second head as the teacher, by the convention that the papers
report. Epochs and rate were fixed beforehand; it is measured and not shipped.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from contracts.emotions import EMOTIONS
from models.networks import EmotionNet, FrameCNN, NetworkConfig
from training import teaching
from training.augmentation import MILD, augment_stills
from training.datasets import FaceDataset
from training.engine import Stage
from training.experiments import Experiment
from training.experiments.production import SIZES_PX, SMALL
from training.settings_paper_a import OURS, standardise_pixels
from training.supervised import make_supervised_stage
from training.teaching import make_taught_loss

SETTING = replace(OURS, epochs=10, learning_rate=0.03, average_decay=0.999)
TRAIN_PX = SIZES_PX[-1]


class OriginalNet(nn.Module):
    """An ``EmotionNet``'s CNN and second head, under its names: logits (N K) of standardised crops (N 1 H W)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.cnn = FrameCNN(config)
        self.original_head = nn.Linear(config.block_channels[-1], len(EMOTIONS))

    def forward(self, crops: Tensor) -> Tensor:  # N 1 H W
        logits: Tensor = self.original_head(self.cnn(crops))
        return logits


def make_stages(
    training: FaceDataset, selection: FaceDataset | None, device: torch.device, teacher: EmotionNet
) -> list[Stage]:
    """Return the one stage; ``selection`` is the half on which its epochs are watched.

    Raises:
        DataError: there are fewer faces than make a batch.
    """
    loss = make_taught_loss(teacher, training.label_names, SETTING.label_smoothing)

    def augment(crops: Tensor, generator: torch.Generator) -> Tensor:
        return augment_stills(crops, TRAIN_PX, generator, MILD)

    return [
        make_supervised_stage("labels", SETTING, training, selection, device, standardise_pixels, augment, loss),
    ]


EXPERIMENTS = (
    Experiment(
        name="production-original",
        title="production, fine-tuned for the original labels",
        group="production",
        make_network=lambda: OriginalNet(SMALL),
        make_stages=make_stages,
        preprocess=standardise_pixels,
        config={
            "network": SMALL.to_dict(),
            "setting": SETTING.to_dict(),
            "train_px": TRAIN_PX,
            "teacher": teaching.describe(),
        },
        starts_from="production",
        taught_by="base",
    ),
)
