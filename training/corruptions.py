"""What spoils a frame: the kinds that training clips show, and two that only the temporal benchmark knows.

A corruption takes float crops (N H W) with values from 0 to 255, how strong each is to be (N, from 0 to 1; at 1 hardly
anything of the face is left) and a generator, and returns crops.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from training.augmentation import draw_uniform

Corruption = Callable[[Tensor, Tensor, Generator], Tensor]

SMEAR_TAPS = 15
COARSE_SIDES_PX = (16, 12, 9, 7, 5)
BLOCK_PX = 8


def spoil(
    crops: Tensor, kinds: Tensor, strengths: Tensor, corruptions: Sequence[Corruption], generator: Generator
) -> Tensor:
    """Return crops (N H W) spoilt by ``corruptions[kinds]``; a kind (N) of -1 leaves its crop as it is."""
    out = crops.clone()
    for index, corrupt in enumerate(corruptions):
        chosen = torch.nonzero(kinds == index)[:, 0]
        out[chosen] = corrupt(crops[chosen], strengths[chosen], generator)
    return out.clamp(0, 255)


def smear(crops: Tensor, strengths: Tensor, generator: Generator) -> Tensor:
    """Motion blur: the mean over a straight path of 4 to 24 pixels in a random direction."""
    number, height, width = crops.shape
    angle = draw_uniform((number, 1), 0, math.pi, generator)
    path = (4 + 20 * strengths[:, None]) * torch.linspace(-0.5, 0.5, SMEAR_TAPS, device=crops.device)  # N taps
    down, right = (torch.sin(angle) * path).round().long(), (torch.cos(angle) * path).round().long()
    rows = (torch.arange(height, device=crops.device)[:, None] + down[:, None, :]).clamp(0, height - 1)  # N H taps
    columns = (torch.arange(width, device=crops.device)[:, None] + right[:, None, :]).clamp(0, width - 1)
    which = torch.arange(number, device=crops.device)[:, None, None]
    total = torch.zeros_like(crops)
    for tap in range(SMEAR_TAPS):
        total += crops[which, rows[:, :, None, tap], columns[:, None, :, tap]]
    return total / SMEAR_TAPS


def add_noise(crops: Tensor, strengths: Tensor, generator: Generator) -> Tensor:
    """Gaussian noise with a deviation of up to 100 levels."""
    return crops + 100 * strengths[:, None, None] * _draw_noise(crops, generator)


def occlude(crops: Tensor, strengths: Tensor, generator: Generator) -> Tensor:
    """A grey rectangle over about a third to three quarters of each side, as of a hand or a cup."""
    number, height, width = crops.shape
    in_rows, in_columns = (_draw_span(0.3 + 0.45 * strengths, size, generator) for size in (height, width))
    grey = draw_uniform((number, 1, 1), 0, 255, generator)
    return torch.where(in_rows[:, :, None] & in_columns[:, None, :], grey, crops)


def darken(crops: Tensor, strengths: Tensor, generator: Generator) -> Tensor:
    """A third to a thirtieth of the light, under a sensor's noise, in whole levels."""
    light = 0.33 - 0.3 * strengths[:, None, None]
    noise = (4 + 4 * strengths[:, None, None]) * _draw_noise(crops, generator)
    return (crops * light + noise + 8).round()


def coarsen(crops: Tensor, strengths: Tensor, _: Generator) -> Tensor:
    """A face of 16 to 5 pixels, enlarged."""
    kind = (strengths * (len(COARSE_SIDES_PX) - 1)).round()
    out = crops
    for index, side_px in enumerate(COARSE_SIDES_PX):
        small = functional.interpolate(crops[:, None], size=(side_px, side_px), mode="area")
        large = functional.interpolate(small, size=crops.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
        out = torch.where((kind == index)[:, None, None], large, out)
    return out


def lose_blocks(crops: Tensor, strengths: Tensor, generator: Generator) -> Tensor:
    """Four to nine tenths of the 8 by 8 blocks show another place of the crop, as after lost packets."""
    number, height, width = crops.shape
    grid = (number, -(-height // BLOCK_PX), -(-width // BLOCK_PX))
    is_lost = draw_uniform(grid, 0, 1, generator) < 0.4 + 0.5 * strengths[:, None, None]
    is_lost = is_lost.repeat_interleave(BLOCK_PX, 1).repeat_interleave(BLOCK_PX, 2)[:, :height, :width]
    places = torch.rand(grid, generator=generator, device=crops.device).flatten(1).argsort(1)  # N blocks
    return torch.where(is_lost, _move_blocks(crops, places), crops)


def bend_strongly(crops: Tensor, strengths: Tensor, generator: Generator) -> Tensor:
    """A gamma of 2.2 to 7.4, or one over that, in whole levels: far beyond the light that training shows."""
    side = torch.randint(0, 2, strengths.shape, generator=generator, device=crops.device) * 2 - 1
    gamma = torch.exp(side * (0.8 + 1.2 * strengths))[:, None, None]
    return (255 * (crops / 255).clamp(0, 1) ** gamma).round()


def _move_blocks(crops: Tensor, places: Tensor) -> Tensor:
    """Return crops whose blocks come from ``places`` (N blocks); where a side is no multiple, its end repeats."""
    _, height, width = crops.shape
    margins = (0, -width % BLOCK_PX, 0, -height % BLOCK_PX)
    padded = functional.pad(crops[:, None], margins, mode="replicate")
    blocks = functional.unfold(padded, BLOCK_PX, stride=BLOCK_PX)  # N pixels blocks
    moved = blocks.gather(2, places[:, None, :].expand(-1, blocks.shape[1], -1))
    return functional.fold(moved, padded.shape[-2:], BLOCK_PX, stride=BLOCK_PX)[:, 0, :height, :width]


def _draw_noise(crops: Tensor, generator: Generator) -> Tensor:
    return torch.randn(crops.shape, generator=generator, device=crops.device)


def _draw_span(shares: Tensor, size: int, generator: Generator) -> Tensor:
    """Draw which of ``size`` rows (N size, bool) lie in a span of ``shares`` (N) of them, somewhere."""
    length = shares[:, None] * size
    start = draw_uniform((len(shares), 1), 0, 1, generator) * (size - length)
    rows = torch.arange(size, device=generator.device)
    return (rows >= start) & (rows < start + length)


# What the clips of training show, and what only the benchmark shows: there a model meets damage it has not seen.
SEEN: tuple[Corruption, ...] = (smear, add_noise, occlude, darken, coarsen)
UNSEEN: tuple[Corruption, ...] = (lose_blocks, bend_strongly)
