"""How an ``EmotionNet``'s temporal part learns from clips made from stills, while its CNN stays as it is."""

from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor
from torch.nn import functional

from models.networks import EmotionNet
from models.preprocessing import standardise
from training.clips import STILLS_PER_CLIP, make_clips
from training.datasets import FaceDataset
from training.devices import autocast
from training.engine import Stage
from training.evaluation import select_labelled
from training.stills import Stills, list_parameters
from training.temporal_sets import ClipSet, make_set

WINDOW_LENGTH = 16
CLIPS_PER_EPOCH = 8_000
CLIP_BATCH = 48
READINGS_PER_CLIP = 2
WATCHED_CLIPS = 100


def make_clips_stage(epochs: int, stills: Stills, selection: FaceDataset) -> Stage:
    """Return the stage that trains the LSTM, the attention and their head on new clips in every epoch.

    It is watched on clips that switch once, made from ``selection``.

    Raises:
        DataError: ``selection`` has no votes, or no face with a majority.
    """
    number = min(len(stills.images), CLIPS_PER_EPOCH)
    return Stage(
        name="clips",
        epochs=epochs,
        batches_per_epoch=number // CLIP_BATCH * READINGS_PER_CLIP,
        make_optimiser=lambda network: make_optimiser(network, 5e-3),
        make_losses=lambda network, _, generator: make_clip_losses(network, stills, number, generator),
        measure=watch_clips(selection),
        average_decay=0.995,
    )


def make_optimiser(network: EmotionNet, learning_rate: float) -> torch.optim.Optimizer:
    """Return what trains the temporal part and nothing else."""
    learning = list_parameters(network.lstm, network.attention, network.window_head)
    return torch.optim.AdamW(learning, lr=learning_rate, weight_decay=1e-2)


def watch_clips(selection: FaceDataset) -> Callable[[EmotionNet], dict[str, float]]:
    """Return what measures a network on clips that switch once, made from ``selection``.

    Raises:
        DataError: ``selection`` has no votes, or no face with a majority.
    """
    switching = make_set("switching", *select_labelled(selection, "ferplus"), WATCHED_CLIPS, seed=0)
    return lambda network: {"switching_accuracy": measure_clips(network, switching)}


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


def make_clip_losses(network: EmotionNet, stills: Stills, number: int, generator: Generator) -> Iterator[Tensor]:
    """Yield the losses of ``number`` new clips; each goes through the frozen CNN once and is read twice."""
    device = stills.images.device
    network.cnn.eval()  # frozen, its batch statistics too
    usable = torch.nonzero(stills.votes.sum(1) > 0)[:, 0]
    for _ in range(number // CLIP_BATCH):
        chosen = torch.randint(len(usable), (CLIP_BATCH, STILLS_PER_CLIP), generator=generator, device=device)
        pictures = stills.images[usable[chosen]].float()  # B S H W
        is_mirrored = torch.rand(CLIP_BATCH, generator=generator, device=device) < 0.5
        pictures = torch.where(is_mirrored[:, None, None, None], pictures.flip(-1), pictures)
        clips = make_clips(pictures, WINDOW_LENGTH, generator)
        features = compute_fixed_features(network, clips.frames)
        targets = clips.shares @ stills.votes[usable[chosen]]  # B T K
        yield _read_clips(network, features, clips.times_s, targets, stills.vote_weights, generator)
        # The CNN's work is most of the cost, and a clip that runs backwards is another clip.
        times_s = clips.times_s[:, -1:] - clips.times_s.flip(1)
        yield _read_clips(network, features.flip(1), times_s, targets.flip(1), stills.vote_weights, generator)


def compute_fixed_features(network: EmotionNet, frames: Tensor) -> Tensor:
    """Return the features (B T C), float32, of frames (B T H W) from 0 to 255, from which the CNN learns nothing."""
    with torch.no_grad(), autocast(frames.device):
        features = network.compute_features(standardise(frames.flatten(0, 1)))
    return features.float().reshape(*frames.shape[:2], -1)


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
