"""Random changes to crops, as batched tensor operations, so that a GPU never waits for Python.

All functions take and return float crops (N H W) with values from 0 to 255, and draw from the given generator.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional


def draw_uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def warp(
    crops: Tensor,
    angle: Tensor,
    scale: Tensor,
    shift_x: Tensor,
    shift_y: Tensor,
    window_px: float,
    size_px: int,
) -> Tensor:
    """Rotate (radians), scale and shift (fractions of the crop's side) each crop; all parameters are (N).

    The result shows a window of ``window_px`` of the crop, resized to ``size_px``.
    """
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    ratio = window_px / crops.shape[-1]
    row_x = torch.stack((cosine * ratio, -sine * ratio, 2 * shift_x), -1)
    row_y = torch.stack((sine * ratio, cosine * ratio, 2 * shift_y), -1)
    grid = functional.affine_grid(
        torch.stack((row_x, row_y), 1), [len(crops), 1, size_px, size_px], align_corners=False
    )
    return functional.grid_sample(crops[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


@dataclass(frozen=True)
class Strength:
    """How far ``augment_stills`` goes: degrees of rotation, range of scale, shift and cut-out as fractions of the
    crop's side, exponent of gamma (natural logarithm), and how many crops are cut out or blurred.
    """

    angle_deg: float
    scale: tuple[float, float]
    shift: float
    log_gamma: float
    cut_out: float
    cut_out_share: float
    blur_share: float


STRONG = Strength(
    angle_deg=15, scale=(0.85, 1.2), shift=0.08, log_gamma=0.5, cut_out=0.32, cut_out_share=0.5, blur_share=0.15
)
# For short runs and for last epochs.
MILD = Strength(
    angle_deg=10, scale=(0.9, 1.15), shift=0.06, log_gamma=0.3, cut_out=0.3, cut_out_share=0.3, blur_share=0
)
# The share of the crop's side that augmented crops show, so that a window of 44 of 48 pixels moves over the picture.
WINDOW = 44 / 48


def augment_stills(crops: Tensor, size_px: int, generator: Generator, strength: Strength = STRONG) -> Tensor:
    """Return windows of the crops at ``size_px``, under random pose, mirroring, gamma, blur and cut-out."""
    number = (len(crops),)
    angle = math.radians(strength.angle_deg)
    out = warp(
        crops,
        draw_uniform(number, -angle, angle, generator),
        draw_uniform(number, *strength.scale, generator),
        draw_uniform(number, -strength.shift, strength.shift, generator),
        draw_uniform(number, -strength.shift, strength.shift, generator),
        WINDOW * crops.shape[-1],
        size_px,
    )
    mirrored = draw_uniform(number, 0, 1, generator) < 0.5
    out = torch.where(mirrored[:, None, None], out.flip(-1), out)
    gamma = torch.exp(draw_uniform(number, -strength.log_gamma, strength.log_gamma, generator))
    out = 255 * (out / 255).clamp(0, 1) ** gamma[:, None, None]
    if strength.blur_share:
        blurred = draw_uniform(number, 0, 1, generator) < strength.blur_share
        out = torch.where(blurred[:, None, None], blur(out), out)
    chosen = draw_uniform(number, 0, 1, generator) < strength.cut_out_share
    return cut_out(out, chosen, round(size_px * strength.cut_out), generator)


def mix(share: float, generator: Generator, *tensors: Tensor) -> list[Tensor]:
    """Return tensors (N ...) of which a ``share`` of the rows are sums with another row, the same one in each tensor.

    A row keeps half to all of itself (mixup, Zhang et al. 2018; for learning from a teacher Beyer et al. 2022).
    """
    number, device = len(tensors[0]), tensors[0].device
    is_mixed = draw_uniform((number,), 0, 1, generator) < share
    kept = torch.where(is_mixed, draw_uniform((number,), 0.5, 1, generator), 1)
    other = torch.randperm(number, generator=generator, device=device)
    out = []
    for tensor in tensors:
        weight = kept.view(-1, *[1] * (tensor.dim() - 1))
        out.append(weight * tensor + (1 - weight) * tensor[other])
    return out


def blur(crops: Tensor) -> Tensor:
    """Return crops under a 3x3 box filter, twice."""
    out = crops[:, None]
    for _ in range(2):
        out = functional.avg_pool2d(functional.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return out[:, 0]


def cut_out(crops: Tensor, chosen: Tensor, side_px: int, generator: Generator) -> Tensor:
    """Return crops in which those that are ``chosen`` (N, bool) have a square of their mean grey."""
    size = crops.shape[-1]
    rows = torch.arange(size, device=crops.device)
    top = (draw_uniform((len(crops),), 0, 1, generator) * (size - side_px // 2))[:, None]
    left = (draw_uniform((len(crops),), 0, 1, generator) * (size - side_px // 2))[:, None]
    in_rows = (rows >= top) & (rows < top + side_px)
    in_columns = (rows >= left) & (rows < left + side_px)
    hole = in_rows[:, :, None] & in_columns[:, None, :] & chosen[:, None, None]
    return torch.where(hole, crops.mean((1, 2), keepdim=True), crops)
