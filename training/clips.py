"""Clips made from stills: a face under smooth camera motion and light, with some frames spoilt.

Real labelled expression sequences are few. What a network must learn from time (trust the clear frames, follow a
change, ignore a spoilt frame) can be shown with stills that move.
"""

import math

import torch
from torch import Generator, Tensor

from training.augmentation import blur, blur_by_motion, cut_out, draw_uniform, lower_resolution, warp


def make_clips(stills: Tensor, others: Tensor, switch_at: Tensor, window_length: int, generator: Generator) -> Tensor:
    """Return clips (B T H W) of ``stills`` (B H W) that turn into ``others`` at position ``switch_at`` (B).

    A ``switch_at`` of ``window_length`` never switches. Motion and light wander smoothly over the whole clip; about a
    third of the frames are spoilt, each in one of five ways.
    """
    batch, size = len(stills), stills.shape[-1]
    is_first = torch.arange(window_length, device=stills.device)[None, :] < switch_at[:, None]  # B T
    frames = torch.where(is_first[:, :, None, None], stills[:, None], others[:, None]).flatten(0, 1)

    def wander(reach: float) -> Tensor:
        return (_wander(batch, window_length, generator) * reach).flatten()

    frames = warp(
        frames,
        wander(math.radians(10)),
        torch.exp(wander(0.1)),
        wander(0.05),
        wander(0.05),
        size,
    )
    gamma = torch.exp(wander(0.4))
    frames = 255 * (frames / 255).clamp(0, 1) ** gamma[:, None, None]
    return spoil(frames, 0.35, generator).reshape(batch, window_length, size, size)


def spoil(crops: Tensor, share: float, generator: Generator) -> Tensor:
    """Return crops (N H W) of which about ``share`` are spoilt: smeared, coarse, noisy, occluded or dark."""
    number = (len(crops),)
    kind = torch.randint(0, 5, number, generator=generator, device=crops.device)
    kind = torch.where(draw_uniform(number, 0, 1, generator) < share, kind, -1)
    noise = torch.randn(crops.shape, generator=generator, device=crops.device) * 40
    dark = crops * 0.15 + noise * 0.15
    spoilt = (
        blur_by_motion(crops, 13),
        blur(lower_resolution(crops, 4)),
        crops + noise,
        cut_out(crops, torch.ones(number, dtype=torch.bool, device=crops.device), 28, generator),
        dark,
    )
    out = crops
    for index, version in enumerate(spoilt):
        out = torch.where((kind == index)[:, None, None], version, out)
    return out.clamp(0, 255)


def _wander(batch: int, length: int, generator: Generator) -> Tensor:
    """Return smooth paths (B T) within about -1 to 1: a sum of two slow sines of random phase and pace."""
    time = torch.arange(length, device=generator.device)[None, :]
    path = torch.zeros((batch, length), device=generator.device)
    for _ in range(2):
        phase = draw_uniform((batch, 1), 0, 2 * math.pi, generator)
        pace = draw_uniform((batch, 1), 0.05, 0.5, generator)
        path += 0.5 * torch.sin(phase + pace * time)
    return path
