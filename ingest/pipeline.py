"""The ingest loop: from a recording's frames to crop sequences on the stream, with every frame accounted for.

Each stage is called here and knows nothing of the others; a reader opens one file and reads down.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

from contracts import ledger
from contracts.messages import CropSequence
from contracts.model_card import InputContract
from contracts.stream import CropStream
from ingest.analysis import FrameAnalyser
from ingest.frames import FrameReader, UndecodablePacket
from ingest.recorder import SessionRecorder
from ingest.sampling import FrameSampler
from ingest.seams import PartSpan
from ingest.windows import WindowBuffer
from models.detection import FaceDetector

_SAVE_INTERVAL_S = 2.0
_PROGRESS_INTERVAL_S = 0.2
# A container's duration and its last frame differ by a frame or so in sound files; more is a missing end.
_MISSING_END_S = 1.0
# A gap is more than this many times the interval between analysed frames, and at least the profile's.
_GAP_INTERVALS = 2.5


@dataclass(frozen=True)
class IngestOptions:
    """What decides a recording's rows besides the model: ``fps`` None analyses every frame."""

    fps: float | None
    max_waiting_windows: int


def ingest_recording(
    reader: FrameReader,
    detector: FaceDetector,
    model_input: InputContract,
    windows: WindowBuffer,
    stream: CropStream,
    recorder: SessionRecorder,
    options: IngestOptions,
    report_progress: Callable[[FrameReader, int], None],
    should_stop: Callable[[], bool],
    span: PartSpan | None = None,
) -> bool:
    """Read a recording to its end, or until ``should_stop``; return whether the end was reached.

    Of a part (``span``), only its own frames are recorded and stored; the others are context.

    Raises:
        SourceError: the recording cannot be read at all.
        ServiceError: Redis or the database stayed out of reach.
    """
    sampler: FrameSampler | None = None
    analyser = FrameAnalyser(detector, model_input, windows, recorder.first_track_id)
    num_faces = 0
    ended: list[int] = []
    next_save, next_progress = time.monotonic() + _SAVE_INTERVAL_S, 0.0
    is_complete = True

    def publish(sequences: Iterable[CropSequence]) -> None:
        for sequence in sequences:
            stream.wait_for_room(options.max_waiting_windows, should_stop)
            stream.publish(sequence)

    with closing(iter(reader)) as items:
        for item in items:
            if isinstance(item, UndecodablePacket):
                recorder.coverage.add_undecodable(item.pts, item.time_s)
                if should_stop():
                    is_complete = False
                    break
                continue
            frame = item
            if should_stop():
                if frame.is_own:
                    recorder.coverage.add_frame(frame.pts, frame.time_s, ledger.INTERRUPTED)
                is_complete = False
                break
            if sampler is None:
                sampler = FrameSampler(options.fps, reader.clock.time_base)
                # Where frames are rare, a second between two of them is no gap.
                windows.max_gap_s = max(windows.max_gap_s, _GAP_INTERVALS * _find_interval_s(options, reader))
                analyser = FrameAnalyser(detector, model_input, windows, recorder.first_track_id)
            if not sampler.is_due(frame.pts - (reader.clock.start_pts or 0)):
                if frame.is_own:
                    recorder.coverage.add_frame(frame.pts, frame.time_s, ledger.NOT_SAMPLED)
                continue
            if span is not None and span.is_before(frame):
                continue
            if span is not None and span.is_over(frame):
                break

            found = analyser.analyse(frame)
            publish(found.sequences)
            ended += found.ended
            if span is not None:
                span.add_faces(frame, found)
            if frame.is_own:
                for track_id in found.track_ids:
                    recorder.tracks.add_face(track_id, frame.pts, frame.time_s)
                recorder.coverage.add_frame(frame.pts, frame.time_s, found.state, len(found.track_ids))
                num_faces += len(found.track_ids)
            else:
                recorder.coverage.state_before = found.state

            now = time.monotonic()
            if now >= next_progress:
                report_progress(reader, num_faces)
                next_progress = now + _PROGRESS_INTERVAL_S
            if now >= next_save:
                recorder.save(reader)
                recorder.tracks.forget(ended)
                ended.clear()
                next_save = time.monotonic() + _SAVE_INTERVAL_S

    publish(windows.flush_all())
    _note_end(reader, recorder, is_complete, span)
    recorder.save(reader, frame_s=_find_frame_s(reader))
    report_progress(reader, num_faces)
    return is_complete


def _find_interval_s(options: IngestOptions, reader: FrameReader) -> float:
    """Return the usual seconds between analysed frames, as far as the container tells; 0 where it does not."""
    native_fps = reader.facts.average_fps if reader.facts is not None else 0.0
    rates = [fps for fps in (options.fps, native_fps) if fps]
    return 1 / min(rates) if rates else 0.0


def _find_frame_s(reader: FrameReader) -> float:
    """Return how long the last frame is taken to last: the mean interval."""
    clock, num_frames = reader.clock, reader.num_frames_before + reader.num_frames
    if num_frames < 2 or clock.last_pts is None or clock.start_pts is None:
        return 0.0
    return float(Fraction(clock.last_pts - clock.start_pts, num_frames - 1) * clock.time_base)


def _note_end(reader: FrameReader, recorder: SessionRecorder, is_complete: bool, span: PartSpan | None) -> None:
    """Where the container promises more time than frames came out, say so as coverage."""
    clock, facts = reader.clock, reader.facts
    if span is not None and (not is_complete or not span.is_last):
        # What is missing of a part is noted when it is closed (contracts.parts); else the next one begins at its end.
        if is_complete:
            recorder.coverage.extend_to(span.end_s)
        return
    if facts is None or clock.last_pts is None:
        return
    end_s = clock.to_seconds(clock.last_pts)
    usual_s = max(_MISSING_END_S, 2 * clock.to_seconds((clock.start_pts or 0) + clock.max_interval))
    if facts.duration_s - end_s > (usual_s if is_complete else 0):
        state = ledger.UNDECODABLE if is_complete else ledger.INTERRUPTED
        recorder.coverage.add_missing(clock.last_pts + 1, end_s, facts.duration_s, state)
