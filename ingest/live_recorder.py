"""Collect what a camera's session knows of its frames and faces, for the thread that writes it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from contracts import camera_sessions, store
from contracts.leases import Lease, check_lease
from ingest.coverage import CoverageRecorder
from ingest.recorder import TrackRecorder


@dataclass(frozen=True)
class SessionRows:
    """What was new of a session when it was taken; writing it twice changes nothing."""

    lease: Lease
    session_id: str
    coverage: list[dict[str, Any]]
    tracks: list[dict[str, Any]]
    anchors: list[tuple[int, float]]
    values: dict[str, Any]

    def write(self, connection: sa.Connection) -> None:
        """Write it.

        Raises:
            LeaseLostError: another run has taken over.
        """
        check_lease(connection, self.lease)
        store.record_coverage(connection, self.coverage)
        store.record_tracks(connection, self.tracks)
        camera_sessions.record_anchors(connection, self.session_id, self.anchors)
        store.update_session(connection, self.session_id, **self.values)


class LiveRecorder:
    """One session's coverage, tracks, anchors and counts.

    Everything of one frame is added in one call, so that rows taken at any moment balance.
    """

    def __init__(self, session_id: str, lease: Lease) -> None:
        self._session_id, self._lease = session_id, lease
        self._coverage, self._tracks = CoverageRecorder(session_id), TrackRecorder(session_id)
        self._anchors: list[tuple[int, float]] = []
        self._ended: list[int] = []
        self._num_frames = self._num_undecodable = 0
        self._lock = threading.Lock()

    def add_frame(self, pts: int, time_s: float, state: str, track_ids: Sequence[int] = ()) -> None:
        """Count a frame, or a packet that was skipped before it became one, with its faces that go to inference."""
        with self._lock:
            for track_id in track_ids:
                self._tracks.add_face(track_id, pts, time_s)
            self._coverage.add_frame(pts, time_s, state, len(track_ids))
            self._num_frames += 1

    def add_thinned(self, pts: int, time_s: float) -> None:
        """Count a frame that the lowered sampling rate left out."""
        with self._lock:
            self._coverage.add_thinned(pts, time_s)
            self._num_frames += 1

    def add_undecodable(self, pts: int, time_s: float) -> None:
        """Count a packet that never became a picture."""
        with self._lock:
            self._coverage.add_undecodable(pts, time_s)
            self._num_undecodable += 1

    def add_anchor(self, pts: int, wall_s: float) -> None:
        """Keep a clock anchor."""
        with self._lock:
            self._anchors.append((pts, wall_s))

    def set_rate(self, fps: float) -> None:
        """Note the sampling rate in force from now on."""
        with self._lock:
            self._coverage.set_rate(fps)

    def end_tracks(self, track_ids: Sequence[int]) -> None:
        """Drop tracks when they are taken next."""
        with self._lock:
            self._ended += track_ids

    def take_rows(self, values: dict[str, Any], frame_s: float = 0.0) -> SessionRows:
        """Return what is new or has grown, and the session's ``values`` with its counts."""
        with self._lock:
            counts = {"num_packets": self._num_frames + self._num_undecodable, "num_frames": self._num_frames}
            rows = SessionRows(
                self._lease,
                self._session_id,
                self._coverage.take_rows(frame_s),
                self._tracks.list_rows(),
                self._anchors,
                {**values, **counts},
            )
            self._tracks.forget(self._ended)
            self._ended, self._anchors = [], []
        return rows
