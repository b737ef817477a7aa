"""Collect a track's crops into overlapping windows, such that every crop is stored exactly once.

``docs/contracts.md`` describes windows with golden vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.messages import Box, CropSequence


@dataclass(frozen=True)
class WindowProfile:
    """How windows are cut: their longest length, how many new crops each stores, how many wait for the next.

    ``deadline_s`` is how long a crop may wait for others (None: for ever); a window spans no gap above ``max_gap_s``.
    """

    window_length: int
    stride: int
    lookahead: int
    deadline_s: float | None
    max_gap_s: float = 1.0

    def __post_init__(self) -> None:
        if self.stride < 1 or self.lookahead < 0 or self.stride + self.lookahead > self.window_length:
            raise ValueError(f"stride + lookahead must lie within the window, found {self}")


_LIVE = WindowProfile(window_length=16, stride=2, lookahead=2, deadline_s=1.0)
PROFILES = {
    "batch": WindowProfile(window_length=16, stride=8, lookahead=4, deadline_s=None),
    "live": _LIVE,
    "driver": _LIVE,  # of one person: the largest steady face is kept (ingest.driver)
}


@dataclass(frozen=True)
class FaceCrop:
    """One face in one frame, ready to be sent: ``crop`` is (H W) or (H W 3) uint8.

    One that is not ``is_own`` is context only: the part of the recording that it belongs to stores it.
    """

    pts: int
    time_s: float
    frame_index: int
    box: Box
    detection_score: float
    quality: float
    crop: NDArray[np.uint8]
    is_own: bool = True


class _TrackWindow:
    """One track's crops: first those kept as context, then those that wait to be stored."""

    def __init__(self) -> None:
        self.crops: list[FaceCrop] = []
        self.num_stored = 0  # of ``crops``, from the front
        self.last_time_s = 0.0

    @property
    def num_waiting(self) -> int:
        return len(self.crops) - self.num_stored


class WindowBuffer:
    """Holds the crops of all tracks and gives out windows; ``max_gap_s`` may be raised for slow sources.

    Consecutive windows of a track overlap: the last ``lookahead`` positions of one are stored by the next, so stored
    crops have context on both sides. A flush stores everything that waits.
    """

    def __init__(self, profile: WindowProfile, session_id: str, model_id: str) -> None:
        self.profile = profile
        self.max_gap_s = profile.max_gap_s
        self.session_id = session_id
        self.model_id = model_id
        self._tracks: dict[int, _TrackWindow] = {}

    def add(self, track_id: int, face: FaceCrop, is_break: bool = False) -> Iterator[CropSequence]:
        """Add a track's newest crop; yield the windows that became ready, at most two.

        ``is_break`` says that the face may be another person's: like a gap, it begins a new window.
        """
        window = self._tracks.get(track_id)
        if window is not None and (is_break or face.time_s - window.last_time_s > self.max_gap_s):
            yield from self.flush(track_id)
            window = None
        if window is None:
            window = self._tracks[track_id] = _TrackWindow()
        window.crops.append(face)
        window.last_time_s = face.time_s
        if window.num_waiting >= self.profile.stride + self.profile.lookahead:
            yield from self._emit(track_id, window, self.profile.stride)

    def flush_overdue(self, now_s: float) -> Iterator[CropSequence]:
        """Yield a window of every track whose oldest waiting crop has waited for the deadline, full or not."""
        if self.profile.deadline_s is None:
            return
        for track_id, window in self._tracks.items():
            if window.num_waiting and now_s - window.crops[window.num_stored].time_s >= self.profile.deadline_s:
                yield from self._emit(track_id, window, window.num_waiting)

    def flush(self, track_id: int) -> Iterator[CropSequence]:
        """Yield the track's last window, if crops wait, and forget the track."""
        window = self._tracks.pop(track_id, None)
        if window is not None and window.num_waiting:
            yield from self._emit(track_id, window, window.num_waiting)

    def flush_all(self) -> Iterator[CropSequence]:
        """Flush every track."""
        for track_id in list(self._tracks):
            yield from self.flush(track_id)

    def _emit(self, track_id: int, window: _TrackWindow, num_to_store: int) -> Iterator[CropSequence]:
        """Make a window that stores the next ``num_to_store`` crops, with as much context as fits.

        Of those, the ones of other parts are left out; a window of nothing else is none.
        """
        first = max(0, len(window.crops) - self.profile.window_length)
        faces = window.crops[first:]
        store_from = window.num_stored - first
        window.num_stored += num_to_store
        # The next window holds at least one new crop, so at most this many are of use to it.
        keep_from = max(0, len(window.crops) - (self.profile.window_length - 1))
        own = [position for position in range(store_from, store_from + num_to_store) if faces[position].is_own]
        del window.crops[:keep_from]
        window.num_stored -= keep_from
        if not own:
            return
        yield CropSequence(
            session_id=self.session_id,
            track_id=track_id,
            model_id=self.model_id,
            store_from=own[0],
            store_to=own[-1] + 1,
            pts=tuple(face.pts for face in faces),
            times_s=tuple(face.time_s for face in faces),
            frame_indices=tuple(face.frame_index for face in faces),
            boxes=tuple(face.box for face in faces),
            detection_scores=tuple(face.detection_score for face in faces),
            qualities=tuple(face.quality for face in faces),
            shape=(len(faces), *faces[0].crop.shape),
            crops=b"".join(face.crop.tobytes() for face in faces),
        )
