"""A wider, deeper network of the shipped kind: to teach ``production`` (not done yet), and for GPUs to serve.

It has a block more, at full resolution, and 1.7 times the arithmetic: too much for a CPU that follows cameras.
Augmentation is mild from the start, because networks of this size know what they trained on hardly better than what
they never saw.
"""

import torch

from contracts.model_card import InputContract
from models.networks import EmotionNet, NetworkConfig
from models.preprocessing import standardise
from training.augmentation import MILD
from training.datasets import FaceDataset
from training.engine import Stage
from training.experiments import Experiment, Served
from training.stills import make_measure, make_stills_stage, read_stills
from training.windows import WINDOW_LENGTH, make_clips_stage

STILL_EPOCHS = 40
CLIP_EPOCHS = 6
SIZES_PX = (32, 38, 44)


def make_network() -> EmotionNet:
    return EmotionNet(NetworkConfig(stem_channels=32, block_channels=(32, 64, 128, 256), first_stride=1))


def make_stages(training: FaceDataset, selection: FaceDataset | None, device: torch.device) -> list[Stage]:
    """Return the stages; ``selection`` is the half on which epochs are watched.

    Raises:
        DataError: either has no FER+ votes, or too few faces.
    """
    assert selection is not None
    stills, measure = read_stills(training, device), make_measure(selection, device)
    return [
        make_stills_stage("stills", stills, STILL_EPOCHS, 0.1, SIZES_PX, MILD, measure),
        make_clips_stage(CLIP_EPOCHS, stills, selection),
    ]


EXPERIMENTS = (
    Experiment(
        name="base",
        title="base",
        group="production",
        make_network=make_network,
        make_stages=make_stages,
        preprocess=standardise,
        config={
            "still_epochs": STILL_EPOCHS,
            "clip_epochs": CLIP_EPOCHS,
            "sizes_px": SIZES_PX,
            "network": make_network().config.to_dict(),
        },
        served=Served(InputContract(size_px=48, channels=1), WINDOW_LENGTH),
    ),
)
