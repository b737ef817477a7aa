"""The shipped model: a compact CNN trained on stills, then a bidirectional LSTM with attention over clips.

Stage ``stills`` trains the CNN with two heads: FER+ vote distributions (soft targets) and FER2013's original labels.
Its epochs grow from small crops to large ones, which takes a quarter of the time off (progressive learning, Tan and
Le 2021). Stage ``refine`` goes on with a milder augmentation: after the first stage the network knows what it trained
on hardly better than what it never saw.
Stage ``clips`` freezes the CNN and trains the temporal part on clips made from stills, at any rate, with frames spoilt
and expressions changing; it is watched on clips that switch once, made from the selection half.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from contracts.model_card import InputContract
from models.networks import EmotionNet, NetworkConfig
from models.preprocessing import standardise
from training.augmentation import MILD, augment_stills
from training.clips import STILLS_PER_CLIP, make_clips
from training.datasets import FaceDataset, compute_soft_targets, find_non_faces
from training.engine import Stage
from training.evaluation import select_labelled
from training.experiments import Experiment, Served
from training.supervised import Augment
from training.temporal_sets import ClipSet, make_set

NAME = "production"
WINDOW_LENGTH = 16
STILL_EPOCHS = 36
REFINE_EPOCHS = 14
CLIP_EPOCHS = 6
CLIPS_PER_EPOCH = 8_000
BATCH = 128
CLIP_BATCH = 48
READINGS_PER_CLIP = 2
WATCHED_CLIPS = 100
# The sides of the crops in each third of the still epochs.
TRAIN_SIZES_PX = (32, 38, 44)
# Rarer emotions weigh more, by this power of their rarity: without it disgust is hardly ever named.
RARITY_POWER = 0.25


@dataclass(frozen=True)
class Tensors:
    """The training images on the device, and what is to be said of them.

    ``images`` (N H W) uint8; ``votes`` and ``labels`` are target distributions (N K), all zero where there is none;
    ``vote_weights`` and ``label_weights`` (K) are the emotions' weights.
    """

    images: Tensor
    votes: Tensor
    labels: Tensor
    vote_weights: Tensor
    label_weights: Tensor


def make_network() -> EmotionNet:
    return EmotionNet(
        NetworkConfig(stem_channels=16, stem_stride=1, block_channels=(64, 128, 192), reads_time_steps=True)
    )


def make_stages(training: FaceDataset, selection: FaceDataset | None, device: torch.device) -> list[Stage]:
    """Return the two stages; ``selection`` is the half on which epochs are watched.

    Raises:
        DataError: either has no FER+ votes, or too few faces.
    """
    faces = training.select(~find_non_faces(training.get_votes()), training.name)
    if len(faces) < BATCH:
        raise DataError(f"{training.name} has {len(faces)} faces. Expected at least {BATCH}, one batch; add images.")
    votes = torch.from_numpy(compute_soft_targets(faces.get_votes())).to(device)
    labels = functional.one_hot(torch.from_numpy(faces.labels), len(EMOTIONS)).float().to(device)
    data = Tensors(
        torch.from_numpy(faces.images).to(device), votes, labels, _weigh_emotions(votes), _weigh_emotions(labels)
    )
    assert selection is not None
    watched, majority = select_labelled(selection, "ferplus")
    images, expected = torch.from_numpy(watched.images).to(device), torch.from_numpy(majority).to(device)
    clips_per_epoch = min(len(faces), CLIPS_PER_EPOCH)
    switching = make_set("switching", watched, majority, WATCHED_CLIPS, seed=0)

    def measure(network: EmotionNet) -> dict[str, float]:
        return {"accuracy": measure_accuracy(network, images, expected)}

    return [
        Stage(
            name="stills",
            epochs=STILL_EPOCHS,
            batches_per_epoch=len(faces) // BATCH,
            make_optimiser=lambda network: _make_sgd(
                (network.cnn, network.emotion_head, network.original_head), learning_rate=0.1, weight_decay=5e-4
            ),
            make_losses=lambda network, epoch, generator: _make_still_losses(
                network, data, partial(_augment_growing, epoch), generator
            ),
            measure=measure,
        ),
        Stage(
            name="refine",
            epochs=REFINE_EPOCHS,
            batches_per_epoch=len(faces) // BATCH,
            make_optimiser=lambda network: _make_sgd(
                (network.cnn, network.emotion_head, network.original_head), learning_rate=0.05, weight_decay=5e-4
            ),
            make_losses=lambda network, _, generator: _make_still_losses(network, data, _augment_mildly, generator),
            measure=measure,
        ),
        Stage(
            name="clips",
            epochs=CLIP_EPOCHS,
            batches_per_epoch=clips_per_epoch // CLIP_BATCH * READINGS_PER_CLIP,
            make_optimiser=lambda network: torch.optim.AdamW(
                _list_parameters(network.lstm, network.attention, network.window_head), lr=5e-3, weight_decay=1e-2
            ),
            make_losses=lambda network, _, generator: _make_clip_losses(network, data, clips_per_epoch, generator),
            measure=lambda network: {**measure(network), "switching_accuracy": measure_clips(network, switching)},
            average_decay=0.995,
        ),
    ]


def _make_sgd(parts: tuple[nn.Module, ...], learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        _list_parameters(*parts), learning_rate, momentum=0.9, nesterov=True, weight_decay=weight_decay
    )


def _list_parameters(*parts: nn.Module) -> list[nn.Parameter]:
    return [parameter for part in parts for parameter in part.parameters()]


@torch.inference_mode()
def measure_clips(network: EmotionNet, clips: ClipSet) -> float:
    """Return the accuracy of all crops of ``clips``, each read as one window."""
    device = next(network.parameters()).device
    times_s = torch.tensor(clips.times_s, device=device)[None, :]
    right = [
        (network(standardise(crops.to(device))[None], times_s, torch.tensor([len(truth)]))[0].argmax(-1).cpu() == truth)
        for crops, truth in zip(torch.from_numpy(clips.crops), torch.from_numpy(clips.truth), strict=True)
    ]
    return float(torch.stack(right).float().mean())


@torch.inference_mode()
def measure_accuracy(network: EmotionNet, images: Tensor, expected: Tensor) -> float:
    """Return the accuracy of windows of one over ``images`` (N H W) against class indices (N)."""
    right = 0
    for start in range(0, len(images), 256):
        crops = standardise(images[start : start + 256])[:, None]
        times_s = torch.zeros(len(crops), 1, device=crops.device)
        logits = network(crops, times_s, torch.ones(len(crops), dtype=torch.int64))[:, 0]
        right += int((logits.argmax(-1) == expected[start : start + 256]).sum())
    return right / len(images)


def _weigh_emotions(targets: Tensor) -> Tensor:
    """Return weights (K) that grow with an emotion's rarity and leave the mean weight of a target at 1."""
    share = targets.sum(0) / targets.sum()
    weights = share**-RARITY_POWER
    return weights / (weights * share).sum()


