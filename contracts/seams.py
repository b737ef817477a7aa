"""Join the tracks of neighbouring parts: both have seen the frames around their seam, each with its own tracker.

What a part noted there (``ingest.seams``) decides alone, so the same parts are always joined in the same way.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.boxes import compute_iou
from contracts.messages import Box

# Two trackers that follow one face put their boxes on nearly the same place. Where they do so only roughly, the faces
# must look alike too.
_MIN_IOU = 0.5
_MIN_IOU_OF_LOOKALIKES = 0.2
_MIN_CORRELATION = 0.6
# The frames nearest the seam decide: before them a track may have followed somebody else.
_MAX_FRAMES = 10


@dataclass(frozen=True)
class SeenTrack:
    """A track near a seam: its ``boxes`` by pts, and a small grey picture of the face (N,), None where it was tiny."""

    track_id: int
    boxes: Mapping[int, Box]
    face: bytes | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        face = base64.b64encode(self.face).decode() if self.face is not None else None
        boxes = [[pts, *(round(number, 2) for number in box)] for pts, box in self.boxes.items()]
        return {"track_id": self.track_id, "boxes": boxes, "face": face}


def read_seen_track(values: Mapping[str, Any]) -> SeenTrack:
    """Return what ``to_dict`` wrote."""
    face = base64.b64decode(values["face"]) if values["face"] is not None else None
    return SeenTrack(values["track_id"], {pts: tuple(box) for pts, *box in values["boxes"]}, face)


def join_tracks(before: Sequence[SeenTrack], after: Sequence[SeenTrack], seam_pts: int) -> list[tuple[int, int, str]]:
    """Return (track of the part after, track of the part before, reason) for each face that both have followed."""
    found = []
    for earlier in before:
        for later in after:
            common = sorted(earlier.boxes.keys() & later.boxes.keys(), key=lambda pts: (abs(pts - seam_pts), pts))
            common = common[:_MAX_FRAMES]
            if not common:
                continue
            iou = sum(compute_iou(earlier.boxes[pts], later.boxes[pts]) for pts in common) / len(common)
            likeness = _correlate(earlier.face, later.face)
            if iou >= _MIN_IOU or (iou >= _MIN_IOU_OF_LOOKALIKES and likeness >= _MIN_CORRELATION):
                reason = f"IoU {iou:.2f} over {len(common)} frames, likeness {likeness:.2f}"
                found.append((iou, likeness, later.track_id, earlier.track_id, reason))
    joins: dict[int, tuple[int, str]] = {}
    for _, _, later_id, earlier_id, reason in sorted(found, key=lambda one: (-one[0], -one[1], one[2], one[3])):
        if later_id not in joins and earlier_id not in {taken for taken, _ in joins.values()}:
            joins[later_id] = earlier_id, reason
    return [(later_id, *joins[later_id]) for later_id in sorted(joins)]


def _correlate(a: bytes | None, b: bytes | None) -> float:
    """Return the correlation of two grey pictures of the same size, 0 where there is nothing to compare."""
    if a is None or b is None or len(a) != len(b):
        return 0.0
    first, second = (np.frombuffer(face, np.uint8).astype(np.float64) for face in (a, b))
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale else 0.0
