"""Random changes to crops, as batched tensor operations, so that a GPU never waits for Python.

All functions take and return float crops (N H W) with values from 0 to 255, and draw from the given generator.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional


def draw_uniform(shape: tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def warp(crops: Tensor, angle: Tensor, scale: Tensor, shift_x: Tensor, shift_y: Tensor, size_px: int) -> Tensor:
    """Rotate (radians), scale and shift (fractions of the crop's side) each crop; all parameters are (N)."""
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    ratio = size_px / crops.shape[-1]
    row_x = torch.stack((cosine * ratio, -sine * ratio, 2 * shift_x), -1)
    row_y = torch.stack((sine * ratio, cosine * ratio, 2 * shift_y), -1)
    grid = functional.affine_grid(
        torch.stack((row_x, row_y), 1), [len(crops), 1, size_px, size_px], align_corners=False
    )
    return functional.grid_sample(crops[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def augment_stills(crops: Tensor, size_px: int, generator: Generator) -> Tensor:
    """Return crops of ``size_px`` under a random pose, mirror image, gamma, blur and cut-out."""
    number = (len(crops),)
    out = warp(
        crops,
        draw_uniform(number, -math.radians(15), math.radians(15), generator),
        draw_uniform(number, 0.85, 1.2, generator),
        draw_uniform(number, -0.08, 0.08, generator),
        draw_uniform(number, -0.08, 0.08, generator),
        size_px,
    )
    mirrored = draw_uniform(number, 0, 1, generator) < 0.5
    out = torch.where(mirrored[:, None, None], out.flip(-1), out)
    gamma = torch.exp(draw_uniform(number, -0.5, 0.5, generator))
    out = 255 * (out / 255).clamp(0, 1) ** gamma[:, None, None]
    blurred = draw_uniform(number, 0, 1, generator) < 0.15
    out = torch.where(blurred[:, None, None], blur(out), out)
    return cut_out(out, draw_uniform(number, 0, 1, generator) < 0.5, 14, generator)


def blur(crops: Tensor) -> Tensor:
    """Return crops under a 3x3 box filter, twice."""
    out = crops[:, None]
    for _ in range(2):
        out = functional.avg_pool2d(functional.pad(out, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return out[:, 0]


def lower_resolution(crops: Tensor, factor: int) -> Tensor:
    """Return crops shrunk by ``factor`` and enlarged again."""
    small = functional.avg_pool2d(crops[:, None], factor)
    return functional.interpolate(small, size=crops.shape[-2:], mode="bilinear", align_corners=False)[:, 0]


def blur_by_motion(crops: Tensor, length: int) -> Tensor:
    """Return crops smeared horizontally over ``length`` (odd) pixels."""
    padded = functional.pad(crops[:, None], (length // 2, length // 2, 0, 0), mode="replicate")
    return functional.avg_pool2d(padded, (1, length), 1)[:, 0]


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
