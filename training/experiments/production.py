"""The shipped model: a compact CNN trained on stills, then a bidirectional LSTM with attention over clips.

Stage ``stills`` trains the CNN with two heads: FER+ vote distributions (soft targets) and FER2013's original labels.
Its epochs grow from small crops to large ones, which takes a quarter of the time off (progressive learning, Tan and
Le 2021). Stage ``refine`` goes on with a milder augmentation: after the first stage the network knows what it trained
on hardly better than what it never saw. Stage ``clips`` freezes the CNN and trains the temporal part on clips made from
stills, at any rate, with frames spoilt and expressions changing.
"""

import torch

from contracts.model_card import InputContract
from models.networks import EmotionNet, NetworkConfig
from models.preprocessing import standardise
from training.augmentation import MILD, STRONG
from training.datasets import FaceDataset
from training.engine import Stage
from training.experiments import Experiment, Served
from training.stills import make_measure, make_stills_stage, read_stills
from training.windows import WINDOW_LENGTH, make_clips_stage

STILL_EPOCHS = 36
REFINE_EPOCHS = 14
CLIP_EPOCHS = 6
SIZES_PX = (32, 38, 44)


def make_network() -> EmotionNet:
    return EmotionNet(NetworkConfig())


def make_stages(training: FaceDataset, selection: FaceDataset | None, device: torch.device) -> list[Stage]:
    """Return the stages; ``selection`` is the half on which epochs are watched.

    Raises:
        DataError: either has no FER+ votes, or too few faces.
    """
    assert selection is not None
    stills, measure = read_stills(training, device), make_measure(selection, device)
    return [
        make_stills_stage("stills", stills, STILL_EPOCHS, 0.1, SIZES_PX, STRONG, measure),
        make_stills_stage("refine", stills, REFINE_EPOCHS, 0.05, SIZES_PX[-1:], MILD, measure),
        make_clips_stage(CLIP_EPOCHS, stills, selection),
    ]


EXPERIMENTS = (
    Experiment(
        name="production",
        title="production, small",
        group="production",
        make_network=make_network,
        make_stages=make_stages,
        preprocess=standardise,
        config={
            "still_epochs": STILL_EPOCHS,
            "refine_epochs": REFINE_EPOCHS,
            "clip_epochs": CLIP_EPOCHS,
            "sizes_px": SIZES_PX,
            "network": NetworkConfig().to_dict(),
        },
        served=Served(InputContract(size_px=48, channels=1), WINDOW_LENGTH),
        measures_conditions=True,
    ),
)
