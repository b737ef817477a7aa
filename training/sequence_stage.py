"""How the temporal part goes on to learn from real sequences, while the CNN stays as it is.

Four batches in turn: windows of recordings, CK+'s sequences, and clips made from stills, read forwards and backwards.
Nobody knows the emotions of the recordings, so a teacher reads each window clean and the student, who reads it spoilt,
learns to say the same. What is clear stays as it was, and what is spoilt is answered as if it were clear.

Tensor lines end with their shape: B windows, T crops in a window, H and W pixels, K emotions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Generator, Tensor
from torch.nn import functional

from models.networks import EmotionNet
from training.clips import STRENGTHS, draw_spoilt, spoil_some
from training.corruptions import SEEN
from training.datasets import FaceDataset
from training.engine import Stage
from training.sequences import Sequences, WindowSet
from training.stills import Stills
from training.windows import (
    CLIP_BATCH,
    READINGS_PER_CLIP,
    compute_fixed_features,
    make_clip_losses,
    make_optimiser,
    watch_clips,
)

CLIPS_PER_EPOCH = 4_000
REAL_BATCH = 24
POSED_BATCH = 48
# A fifth of that of the stage ``clips``, which began with an LSTM that knew nothing.
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class _Batch:
    """Windows drawn from a set: ``clean`` crops (B T H W) mirrored at random, ``times_s`` (B T), ``lengths`` (B)."""

    rows: Tensor
    clean: Tensor
    times_s: Tensor
    lengths: Tensor

    @property
    def is_crop(self) -> Tensor:
        """Which positions (B T) are no padding."""
        position = torch.arange(self.clean.shape[1], device=self.clean.device)
        return position < self.lengths.to(self.clean.device)[:, None]


def make_sequences_stage(
    epochs: int, stills: Stills, selection: FaceDataset, sequences: Sequences, teacher: EmotionNet
) -> Stage:
    """Return the stage that trains the temporal part on ``sequences`` and on new clips in every epoch.

    ``teacher`` is the trained network with which the stage begins; it has the student's CNN. The stage is watched on
    clips that switch once, made from ``selection``.

    Raises:
        DataError: ``selection`` has no votes, or no face with a majority.
    """
    number = min(len(stills.images), CLIPS_PER_EPOCH)
    device = stills.images.device
    emotions = torch.from_numpy(sequences.emotions).to(device)

    def make_losses(network: EmotionNet, _: int, generator: Generator) -> Iterator[Tensor]:
        network.cnn.eval()  # frozen, its batch statistics too
        clip_losses = make_clip_losses(network, stills, number, generator)
        for _ in range(number // CLIP_BATCH):
            yield _follow(network, teacher, _draw(sequences.real, REAL_BATCH, generator), generator)
            yield _learn(network, _draw(sequences.posed, POSED_BATCH, generator), emotions, generator)
            yield from islice(clip_losses, READINGS_PER_CLIP)

    return Stage(
        name="sequences",
        epochs=epochs,
        batches_per_epoch=number // CLIP_BATCH * (2 + READINGS_PER_CLIP),
        make_optimiser=lambda network: make_optimiser(network, LEARNING_RATE),
        make_losses=make_losses,
        measure=watch_clips(selection),
        average_decay=0.995,
    )


def _draw(windows: WindowSet, number: int, generator: Generator) -> _Batch:
    """Draw ``number`` windows, any of them several times, and mirror about half."""
    device = generator.device
    rows = torch.randint(len(windows), (number,), generator=generator, device=device)
    chosen = rows.cpu().numpy()
    clean = torch.from_numpy(windows.crops[chosen]).to(device).float()
    is_mirrored = torch.rand(number, generator=generator, device=device) < 0.5
    return _Batch(
        rows,
        torch.where(is_mirrored[:, None, None, None], clean.flip(-1), clean),
        torch.from_numpy(windows.times_s[chosen]).to(device),
        torch.from_numpy(windows.lengths[chosen]),
    )


def _spoil(batch: _Batch, generator: Generator) -> Tensor:
    """Return the crops (B T H W) with none to most of them spoilt, as in clips made from stills."""
    number, length = batch.times_s.shape
    is_spoilt = draw_spoilt(number, length, generator)
    return spoil_some(batch.clean, is_spoilt, SEEN, STRENGTHS, generator)


def _follow(network: EmotionNet, teacher: EmotionNet, batch: _Batch, generator: Generator) -> Tensor:
    """Return how far what ``network`` says of spoilt windows is from what the teacher says of clean ones, per crop."""
    # One CNN serves both, because it does not learn.
    both = compute_fixed_features(network, torch.cat((batch.clean, _spoil(batch, generator))))
    clean, spoilt = both.chunk(2)
    with torch.no_grad():
        said = teacher.read_window(clean, batch.times_s, batch.lengths).log_softmax(-1)  # B T K
    found = network.read_window(spoilt, batch.times_s, batch.lengths).log_softmax(-1)
    is_crop = batch.is_crop
    return functional.kl_div(found[is_crop], said[is_crop], reduction="batchmean", log_target=True)


def _learn(network: EmotionNet, batch: _Batch, emotions: Tensor, generator: Generator) -> Tensor:
    """Return the cross-entropy of all crops of posed sequences; ``emotions`` are those of the whole set."""
    features = compute_fixed_features(network, _spoil(batch, generator))
    logits = network.read_window(features, batch.times_s, batch.lengths)
    is_crop = batch.is_crop
    targets = emotions[batch.rows][:, None].expand(is_crop.shape)
    return functional.cross_entropy(logits[is_crop], targets[is_crop])
