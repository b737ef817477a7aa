"""The shipped model, its temporal part trained on real sequences too: a trial that lost (see ``docs/decisions.md``).

``production-sequences`` goes on from the finished ``production`` of the same seed: the CNN and both its heads stay as
they are, so single crops get the same answers; the LSTM, the attention and their head learn two more epochs from clips
made from stills, from half of CK+'s subjects in order, and from unlabelled recordings, for which ``production`` itself
is the teacher (``training.sequence_stage``). DATA must also hold ``ckplus48.npz`` and the ``recordings.npz`` that
``emotrace crops`` makes.
"""

import torch

from models.networks import EmotionNet
from models.preprocessing import standardise
from training.datasets import FaceDataset
from training.engine import Stage
from training.experiments import Experiment
from training.experiments.production import SERVED, SMALL
from training.sequence_stage import CLIPS_PER_EPOCH, LEARNING_RATE, POSED_BATCH, REAL_BATCH, make_sequences_stage
from training.sequences import Sequences
from training.stills import read_stills
from training.windows import CLIP_BATCH

EPOCHS = 2


def make_stages(
    training: FaceDataset,
    selection: FaceDataset | None,
    device: torch.device,
    teacher: EmotionNet,
    sequences: Sequences,
) -> list[Stage]:
    """Return the one stage; ``selection`` is the half on which its epochs are watched.

    Raises:
        DataError: either has no FER+ votes, or too few faces.
    """
    assert selection is not None
    return [make_sequences_stage(EPOCHS, read_stills(training, device), selection, sequences, teacher)]


EXPERIMENTS = (
    Experiment(
        name="production-sequences",
        title="production, real sequences too",
        group="production",
        make_network=lambda: EmotionNet(SMALL),
        make_stages=make_stages,
        preprocess=standardise,
        config={
            "network": SMALL.to_dict(),
            "sequence_epochs": EPOCHS,
            "clips_per_epoch": CLIPS_PER_EPOCH,
            "batches": {"real windows": REAL_BATCH, "CK+ sequences": POSED_BATCH, "clips": CLIP_BATCH},
            "learning_rate": LEARNING_RATE,
        },
        starts_from="production",
        taught_by="production",
        reads_sequences=True,
        served=SERVED,
    ),
)
