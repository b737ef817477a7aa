"""The shipped model: a compact CNN trained on stills, then a bidirectional LSTM with attention over clips.

Stage ``stills`` trains the CNN with two heads: FER+ vote distributions (soft targets) and FER2013's original labels.
Stage ``clips`` freezes the CNN and trains the temporal part on clips made from stills; windows of every length occur,
a still (a window of one) among them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from contracts.errors import DataError
from contracts.model_card import InputContract
from models.networks import EmotionNet, NetworkConfig
from models.preprocessing import standardise
from training.augmentation import augment_stills
from training.clips import make_clips
from training.datasets import FaceDataset, compute_soft_targets, find_non_faces
from training.engine import Stage
from training.evaluation import select_labelled

NAME = "production"
INPUT = InputContract(size_px=48, channels=1)
WINDOW_LENGTH = 16
STILL_EPOCHS = 40
CLIP_EPOCHS = 6
CLIPS_PER_EPOCH = 8_000
BATCH = 128
CLIP_BATCH = 24
# Random windows of 44 of the 48 pixels cost a sixth less and shift the faces.
TRAIN_SIZE_PX = 44


@dataclass(frozen=True)
class Tensors:
    """The training images on the device: ``images`` (N H W) uint8, ``votes`` (N K) float, ``labels`` (N)."""

    images: Tensor
    votes: Tensor
    labels: Tensor


def make_network() -> EmotionNet:
    return EmotionNet(NetworkConfig())


def make_stages(training: FaceDataset, selection: FaceDataset, device: torch.device) -> list[Stage]:
    """Return the two stages; ``selection`` is the half on which epochs are watched.

    Raises:
        DataError: either has no FER+ votes, or too few faces.
    """
    faces = training.select(~find_non_faces(training.get_votes()), training.name)
    if len(faces) < BATCH:
        raise DataError(f"{training.name} has {len(faces)} faces. Expected at least {BATCH}, one batch; add images.")
    data = Tensors(
        torch.from_numpy(faces.images).to(device),
        torch.from_numpy(compute_soft_targets(faces.get_votes())).to(device),
        torch.from_numpy(faces.labels).to(device),
    )
    watched, majority = select_labelled(selection, "ferplus")
    images, expected = torch.from_numpy(watched.images).to(device), torch.from_numpy(majority).to(device)
    clips_per_epoch = min(len(faces), CLIPS_PER_EPOCH)

    def measure(network: EmotionNet) -> dict[str, float]:
        return {"accuracy": measure_accuracy(network, images, expected)}

    return [
        Stage(
            name="stills",
            epochs=STILL_EPOCHS,
            batches_per_epoch=len(faces) // BATCH,
            learning_rate=0.1,
            weight_decay=5e-4,
            parameters=lambda network: [
                *network.cnn.parameters(),
                *network.emotion_head.parameters(),
                *network.original_head.parameters(),
            ],
            make_losses=lambda network, generator: _make_still_losses(network, data, generator),
            measure=measure,
        ),
        Stage(
            name="clips",
            epochs=CLIP_EPOCHS,
            batches_per_epoch=clips_per_epoch // CLIP_BATCH,
            learning_rate=0.03,
            weight_decay=1e-4,
            parameters=lambda network: [
                *network.lstm.parameters(),
                *network.attention.parameters(),
                *network.window_head.parameters(),
            ],
            make_losses=lambda network, generator: _make_clip_losses(network, data, clips_per_epoch, generator),
            measure=measure,
            average_decay=0.995,
        ),
    ]


@torch.inference_mode()
def measure_accuracy(network: EmotionNet, images: Tensor, expected: Tensor) -> float:
    """Return the accuracy of windows of one over ``images`` (N H W) against class indices (N)."""
    right = 0
    for start in range(0, len(images), 256):
        crops = standardise(images[start : start + 256])[:, None]
        logits = network(crops, torch.ones(len(crops), dtype=torch.int64))[:, 0]
        right += int((logits.argmax(-1) == expected[start : start + 256]).sum())
    return right / len(images)


def _make_still_losses(network: EmotionNet, data: Tensors, generator: Generator) -> Iterator[Tensor]:
    order = torch.randperm(len(data.images), generator=generator, device=data.images.device)
    for batch in torch.split(order[: len(order) // BATCH * BATCH], BATCH):
        crops = standardise(augment_stills(data.images[batch].float(), TRAIN_SIZE_PX, generator))
        with torch.autocast(crops.device.type, torch.bfloat16):
            features = network.compute_features(crops)
            votes, originals = network.emotion_head(features), network.original_head(features)
        targets = data.votes[batch]
        # Images on which no emotion had two votes carry no weight in the vote loss.
        vote_loss = functional.cross_entropy(votes.float(), targets, reduction="none").sum() / targets.sum()
        original_loss = functional.cross_entropy(originals.float(), data.labels[batch], label_smoothing=0.1)
        yield vote_loss + 0.5 * original_loss


def _make_clip_losses(network: EmotionNet, data: Tensors, number: int, generator: Generator) -> Iterator[Tensor]:
    device = data.images.device
    network.cnn.eval()  # frozen, its batch statistics too
    usable = torch.nonzero(data.votes.sum(1) > 0)[:, 0]
    for _ in range(number // CLIP_BATCH):
        first, second = usable[torch.randint(len(usable), (2, CLIP_BATCH), generator=generator, device=device)]
        # Half of the clips switch to another still once.
        switch_at = torch.randint(1, 2 * WINDOW_LENGTH, (CLIP_BATCH,), generator=generator, device=device)
        switch_at = switch_at.clamp(max=WINDOW_LENGTH)
        clips = make_clips(data.images[first].float(), data.images[second].float(), switch_at, WINDOW_LENGTH, generator)
        lengths = _draw_lengths(generator).cpu()
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            features = network.compute_features(standardise(clips.flatten(0, 1)))
        features = features.float().reshape(CLIP_BATCH, WINDOW_LENGTH, -1)
        logits = network.read_window(features, lengths)
        position = torch.arange(WINDOW_LENGTH, device=device)[None, :]
        is_first = (position < switch_at[:, None])[:, :, None]
        targets = torch.where(is_first, data.votes[first][:, None], data.votes[second][:, None])
        counted = (position < lengths.to(device)[:, None]).float()
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1), reduction="none")
        yield (losses.reshape(counted.shape) * counted).sum() / counted.sum()


def _draw_lengths(generator: Generator) -> Tensor:
    """Draw window lengths: mostly full windows, some short ones, some stills."""
    kind = torch.rand(CLIP_BATCH, generator=generator, device=generator.device)
    any_length = torch.randint(1, WINDOW_LENGTH + 1, (CLIP_BATCH,), generator=generator, device=generator.device)
    full = torch.full_like(any_length, WINDOW_LENGTH)
    return torch.where(kind < 0.6, full, torch.where(kind < 0.85, any_length, torch.ones_like(any_length)))
