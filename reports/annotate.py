"""annotated.mp4: the source with boxes, labels and bars, each frame at its own time."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import sqlalchemy as sa
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from contracts import store
from contracts.emotions import EMOTIONS
from contracts.errors import SourceError
from contracts.persons import read_persons
from reports.output import replace_file
from reports.overlay import Face, draw_faces
from reports.video import Image, decode_frames, open_video, repair_times, to_image

_HOLD_S = 0.5
_UNSPECIFIED = 2  # FFmpeg's AVCOL_SPC_UNSPECIFIED
_MPEG4_MAX_DENOMINATOR = 65535  # MPEG-4 part 2 has 16 bits for it

ReportProgress = Callable[[int], None]


class _Row(NamedTuple):
    track_id: int
    pts: int
    box: tuple[float, float, float, float]
    probabilities: tuple[float, ...]


def write_annotated(
    connection: sa.Connection,
    session: Mapping[str, Any],
    video_path: Path | str,
    path: Path,
    report_progress: ReportProgress,
) -> None:
    """Write the video at ``video_path`` to ``path`` (MP4, H.264) with the results of ``session`` drawn in.

    Every frame keeps its time exactly, also at a variable frame rate; there is no sound. Between two analysed frames
    of a track at most 0.5 s apart the box moves evenly; after the last one it stays for 0.5 s at most. Label and bars
    are those of the latest analysed frame. A frame that cannot be decoded is left out. ``report_progress`` is called
    with the number of frames written so far.

    Raises:
        SourceError: the video cannot be opened, or not one frame of it can be decoded.
        OutputError: ``path`` cannot be written.
    """
    with open_video(video_path) as (source, source_stream):
        time_base = source_stream.time_base
        frames = repair_times(decode_frames(source, source_stream), source_stream)
        first = next(frames, None)
        if first is None or time_base is None:
            raise SourceError(f"Not one frame of {video_path} can be decoded. Give the video that was analysed.")
        faces = _FaceTimeline(_iterate_rows(connection, session["session_id"]), int(_HOLD_S / time_base))
        # MP4 keeps the first frame's time in the movie's units, which are milliseconds unless told otherwise.
        options = {"movflags": "faststart", "movie_timescale": str(time_base.denominator)}
        with replace_file(path) as temporary, av.open(str(temporary), "w", format="mp4", options=options) as output:
            stream = _add_stream(output, source_stream, first, time_base)
            offset = min(_pts(first), 0)  # MP4 shows nothing before zero
            for num_frames, frame in enumerate(chain([first], frames), start=1):
                image = to_image(frame)
                draw_faces(image, faces.find_faces(_pts(frame)))
                output.mux(stream.encode(_to_frame(image, _pts(frame) - offset, time_base, stream)))
                report_progress(num_frames)
            output.mux(stream.encode())


def _pts(frame: VideoFrame) -> int:
    assert frame.pts is not None  # repair_times saw to it
    return frame.pts


def _add_stream(output: OutputContainer, source: VideoStream, first: VideoFrame, time_base: Fraction) -> VideoStream:
    """Add a stream of even size that keeps pts in ``time_base``; frames are never reordered, so none is delayed."""
    rate = source.average_rate or Fraction(25)
    if "libx264" in av.codecs_available:
        stream = output.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast", "bf": "0"})
    else:
        stream = output.add_stream("mpeg4", rate=rate, options={"qscale": "3", "bf": "0"})
        time_base = max(time_base, Fraction(1, _MPEG4_MAX_DENOMINATOR))
    height, width = to_image(first).shape[:2]
    stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
    stream.codec_context.time_base = time_base
    stream.time_base = time_base
    # A source that does not name its colour matrix stays without, so that players guess for both alike.
    if source.codec_context.colorspace != _UNSPECIFIED:
        stream.codec_context.colorspace = int(Colorspace.ITU709)
    aspect = source.codec_context.sample_aspect_ratio
    if aspect:
        is_turned = round(first.rotation / 90) % 2 == 1
        stream.codec_context.sample_aspect_ratio = 1 / aspect if is_turned else aspect
    return stream


def _to_frame(image: Image, pts: int, time_base: Fraction, stream: VideoStream) -> VideoFrame:
    """Return ``image`` as a frame of the output's size and colours."""
    height, width = image.shape[:2]
    if width + width % 2 != stream.width or height + height % 2 != stream.height:
        image = cv2.resize(image, (stream.width, stream.height)).astype(np.uint8)  # the source changed its size
    elif width % 2 or height % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = VideoFrame.from_ndarray(image, format="rgb24")
    is_named = stream.codec_context.colorspace == Colorspace.ITU709
    frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709 if is_named else Colorspace.ITU601)
    frame.pts, frame.time_base = pts, time_base
    return frame


def _iterate_rows(connection: sa.Connection, session_id: str) -> Iterator[_Row]:
    persons = read_persons(connection, session_id)
    columns = ("track_id", "pts", "x1", "y1", "x2", "y2", *EMOTIONS)
    for rows in store.iterate_emotions(connection, session_id, columns):
        for track_id, pts, x1, y1, x2, y2, *probabilities in map(tuple, rows):
            yield _Row(persons.find(track_id, pts), pts, (x1, y1, x2, y2), tuple(probabilities))


class _FaceTimeline:
    """Answers which faces to draw at growing pts; holds the rows of the next ``hold`` (in time base units) only."""

    def __init__(self, rows: Iterator[_Row], hold: int) -> None:
        self._rows = rows
        self._hold = hold
        self._pending: _Row | None = next(rows, None)
        self._tracks: dict[int, deque[_Row]] = {}  # per track: the latest row, then those to come

    def find_faces(self, pts: int) -> list[Face]:
        """Return the faces at ``pts``, which must not be smaller than in the last call."""
        while self._pending is not None and self._pending.pts <= pts + self._hold:
            self._tracks.setdefault(self._pending.track_id, deque()).append(self._pending)
            self._pending = next(self._rows, None)
        faces = []
        for track_id, rows in list(self._tracks.items()):
            while len(rows) > 1 and rows[1].pts <= pts:
                rows.popleft()
            if rows[0].pts < pts - self._hold:
                rows.popleft()
            if not rows:
                del self._tracks[track_id]
            elif rows[0].pts <= pts:
                following = rows[1] if len(rows) > 1 else None
                faces.append(Face(track_id, self._find_box(rows[0], following, pts), rows[0].probabilities))
        return faces

    def _find_box(self, row: _Row, following: _Row | None, pts: int) -> tuple[float, float, float, float]:
        if following is None or following.pts - row.pts > self._hold:
            return row.box
        share = (pts - row.pts) / (following.pts - row.pts)
        x1, y1, x2, y2 = (a + share * (b - a) for a, b in zip(row.box, following.box, strict=True))
        return x1, y1, x2, y2
