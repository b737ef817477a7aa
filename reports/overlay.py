"""Draw a face's box, label and seven bars onto a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from contracts.emotions import COLOURS, EMOTIONS, find_label
from reports.video import Image

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHADE = 0.35  # what stays of the picture under text and bars
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def _to_rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


_RGB: Mapping[str, tuple[int, int, int]] = {name: _to_rgb(colour) for name, colour in COLOURS.items()}
# Black letters on the light colours, white on the dark ones (luma of ITU-R BT.601).
_INK = {name: _BLACK if np.dot(rgb, (0.299, 0.587, 0.114)) > 130 else _WHITE for name, rgb in _RGB.items()}


@dataclass(frozen=True)
class Face:
    """One face to draw: ``box`` is x1, y1, x2, y2 in pixels, ``probabilities`` seven in the order of ``EMOTIONS``."""

    track_id: int
    box: tuple[float, float, float, float]
    probabilities: tuple[float, ...]


def draw_faces(image: Image, faces: Sequence[Face]) -> None:
    """Draw ``faces`` onto ``image`` (H x W x 3, uint8, RGB) in place, at a size that suits the picture's."""
    unit = max(min(image.shape[:2]) / 360, 0.65)  # 1 for a small video, 3 for full HD; letters stay readable
    corners = [tuple(round(value) for value in face.box) for face in faces]
    # All bars first: boxes and labels then stand above the bars of a neighbour.
    for (x1, y1, x2, _), face in zip(corners, faces, strict=True):
        _draw_bars(image, (x1, y1, x2), face.probabilities, unit)
    for (x1, y1, x2, y2), face in zip(corners, faces, strict=True):
        label, confidence = find_label(face.probabilities)
        cv2.rectangle(image, (x1, y1), (x2, y2), _RGB[label], max(1, round(1.5 * unit)), cv2.LINE_AA)
        _draw_label(image, (x1, y1, y2), f"{face.track_id} {label} {confidence:.0%}", label, unit)


def _draw_label(image: Image, corner: tuple[int, int, int], text: str, label: str, unit: float) -> None:
    """Draw the text on the label's colour above the box, or below it where there is no room."""
    x1, y1, y2 = corner
    scale, thickness, pad = 0.42 * unit, max(1, round(0.8 * unit)), max(2, round(3 * unit))
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    box_height = text_height + baseline + pad
    left = int(np.clip(x1, 0, max(image.shape[1] - text_width - 2 * pad, 0)))
    top = y1 - box_height if y1 >= box_height else min(y2, image.shape[0] - box_height)
    cv2.rectangle(image, (left, top), (left + text_width + 2 * pad, top + box_height), _RGB[label], cv2.FILLED)
    origin = (left + pad, top + box_height - baseline)
    cv2.putText(image, text, origin, _FONT, scale, _INK[label], thickness, cv2.LINE_AA)


def _draw_bars(image: Image, corner: tuple[int, int, int], probabilities: tuple[float, ...], unit: float) -> None:
    """Draw the seven probabilities beside the box, where there is room for them."""
    x1, y1, x2 = corner
    row_px, length_px, pad = round(11 * unit), round(44 * unit), max(2, round(3 * unit))
    scale = 0.3 * unit
    # Below some 7 pixels letters are only dirt; the colours are those of the timeline.
    text_px = cv2.getTextSize("surprise", _FONT, scale, 1)[0][0] + pad if row_px >= 10 else 0
    panel_width, panel_height = 2 * pad + text_px + length_px, len(EMOTIONS) * row_px + 2 * pad
    room_right = image.shape[1] - x2 - pad
    left = x2 + pad if room_right >= panel_width or room_right >= x1 else x1 - pad - panel_width
    left = int(np.clip(left, 0, max(image.shape[1] - panel_width, 0)))
    top = int(np.clip(y1, 0, max(image.shape[0] - panel_height, 0)))
    panel = image[top : top + panel_height, left : left + panel_width]
    panel[:] = (panel * _SHADE).astype(np.uint8)
    for row, (name, probability) in enumerate(zip(EMOTIONS, probabilities, strict=True)):
        bottom = pad + (row + 1) * row_px
        start = pad + text_px
        if text_px:
            cv2.putText(panel, name, (pad, bottom - round(0.25 * row_px)), _FONT, scale, _WHITE, 1, cv2.LINE_AA)
        end = start + max(1, round(probability * length_px))
        cv2.rectangle(panel, (start, bottom - row_px + 1), (end, bottom - 2), _RGB[name], cv2.FILLED)
