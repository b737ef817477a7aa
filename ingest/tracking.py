"""Join detections to tracks: a two-stage IoU tracker (the idea of ByteTrack, Zhang et al. 2022, without its motion
model, which real clips at 10 fps did not need).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from contracts.boxes import compute_iou
from contracts.messages import Box
from ingest.finding import MIN_KNOWN_IOU, MIN_KNOWN_SCORE, MIN_WEAK_IOU
from models.detection import Detection

_CROSSING_IOU = 0.15


@dataclass
class Track:
    """One face over time. ``is_break`` says that its identity may have changed since the frame before."""

    track_id: int
    box: Box
    score: float
    time_s: float
    is_crossing: bool = False
    is_break: bool = False


class Tracker:
    """Gives each face a track id that it keeps while it is seen, through gaps of up to ``max_lost_s`` seconds.

    Ids count from ``first_id``.
    """

    def __init__(self, min_score: float, max_lost_s: float, first_id: int = 1) -> None:
        self._min_score = min_score
        self.max_lost_s = max_lost_s
        self._tracks: list[Track] = []
        self._next_id = first_id
        self._last_time_s = -1.0

    def list_known_boxes(self) -> list[Box]:
        """Return the boxes of the faces seen on the last analysed frame."""
        return [track.box for track in self._tracks if track.time_s == self._last_time_s]

    def break_all(self) -> list[int]:
        """End every track, as at a scene cut, and return their ids."""
        ended = [track.track_id for track in self._tracks]
        self._tracks = []
        return ended

    def update(self, detections: Sequence[Detection], time_s: float) -> tuple[list[Track], list[int]]:
        """Return the tracks seen on this frame and the ids of those that have ended.

        Confident detections are matched first, to all tracks; then weak ones to the tracks that remain. Only
        confident ones begin a track.
        """
        self._last_time_s = time_s
        ended = [track.track_id for track in self._tracks if time_s - track.time_s > self.max_lost_s]
        self._tracks = [track for track in self._tracks if track.track_id not in ended]
        strong = [detection for detection in detections if detection.score >= self._min_score]
        weak = [detection for detection in detections if MIN_KNOWN_SCORE <= detection.score < self._min_score]
        unmatched_tracks, unmatched_strong = self._match(self._tracks, strong, time_s, MIN_KNOWN_IOU)
        self._match(unmatched_tracks, weak, time_s, MIN_WEAK_IOU)
        for detection in unmatched_strong:
            self._tracks.append(Track(self._next_id, detection.box, detection.score, time_s))
            self._next_id += 1
        seen = [track for track in self._tracks if track.time_s == time_s]
        _mark_crossings(seen)
        return seen, ended

    @staticmethod
    def _match(
        tracks: list[Track], detections: list[Detection], time_s: float, min_iou: float
    ) -> tuple[list[Track], list[Detection]]:
        """Move tracks to the detections that overlap them most in all; return what is left of both."""
        if not tracks or not detections:
            return tracks, detections
        overlaps = np.array([[compute_iou(track.box, found.box) for found in detections] for track in tracks])
        rows, columns = linear_sum_assignment(-overlaps)
        pairs = [(row, column) for row, column in zip(rows, columns, strict=True) if overlaps[row, column] >= min_iou]
        for row, column in pairs:
            track, found = tracks[row], detections[column]
            track.box, track.score, track.time_s = found.box, found.score, time_s
        matched_rows, matched_columns = {row for row, _ in pairs}, {column for _, column in pairs}
        return (
            [track for row, track in enumerate(tracks) if row not in matched_rows],
            [found for column, found in enumerate(detections) if column not in matched_columns],
        )


def _mark_crossings(tracks: list[Track]) -> None:
    """Mark tracks whose faces begin or cease to overlap: there two people are easily mistaken for one another."""
    for track in tracks:
        is_crossing = any(other is not track and compute_iou(track.box, other.box) > _CROSSING_IOU for other in tracks)
        track.is_break = is_crossing != track.is_crossing
        track.is_crossing = is_crossing
