"""Note which faces a part's tracker follows near its seams, so that they can be joined to its neighbours' tracks."""

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.messages import Box
from contracts.seams import SeenTrack
from ingest.analysis import FrameAnalysis
from ingest.frames import Frame
from ingest.part_frames import PartReader
from ingest.tracking import Track

_FACE_PX = 16


@dataclass
class _Seam:
    """One seam: the boxes by track and pts. Of each face, the picture nearest to it is kept."""

    pts: int
    tracks: dict[int, dict[int, Box]] = field(default_factory=dict)
    faces: dict[int, tuple[int, bytes]] = field(default_factory=dict)

    def add(self, pts: int, track: Track, crop: NDArray[np.uint8] | None) -> None:
        self.tracks.setdefault(track.track_id, {})[pts] = track.box
        distance = abs(pts - self.pts)
        if crop is not None and distance < self.faces.get(track.track_id, (distance + 1, b""))[0]:
            small = cv2.resize(crop, (_FACE_PX, _FACE_PX), interpolation=cv2.INTER_AREA)
            self.faces[track.track_id] = distance, small.tobytes()

    def to_list(self) -> list[dict[str, Any]]:
        return [
            SeenTrack(track_id, boxes, self.faces.get(track_id, (0, None))[1]).to_dict()
            for track_id, boxes in self.tracks.items()
        ]


class PartSpan:
    """Which frames around a part are analysed too, and what was seen near its seams.

    Those of the ``overlap_s`` seconds before it give its tracker and windows their past, ``num_after`` analysed ones
    behind it give the last windows their context. None of them is stored: they are the neighbours' own.
    """

    def __init__(self, reader: PartReader, overlap_s: float, num_after: int) -> None:
        self._reader, self._overlap_s, self._num_after = reader, overlap_s, num_after
        part = reader.part
        self.end_s, self.is_last = part.end_s, part.end_pts is None
        self._head = _Seam(part.start_pts) if part.start_pts is not None else None
        self._tail = _Seam(part.end_pts) if part.end_pts is not None else None

    def is_before(self, frame: Frame) -> bool:
        """Return whether a frame lies too far before the part to be analysed."""
        return not frame.is_own and frame.time_s < self._reader.part.start_s - self._overlap_s

    def is_over(self, frame: Frame) -> bool:
        """Return whether the part is done with. Ask for each frame that would be analysed."""
        part = self._reader.part
        if frame.is_own or part.end_pts is None or frame.pts < part.end_pts:
            return False
        self._num_after -= 1
        return self._num_after < 0 and self._reader.is_part_read

    def add_faces(self, frame: Frame, found: FrameAnalysis) -> None:
        """Take note of a frame's faces where it is near a seam."""
        part = self._reader.part
        for track, face in found.faces:
            crop = face.crop if face is not None else None
            if self._head is not None and frame.time_s < part.start_s + self._overlap_s:
                self._head.add(frame.pts, track, crop)
            if self._tail is not None and frame.time_s >= part.end_s - self._overlap_s:
                self._tail.add(frame.pts, track, crop)

    def to_dict(self) -> dict[str, Any]:
        """Return what was seen, as plain JSON values: ``head`` at the part's beginning, ``tail`` at its end."""
        return {
            "head": self._head.to_list() if self._head else [],
            "tail": self._tail.to_list() if self._tail else [],
        }
