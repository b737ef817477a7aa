"""Clips made from stills: a face under smooth camera motion and light, changing its expression, some frames spoilt.

Real labelled expression sequences are few. What a network must learn from time (trust the clear frames, follow a
change, ignore a spoilt frame) can be shown with stills that move. Motion, light and expressions run in seconds, so that
the steps between crops tell how much may have happened.

Tensor lines end with their shape: B clips, T crops in a clip, S stills that a clip shows in turn, H and W pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from training.augmentation import draw_uniform, warp
from training.corruptions import SEEN, Corruption, spoil

STILLS_PER_CLIP = 3
# Steps from 30 to 2 crops per second, four in ten of them at the tenth of a second at which videos are usually read.
STEPS_S = (1 / 30, 1 / 2)
USUAL_STEP_S, USUAL_SHARE = 0.1, 0.4
MAX_GAP_S = 1.0
# Expressions last two seconds on average; half of the changes take a moment, the others none (a cut, another face).
DWELL_S = 2.0
BLEND_S = (0.2, 0.4)
MAX_SPOILT_SHARE = 0.6
STRENGTHS = (0.2, 1.0)


@dataclass(frozen=True)
class Clips:
    """``frames`` (B T H W) from 0 to 255 at ``times_s`` (B T); ``shares`` (B T S) of the stills that each shows."""

    frames: Tensor
    times_s: Tensor
    shares: Tensor
    is_spoilt: Tensor


def make_clips(stills: Tensor, window_length: int, generator: Generator) -> Clips:
    """Return training clips of ``stills`` (B S H W), of any rate, with 0 to S - 1 changes and none to most spoilt."""
    batch = len(stills)
    times_s = draw_times(batch, window_length, generator)
    shares = draw_changes(times_s, stills.shape[1], generator)
    is_spoilt = draw_spoilt(batch, window_length, generator)
    return Clips(render(stills, shares, times_s, is_spoilt, SEEN, STRENGTHS, generator), times_s, shares, is_spoilt)


def render(
    stills: Tensor,
    shares: Tensor,
    times_s: Tensor,
    is_spoilt: Tensor,
    corruptions: Sequence[Corruption],
    strengths: tuple[float, float],
    generator: Generator,
) -> Tensor:
    """Return frames (B T H W) of ``stills`` (B S H W) mixed by ``shares`` (B T S), under motion and light.

    The spoilt frames of one half of the clips are all of one kind, those of the other half of any kinds; how strongly
    each is spoilt is drawn from between the two ``strengths``.
    """
    batch, length = times_s.shape
    size = stills.shape[-1]
    frames = torch.einsum("bts,bshw->bthw", shares, stills).flatten(0, 1)

    def wander(reach: float) -> Tensor:
        return (_wander(times_s, generator) * reach).flatten()

    frames = warp(frames, wander(math.radians(10)), torch.exp(wander(0.1)), wander(0.05), wander(0.05), size, size)
    frames = 255 * (frames / 255).clamp(0, 1) ** torch.exp(wander(0.4))[:, None, None]
    return spoil_some(frames.reshape(batch, length, size, size), is_spoilt, corruptions, strengths, generator)


def spoil_some(
    frames: Tensor,
    is_spoilt: Tensor,
    corruptions: Sequence[Corruption],
    strengths: tuple[float, float],
    generator: Generator,
) -> Tensor:
    """Return frames (B T H W) of which those that are ``is_spoilt`` (B T) are spoilt; see ``render``."""
    batch, length = is_spoilt.shape
    kinds = torch.randint(len(corruptions), (batch, length), generator=generator, device=generator.device)
    is_one_kind = draw_uniform((batch, 1), 0, 1, generator) < 0.5
    kinds = torch.where(is_one_kind, kinds[:, :1], kinds)
    kinds = torch.where(is_spoilt, kinds, -1).flatten()
    drawn = draw_uniform(kinds.shape, *strengths, generator)
    return spoil(frames.flatten(0, 1), kinds, drawn, corruptions, generator).reshape(frames.shape)


def draw_times(batch: int, length: int, generator: Generator) -> Tensor:
    """Draw the crops' times (B T) in seconds from 0: a rate per clip, jitter, dropped crops, some gaps."""
    low, high = (math.log(step) for step in STEPS_S)
    step = torch.exp(draw_uniform((batch, 1), low, high, generator))
    is_usual = draw_uniform((batch, 1), 0, 1, generator) < USUAL_SHARE
    step = torch.where(is_usual, USUAL_STEP_S, step)
    jitter = draw_uniform((batch, 1), 0, 0.2, generator) * draw_uniform((batch, length), -1, 1, generator)
    # Half of the clips lose up to a third of their crops; a gap is half a second or more without any.
    loss = (draw_uniform((batch, 1), -1 / 3, 1 / 3, generator)).clamp(min=0)
    num_lost = (draw_uniform((batch, length), 0, 1, generator) < loss).float()
    is_gap = draw_uniform((batch, length), 0, 1, generator) < 0.02
    gap = draw_uniform((batch, length), MAX_GAP_S / 2, MAX_GAP_S, generator)
    steps = (step * (1 + jitter + num_lost)).clamp(max=MAX_GAP_S)
    steps = torch.where(is_gap, gap, steps)
    return steps.cumsum(1) - steps[:, :1]


