"""Face thumbnails: choose moments from the rows, then cut the faces out of the video again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import sqlalchemy as sa
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from contracts import store
from contracts.errors import SourceError
from contracts.persons import list_persons, read_persons
from reports.series import find_shown_tracks
from reports.video import Image, decode_frames, open_video, to_image

SIZE_PX = 64
MAX_THUMBNAILS = 40
_MARGIN = 0.3  # of the box's longer side, on each side of the face
_TOLERANCE_S = 0.5  # a repaired pts is in no packet; its neighbour shows the same face
# Without an index of keyframes, decoding this far costs about as much as seeking does.
_PATIENCE_S = 2.0
# A keyframe may be decoded before a frame that is shown before it, and some containers (MPEG-TS) seek to any packet, of
# which nothing decodes until the next keyframe: then seek earlier.
_SEEK_BACK_S = (0.0, 1.0, 5.0)


@dataclass(frozen=True)
class Moment:
    """One face to cut out. ``pts`` is in the stream's time base; ``box`` is x1, y1, x2, y2 in upright pixels."""

    track_id: int
    pts: int
    time_s: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Thumbnail:
    """A face at its time: ``image`` is SIZE_PX x SIZE_PX x 3, uint8, RGB."""

    track_id: int
    time_s: float
    image: Image


def choose_moments(connection: sa.Connection, session_id: str, per_track: int) -> list[Moment]:
    """Choose up to ``per_track`` faces of each track that the timeline shows, at most ``MAX_THUMBNAILS``, by pts.

    Each track's time is cut into equal slots, as wide for a short track as for a long one, so that thumbnails are
    evenly spaced. In each slot the face of the highest quality wins; one at the slot's edge must be twice as good as
    one in its middle.
    """
    persons = read_persons(connection, session_id)
    tracks = find_shown_tracks(list_persons(connection, session_id))
    if not tracks:
        return []
    duration_s = max(stretch["end_s"] for stretch in [*store.list_coverage(connection, session_id), *tracks]) or 1.0
    for num_slots in range(per_track, 0, -1):
        slots = {track["track_id"]: _cut_slots(track, duration_s / num_slots) for track in tracks}
        if sum(last + 1 for _, _, last in slots.values()) <= MAX_THUMBNAILS:
            break
    best: dict[tuple[int, int], tuple[float, Moment]] = {}
    columns = ("track_id", "pts", "time_s", "x1", "y1", "x2", "y2", "quality")
    for rows in store.iterate_emotions(connection, session_id, columns):
        for track_id, pts, time_s, x1, y1, x2, y2, quality in map(tuple, rows):
            track_id = persons.find(track_id, pts)
            if track_id not in slots:
                continue
            start_s, width_s, last = slots[track_id]
            position = (time_s - start_s) / width_s
            slot = min(max(int(position), 0), last)
            from_middle = min(abs(position - slot - 0.5), 0.5)
            worth = quality * (1 - from_middle)
            if (track_id, slot) not in best or worth > best[track_id, slot][0]:
                best[track_id, slot] = worth, Moment(track_id, pts, time_s, (x1, y1, x2, y2))
    return sorted((moment for _, moment in best.values()), key=lambda moment: moment.pts)


def _cut_slots(track: Mapping[str, Any], slot_s: float) -> tuple[float, float, int]:
    """Return a track's start, the width of its slots in seconds and the last slot's number."""
    length_s = track["end_s"] - track["start_s"]
    num_slots = max(1, round(length_s / slot_s))
    return track["start_s"], length_s / num_slots or 1.0, num_slots - 1


def read_thumbnails(video_path: Path | str, moments: Sequence[Moment]) -> list[Thumbnail]:
    """Cut the faces at ``moments`` out of the video; what cannot be read any more is left out, never an error."""
    try:
        with open_video(video_path) as (container, stream):
            # Pictures on which no other depends are left out, and edges are not smoothed: a neighbour's picture shows
            # the same face at this size, for less than half of the time.
            stream.codec_context.options = {"skip_frame": "noref", "skip_loop_filter": "all"}
            reader = _SeekingReader(container, stream)
            thumbnails = []
            for moment in sorted(moments, key=lambda moment: moment.pts):
                frame = reader.read_nearest(moment.pts)
                if frame is not None:
                    thumbnails.append(Thumbnail(moment.track_id, moment.time_s, cut_face(to_image(frame), moment.box)))
            return thumbnails
    except SourceError:
        return []


class _SeekingReader:
    """Reads frames at growing pts, seeking only where that skips a keyframe."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._time_base = float(stream.time_base or 1)
        self._frames = decode_frames(container, stream)
        self._near: list[VideoFrame] = []  # the last two frames read, in order of pts

    def read_nearest(self, pts: int) -> VideoFrame | None:
        """Return the frame nearest to ``pts``, or None where none lies within the tolerance."""
        if self._should_seek(pts):
            for back_s in _SEEK_BACK_S:
                self._seek(max(pts - int(back_s / self._time_base), self._stream.start_time or 0))
                self._decode_until(pts)
                if self._near and _pts(self._near[0]) <= pts:
                    break
        else:
            self._decode_until(pts)
        nearest = min(self._near, key=lambda frame: abs(_pts(frame) - pts), default=None)
        if nearest is None or abs(_pts(nearest) - pts) * self._time_base > _TOLERANCE_S:
            return None
        return nearest

    def _should_seek(self, pts: int) -> bool:
        if not self._near:
            return True
        position = _pts(self._near[-1])
        entries = self._stream.index_entries
        keyframe = entries.search_timestamp(pts) if len(entries) else -1
        if keyframe >= 0:
            return entries[keyframe].timestamp > position
        return (pts - position) * self._time_base > _PATIENCE_S

    def _seek(self, pts: int) -> None:
        try:
            self._container.seek(pts, backward=True, stream=self._stream)
        except av.FFmpegError:
            return  # what cannot seek is read on from here
        self._near = []
        self._frames = decode_frames(self._container, self._stream)

    def _decode_until(self, pts: int) -> None:
        while not self._near or _pts(self._near[-1]) < pts:
            frame = next(self._frames, None)
            if frame is None:
                return
            if frame.pts is not None and not frame.is_corrupt:
                self._near = [*self._near[-1:], frame]


def _pts(frame: VideoFrame) -> int:
    assert frame.pts is not None  # frames without one are never kept
    return frame.pts


def cut_face(image: Image, box: tuple[float, float, float, float]) -> Image:
    """Return the face in ``box`` with a margin, SIZE_PX x SIZE_PX x 3; the square is moved inwards at the edge."""
    x1, y1, x2, y2 = box
    side = max(x2 - x1, y2 - y1, 1.0) * (1 + 2 * _MARGIN)
    side = min(side, *image.shape[:2])
    height, width = image.shape[:2]
    left = np.clip((x1 + x2 - side) / 2, 0, width - side)
    top = np.clip((y1 + y2 - side) / 2, 0, height - side)
    return _resize(image[int(top) : int(top + side) + 1, int(left) : int(left + side) + 1])


def _resize(image: Image) -> Image:
    """Resize to SIZE_PX squared with FFmpeg's area filter, which neither aliases nor needs another library."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return frame.reformat(width=SIZE_PX, height=SIZE_PX, interpolation="AREA").to_ndarray().astype(np.uint8)
