"""Smoothing of emotion probabilities over time: what a temporal network has to beat.

``probabilities`` are (..., T K), one row per crop in order of time.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]
Smoother = Callable[[Probabilities], Probabilities]

WEIGHTS = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1)
RADII = (1, 2, 3, 4, 5, 6, 8, 10, 15)


def smooth_exponentially(probabilities: Probabilities, weight: float) -> Probabilities:
    """Return s(t) = weight · p(t) + (1 - weight) · s(t - 1), from s(0) = p(0): what a live display does."""
    out = probabilities.copy()
    for index in range(1, out.shape[-2]):
        out[..., index, :] = weight * out[..., index, :] + (1 - weight) * out[..., index - 1, :]
    return out


def average_around(probabilities: Probabilities, radius: int) -> Probabilities:
    """Return the mean over up to ``radius`` crops on both sides; at the ends, over those that there are."""
    length = probabilities.shape[-2]
    total = np.cumsum(np.insert(probabilities.astype(np.float64), 0, 0.0, axis=-2), axis=-2)
    position = np.arange(length)
    first, end = np.maximum(position - radius, 0), np.minimum(position + radius + 1, length)
    means = (total[..., end, :] - total[..., first, :]) / (end - first)[:, None]
    smoothed: Probabilities = means.astype(np.float32)
    return smoothed


def list_smoothers() -> dict[str, Smoother]:
    """Return every smoother that is tried, by a name that tells its parameter."""
    exponential: dict[str, Smoother] = {
        f"exponential, weight {weight:g}": lambda p, weight=weight: smooth_exponentially(p, weight)  # type: ignore[misc]
        for weight in WEIGHTS
    }
    centred: dict[str, Smoother] = {
        f"centred mean, radius {radius}": lambda p, radius=radius: average_around(p, radius)  # type: ignore[misc]
        for radius in RADII
    }
    return {**exponential, **centred}


def choose_smoother(probabilities: Probabilities, truth: NDArray[np.int64]) -> str:
    """Return the name of the smoother with the best accuracy of crops on ``truth`` (..., T)."""
    smoothers = list_smoothers()
    return max(smoothers, key=lambda name: float((smoothers[name](probabilities).argmax(-1) == truth).mean()))