def _augment_growing(epoch: int, crops: Tensor, generator: Generator) -> Tensor:
    return augment_stills(crops, TRAIN_SIZES_PX[epoch * len(TRAIN_SIZES_PX) // STILL_EPOCHS], generator)


def _augment_mildly(crops: Tensor, generator: Generator) -> Tensor:
    return augment_stills(crops, TRAIN_SIZES_PX[-1], generator, MILD)


def _make_still_losses(network: EmotionNet, data: Tensors, augment: Augment, generator: Generator) -> Iterator[Tensor]:
    order = torch.randperm(len(data.images), generator=generator, device=data.images.device)
    for batch in torch.split(order[: len(order) // BATCH * BATCH], BATCH):
        crops = standardise(augment(data.images[batch].float(), generator))
        with torch.autocast(crops.device.type, torch.bfloat16):
            features = network.compute_features(crops)
            votes, labels = network.emotion_head(features), network.original_head(features)
        yield _compare(votes, data.votes[batch], data.vote_weights) + (
            _compare(labels, data.labels[batch], data.label_weights)
        )


def _compare(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy of logits (N K) with ``targets`` (N K); images without a target count not."""
    weight = targets @ weights
    losses = functional.cross_entropy(logits.float(), targets, reduction="none")
    return (losses * weight).sum() / weight.sum()


def _make_clip_losses(network: EmotionNet, data: Tensors, number: int, generator: Generator) -> Iterator[Tensor]:
    """Yield the losses of ``number`` new clips; each goes through the frozen CNN once and is read twice."""
    device = data.images.device
    network.cnn.eval()  # frozen, its batch statistics too
    usable = torch.nonzero(data.votes.sum(1) > 0)[:, 0]
    for _ in range(number // CLIP_BATCH):
        chosen = torch.randint(len(usable), (CLIP_BATCH, STILLS_PER_CLIP), generator=generator, device=device)
        stills = data.images[usable[chosen]].float()  # B S H W
        is_mirrored = torch.rand(CLIP_BATCH, generator=generator, device=device) < 0.5
        stills = torch.where(is_mirrored[:, None, None, None], stills.flip(-1), stills)
        clips = make_clips(stills, WINDOW_LENGTH, generator)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
            features = network.compute_features(standardise(clips.frames.flatten(0, 1)))
        features = features.float().reshape(CLIP_BATCH, WINDOW_LENGTH, -1)
        targets = clips.shares @ data.votes[usable[chosen]]  # B T K
        yield _read_clips(network, features, clips.times_s, targets, data.vote_weights, generator)
        # The CNN's work is most of the cost, and a clip that runs backwards is another clip.
        times_s = clips.times_s[:, -1:] - clips.times_s.flip(1)
        yield _read_clips(network, features.flip(1), times_s, targets.flip(1), data.vote_weights, generator)


def _read_clips(
    network: EmotionNet, features: Tensor, times_s: Tensor, targets: Tensor, weights: Tensor, generator: Generator
) -> Tensor:
    """Return the weighted cross-entropy of windows that show the first crops of each clip, in full or in part."""
    lengths = _draw_lengths(generator).cpu()
    logits = network.read_window(features, times_s, lengths)
    position = torch.arange(WINDOW_LENGTH, device=features.device)[None, :]
    weight = (targets @ weights) * (position < lengths.to(features.device)[:, None])  # B T
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1), reduction="none")
    return (losses.reshape(weight.shape) * weight).sum() / weight.sum()


def _draw_lengths(generator: Generator) -> Tensor:
    """Draw window lengths: mostly full windows, some short ones; a window of one has nothing to learn."""
    is_full = torch.rand(CLIP_BATCH, generator=generator, device=generator.device) < 0.7
    any_length = torch.randint(2, WINDOW_LENGTH + 1, (CLIP_BATCH,), generator=generator, device=generator.device)
    return torch.where(is_full, WINDOW_LENGTH, any_length)


EXPERIMENTS = (
    Experiment(
        name=NAME,
        title="production, small",
        group="production",
        make_network=make_network,
        make_stages=make_stages,
        preprocess=standardise,
        served=Served(InputContract(size_px=48, channels=1), WINDOW_LENGTH),
        measures_conditions=True,
    ),
)
