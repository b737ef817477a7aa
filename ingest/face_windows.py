"""A recording's faces without a stream or a database: its windows, and each face once, track by track.

What trains and measures the temporal part reads recordings through the same stages as a batch run does.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.messages import CropSequence
from contracts.model_card import InputContract
from ingest.analysis import FrameAnalyser
from ingest.frames import Frame, FrameReader
from ingest.sampling import FrameSampler
from ingest.windows import PROFILES, WindowBuffer
from models.detection import FaceDetector

FPS = 10
PROFILE = PROFILES["batch"]


@dataclass(frozen=True)
class FaceTrack:
    """One face for as long as no gap interrupts it: ``times_s`` (T) in seconds and its ``crops`` uint8 (T H W)."""

    times_s: NDArray[np.float64]
    crops: NDArray[np.uint8]


def read_face_windows(
    path: Path, detector: FaceDetector, model_input: InputContract, model_id: str
) -> Iterator[CropSequence]:
    """Yield the windows of a recording as a batch run at 10 crops per second would send them to ``model_id``.

    Raises:
        SourceError: the recording cannot be read.
    """
    windows = WindowBuffer(PROFILE, path.stem[:36], model_id)
    analyser = FrameAnalyser(detector, model_input, windows)
    reader = FrameReader(path)
    sampler: FrameSampler | None = None
    with closing(iter(reader)) as items:
        for item in items:
            if not isinstance(item, Frame):
                continue
            sampler = sampler or FrameSampler(FPS, reader.clock.time_base)
            if sampler.is_due(item.pts - (reader.clock.start_pts or 0)):
                yield from analyser.analyse(item).sequences
    yield from windows.flush_all()


def join_tracks(sequences: Iterator[CropSequence]) -> list[FaceTrack]:
    """Return the faces of the windows of ``read_face_windows``, each face once.

    A track is cut where its windows are: after a gap, a cut, or where it may have become another person.
    """
    parts: list[list[CropSequence]] = []
    latest: dict[int, list[CropSequence]] = {}
    for sequence in sequences:
        # The windows of a stretch overlap, so only its first one has no context before what it stores.
        if sequence.store_from == 0:
            latest[sequence.track_id] = []
            parts.append(latest[sequence.track_id])
        latest[sequence.track_id].append(sequence)
    return [
        FaceTrack(
            np.concatenate([np.array(part.times_s[part.store_from : part.store_to]) for part in stretch]),
            np.concatenate([part.read_crops()[part.store_from : part.store_to] for part in stretch]),
        )
        for stretch in parts
    ]
