"""The shipped model: a compact CNN trained on stills, then a bidirectional LSTM with attention over clips.

Three experiments, to be run in this order with one seed:

- ``small`` trains the shipped size alone. Stage ``stills`` trains the CNN with two heads: FER+ vote distributions (soft
  targets) and FER2013's original labels. Its epochs grow from small crops to large ones, which takes a quarter of the
  time off (progressive learning, Tan and Le 2021). Stage ``refine`` goes on with a milder augmentation: after the first
  stage the network knows what it trained on hardly better than what it never saw.
- ``base`` is wider and deeper: a block more, at full resolution, and 1.7 times the arithmetic, too much for a CPU that
  follows cameras. It is meant for GPUs and as a teacher. Its augmentation is mild from the start, and its
  ``refine`` is twice as long as that of ``small``: it too had learned its own faces hardly better than others.
- ``production`` goes on from ``small`` and learns what ``base`` says of each augmented crop, beside the labels.

``production-mixed`` goes on from there with crops that shine through one another (``augmentation.mix``): a trial that
gained nothing (see ``docs/decisions.md``).

Each ends with stage ``clips``, which freezes the CNN and trains the temporal part on clips made from stills, at any
rate, with frames spoilt and expressions changing.
"""

from dataclasses import asdict, dataclass
from functools import partial

import torch

from contracts.model_card import InputContract
from models.networks import EmotionNet, NetworkConfig
from models.preprocessing import standardise
from training import teaching
from training.augmentation import MILD, STRONG, Strength
from training.datasets import FaceDataset
from training.engine import Stage
from training.experiments import Experiment, Served
from training.stills import make_measure, make_stills_stage, read_stills
from training.supervised import leave_out_mixing
from training.windows import WINDOW_LENGTH, make_clips_stage

SIZES_PX = (32, 38, 44)
CLIP_EPOCHS = 6
SERVED = Served(InputContract(size_px=48, channels=1), WINDOW_LENGTH)
SMALL = NetworkConfig()
BASE = NetworkConfig(stem_channels=32, block_channels=(32, 64, 128, 256), first_stride=1)


@dataclass(frozen=True)
class Phase:
    """One stage on stills; the crops' sizes take equal shares of its epochs."""

    name: str
    epochs: int
    learning_rate: float
    sizes_px: tuple[int, ...]
    strength: Strength
    label_smoothing: float = 0.0
    mixed_share: float = 0.0


SMALL_PHASES = (Phase("stills", 36, 0.1, SIZES_PX, STRONG), Phase("refine", 14, 0.05, SIZES_PX[-1:], MILD))
BASE_PHASES = (
    Phase("stills", 36, 0.1, SIZES_PX, MILD, label_smoothing=0.1),
    Phase("refine", 30, 0.05, SIZES_PX[-1:], MILD, label_smoothing=0.1),
)
TAUGHT_PHASES = (Phase("distil", 30, 0.05, SIZES_PX[-1:], MILD, label_smoothing=0.1),)
MIXED_PHASES = (Phase("mix", 20, 0.05, SIZES_PX[-1:], MILD, label_smoothing=0.1, mixed_share=0.5),)


def make_stages(
    phases: tuple[Phase, ...],
    training: FaceDataset,
    selection: FaceDataset | None,
    device: torch.device,
    teacher: EmotionNet | None = None,
) -> list[Stage]:
    """Return the stages; ``selection`` is the half on which epochs are watched.

    Raises:
        DataError: either has no FER+ votes, or too few faces.
    """
    assert selection is not None
    stills, measure = read_stills(training, device), make_measure(selection, device)
    return [
        *(
            make_stills_stage(
                phase.name,
                stills,
                phase.epochs,
                phase.learning_rate,
                phase.sizes_px,
                phase.strength,
                phase.label_smoothing,
                measure,
                teacher,
                phase.mixed_share,
            )
            for phase in phases
        ),
        make_clips_stage(CLIP_EPOCHS, stills, selection),
    ]


def make_experiment(
    name: str,
    title: str,
    network: NetworkConfig,
    phases: tuple[Phase, ...],
    starts_from: str | None = None,
    taught_by: str | None = None,
    measures_conditions: bool = False,
) -> Experiment:
    return Experiment(
        name=name,
        title=title,
        group="production",
        make_network=lambda: EmotionNet(network),
        make_stages=partial(make_stages, phases),
        preprocess=standardise,
        config={
            "network": network.to_dict(),
            "phases": [leave_out_mixing(asdict(phase)) for phase in phases],
            "clip_epochs": CLIP_EPOCHS,
            "teacher": teaching.describe() if taught_by else None,
        },
        starts_from=starts_from,
        taught_by=taught_by,
        served=SERVED,
        measures_conditions=measures_conditions,
    )


EXPERIMENTS = (
    make_experiment(
        "production",
        "production, small, taught by base",
        SMALL,
        TAUGHT_PHASES,
        starts_from="small",
        taught_by="base",
        measures_conditions=True,
    ),
    make_experiment(
        "production-mixed",
        "production, 20 epochs more on mixed faces",
        SMALL,
        MIXED_PHASES,
        starts_from="production",
        taught_by="base",
        measures_conditions=True,
    ),
    make_experiment("small", "small, without a teacher", SMALL, SMALL_PHASES),
    make_experiment("base", "base", BASE, BASE_PHASES, measures_conditions=True),
)
