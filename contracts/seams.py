"""Join the tracks of neighbouring parts: both have seen the frames around their seam, each with its own tracker.

What a part noted there (``ingest.seams``) decides alone, so the same parts are always joined in the same way.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
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
    """Return (track of the part after, track of the part before, reason) for each face that both have followed.

    Where one tracker has lost a face and found it again, and the other has not, the tracks at the seam are joined.
    """
    before = [track for track in before if min(track.boxes) < seam_pts]
    after = [track for track in after if max(track.boxes) >= seam_pts]

    def choose_nearest(pts: Iterable[int]) -> list[int]:
        return sorted(pts, key=lambda one: (abs(one - seam_pts), one))[:_MAX_FRAMES]

    seen_before, seen_after = (set(chain.from_iterable(track.boxes for track in tracks)) for tracks in (before, after))
    nearest = set(choose_nearest(seen_before & seen_after))
    found = []
    for earlier, later in product(before, after):
        ious = {
            pts: compute_iou(earlier.boxes[pts], later.boxes[pts])
            for pts in choose_nearest(earlier.boxes.keys() & later.boxes.keys())
        }
        if not ious:
            continue
        iou, likeness = sum(ious.values()) / len(ious), _correlate(earlier.face, later.face)
        if iou >= _MIN_IOU or (iou >= _MIN_IOU_OF_LOOKALIKES and likeness >= _MIN_CORRELATION):
            weight = sum(ious[pts] for pts in ious if pts in nearest)
            reason = f"IoU {iou:.2f} over {len(ious)} frames, likeness {likeness:.2f}"
            found.append((-weight, -iou, -likeness, later.track_id, earlier.track_id, reason))
    joins: dict[int, tuple[int, str]] = {}
    for *_, later_id, earlier_id, reason in sorted(found):
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
