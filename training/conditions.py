"""Conditions that a camera in use meets, put on labelled crops: angle, light, distance, blur, noise, occlusion.

Each turns grey uint8 crops into others of the same shape, the same for the same crops. They stand in for footage that
nobody has labelled: a picture that is turned is not a head that turns, and a grey patch is not a hand.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets import FaceDataset
from training.devices import read_clock_s
from training.evaluation import Classifier, Labels, answer

Images = NDArray[np.uint8]
Image = NDArray[np.uint8]
# Turns one crop (H W) into another, as float or uint8; the generator is for noise.
Change = Callable[[Image, np.random.Generator], NDArray[Any]]

PLAIN = "as it is"
SEED = 0
# The camera's distance from the picture, in sides of the crop, where it is turned about its vertical axis.
_VIEW_DISTANCE = 2.5
# Whiter than hair, darker than skin: an occluder's grey.
_OCCLUDER = 128
_DIGITS = 4


def apply(condition: str, images: Images) -> Images:
    """Return the images (N H W) under the condition of that name in ``CONDITIONS``."""
    if condition == PLAIN:
        return images
    generator = np.random.default_rng(SEED)
    change = CONDITIONS[condition]
    changed = np.stack([change(image, generator) for image in images])
    return np.clip(np.round(changed), 0, 255).astype(np.uint8)


def measure_conditions(classifier: Classifier, faces: FaceDataset, labels: Labels) -> dict[str, dict[str, Any]]:
    """Return for the faces as they are and under each condition accuracy, macro precision and recall, and the
    milliseconds (see ``read_clock_s``) that each image took to answer.

    Raises:
        DataError: there are no votes, or no face has such a label.
    """
    figures = {}
    for condition in (PLAIN, *CONDITIONS):
        changed = FaceDataset(faces.name, apply(condition, faces.images), faces.labels, faces.votes, faces.label_names)
        start_s = read_clock_s(classifier.device)
        found = answer(classifier, changed, labels).score()
        milliseconds = 1000 * (read_clock_s(classifier.device) - start_s) / found.n
        figures[condition] = {
            "n": found.n,
            "accuracy": round(found.accuracy, _DIGITS),
            "macro_precision": round(found.macro_precision, _DIGITS),
            "macro_recall": round(found.macro_recall, _DIGITS),
            "ms_per_image": round(milliseconds, 3),
        }
    return figures


def _rotate(image: Image, _: np.random.Generator, degrees: float) -> Image:
    """Turn in the picture's plane; positive is counter-clockwise."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _turn(image: Image, _: np.random.Generator, degrees: float) -> Image:
    """Show the picture turned about its vertical axis, as a face that looks aside is foreshortened."""
    height, width = image.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    x, y = corners[:, 0] / width - 0.5, corners[:, 1] / height - 0.5
    angle = math.radians(degrees)
    nearer = _VIEW_DISTANCE / (_VIEW_DISTANCE + x * math.sin(angle))
    seen = np.stack([(x * math.cos(angle) * nearer + 0.5) * width, (y * nearer + 0.5) * height], 1)
    matrix = cv2.getPerspectiveTransform(corners, seen.astype(np.float32))
    return cv2.warpPerspective(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _darken(image: Image, generator: np.random.Generator) -> NDArray[Any]:
    """A fifth of the light, under a sensor's noise."""
    return np.round(0.2 * image + generator.normal(0, 4, image.shape))


def _overexpose(image: Image, _: np.random.Generator) -> NDArray[Any]:
    """Half as much light again and a haze; what is brighter than white is lost."""
    return 1.5 * image + 60.0


def _light_from_side(image: Image, _: np.random.Generator) -> NDArray[Any]:
    """Full light on the right, a seventh of it on the left."""
    return image * np.linspace(0.15, 1.0, image.shape[1])


def _move_away(image: Image, _: np.random.Generator, side_px: int) -> Image:
    """A face of ``side_px`` pixels, enlarged to the crop."""
    small = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _blur(image: Image, _: np.random.Generator, sigma_px: float) -> Image:
    return cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _smear(image: Image, _: np.random.Generator, length_px: int) -> Image:
    return cv2.blur(image, (length_px, 1), borderType=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _add_noise(image: Image, generator: np.random.Generator, deviation: float) -> NDArray[Any]:
    return image + generator.normal(0, deviation, image.shape)


def _cover(image: Image, _: np.random.Generator, box: tuple[float, float, float, float]) -> Image:
    """Cover a box (left, top, right, bottom, as shares of the crop's sides) with grey."""
    height, width = image.shape
    left, top, right, bottom = box
    covered = image.copy()
    covered[round(top * height) : round(bottom * height), round(left * width) : round(right * width)] = _OCCLUDER
    return covered


CONDITIONS: dict[str, Change] = {
    "rotated 15° left": partial(_rotate, degrees=15),
    "rotated 15° right": partial(_rotate, degrees=-15),
    "rotated 30° left": partial(_rotate, degrees=30),
    "rotated 30° right": partial(_rotate, degrees=-30),
    "turned aside 25°": partial(_turn, degrees=25),
    "turned aside 50°": partial(_turn, degrees=50),
    "dark": _darken,
    "bright": _overexpose,
    "light from the side": _light_from_side,
    "distant, 24 px": partial(_move_away, side_px=24),
    "distant, 16 px": partial(_move_away, side_px=16),
    "distant, 12 px": partial(_move_away, side_px=12),
    "blurred, 1 px": partial(_blur, sigma_px=1.0),
    "blurred, 2 px": partial(_blur, sigma_px=2.0),
    "smeared over 7 px": partial(_smear, length_px=7),
    "noise": partial(_add_noise, deviation=25.0),
    "eyes covered": partial(_cover, box=(0.05, 0.25, 0.95, 0.52)),
    "mouth covered": partial(_cover, box=(0.2, 0.64, 0.8, 0.98)),
    "left half covered": partial(_cover, box=(0.0, 0.0, 0.5, 1.0)),
    "right half covered": partial(_cover, box=(0.5, 0.0, 1.0, 1.0)),
    "upper half covered": partial(_cover, box=(0.0, 0.0, 1.0, 0.5)),
    "lower half covered": partial(_cover, box=(0.0, 0.5, 1.0, 1.0)),
}