def draw_changes(times_s: Tensor, num_stills: int, generator: Generator) -> Tensor:
    """Draw the shares (B T S) of the stills shown at ``times_s`` (B T): each follows the last after a random while."""
    batch = len(times_s)
    dwell_s = -DWELL_S * torch.log(draw_uniform((batch, num_stills - 1), 1e-6, 1, generator))
    change_s = dwell_s.cumsum(1)[:, None, :]
    blend_s = draw_uniform((batch, 1, num_stills - 1), *BLEND_S, generator)
    is_cut = draw_uniform(blend_s.shape, 0, 1, generator) < 0.5
    blend_s = torch.where(is_cut, 1e-3, blend_s)
    # Each still covers those before it as far as its change has come.
    come = ((times_s[:, :, None] - change_s) / blend_s).clamp(0, 1)  # B T S-1
    uncovered = (1 - come).flip(-1).cumprod(-1).flip(-1)
    ones = torch.ones_like(come[:, :, :1])
    return torch.cat((ones, come), -1) * torch.cat((uncovered, ones), -1)


def draw_spoilt(batch: int, length: int, generator: Generator) -> Tensor:
    """Draw which crops (B T, bool) are spoilt: every second one, single ones, or in bursts of about three."""
    share = draw_uniform((batch, 1), -0.1, MAX_SPOILT_SHARE, generator).clamp(min=0)
    chance = torch.rand((batch, length), generator=generator, device=generator.device)
    position = torch.arange(length, device=generator.device)[None, :]
    parity = torch.randint(0, 2, (batch, 1), generator=generator, device=generator.device)
    alternating = (position % 2 == parity) & (share > 0)
    single = chance < share
    bursts = single.clone()
    for index in range(1, length):
        # A spoilt crop is followed by another in two cases of three; the share of all stays.
        follow = torch.where(bursts[:, index - 1], 2 / 3, share[:, 0] / (3 * (1 - share[:, 0])))
        bursts[:, index] = chance[:, index] < follow
    pattern = torch.randint(0, 3, (batch, 1), generator=generator, device=generator.device)
    return torch.where(pattern == 0, alternating, torch.where(pattern == 1, single, bursts & (share > 0)))


def _wander(times_s: Tensor, generator: Generator) -> Tensor:
    """Return smooth paths (B T) within -1 to 1: the mean of two slow sines of random phase and pace (radians/s)."""
    path = torch.zeros_like(times_s)
    for _ in range(2):
        phase = draw_uniform((len(times_s), 1), 0, 2 * math.pi, generator)
        pace = draw_uniform((len(times_s), 1), 0.5, 5, generator)
        path += 0.5 * torch.sin(phase + pace * times_s)
    return path
