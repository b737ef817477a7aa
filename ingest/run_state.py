"""What a camera's run tells of itself while it runs."""

import os
import socket
import threading
import time

from contracts.leases import Lease
from contracts.logs import get_logger
from contracts.stream_state import BACKING_OFF, CONNECTING, FAILED, LIVE, STALLED, StreamState
from ingest.analysis import FrameAnalysis
from ingest.camera_events import CameraEvent, Connected, Connecting, Disconnected, LiveFrame
from ingest.connection import Reason

_log = get_logger(__name__)
_STALLED_S = 3.0
# Trying again does not mend these; it goes on, in case somebody does.
_FAILURES = (Reason.UNAUTHORIZED, Reason.NOT_FOUND, Reason.NOT_VIDEO)


class RunState:
    """Collects counts and the state of the connection; ``take`` makes of them what others may see."""

    def __init__(self, lease: Lease, name: str, asked_fps: float) -> None:
        now = time.time()
        self._state = StreamState(
            stream_id=lease.stream_id,
            name=name,
            state=CONNECTING,
            since=now,
            at=now,
            host=socket.gethostname(),
            pid=os.getpid(),
            epoch=lease.epoch,
            asked_fps=asked_fps,
            fps=asked_fps,
            skipped={},
            reconnects={},
        )
        self._last_frame_at = now
        self._logged = ("", "")
        # What is told is taken in another thread, which must not call a connection stalled that has just been lost.
        self._lock = threading.Lock()

    def note(self, event: CameraEvent) -> None:
        """Take note of what happens to the connection."""
        with self._lock:
            self._note(event)

    def _note(self, event: CameraEvent) -> None:
        state = self._state
        match event:
            case Connecting():
                self._enter(CONNECTING, state.message)
            case Connected():
                state.connected_at, state.source_fps = event.at, event.facts.average_fps
                self._last_frame_at = event.at
                self._enter(LIVE, "")
            case Disconnected():
                if event.was_connected and event.retry_s is not None:
                    state.reconnects[event.reason.value] = state.reconnects.get(event.reason.value, 0) + 1
                self._enter(FAILED if event.reason in _FAILURES else BACKING_OFF, event.message)
            case LiveFrame():
                self._last_frame_at = event.arrived_at

    def begin_session(self, session_id: str) -> None:
        self._state.session_id = session_id

    def end_session(self) -> None:
        self._state.session_id = None

    def set_rate(self, fps: float) -> None:
        if fps != self._state.fps:
            _log.info("sampling rate changed", stream=self._state.name, fps=fps, asked_fps=self._state.asked_fps)
        self._state.fps = fps

    def count_undecodable(self) -> None:
        self._state.undecodable += 1

    def count_skipped(self, reason: str) -> None:
        self._state.decoded += 1
        self._state.skipped[reason] = self._state.skipped.get(reason, 0) + 1

    def count_analysed(self, found: FrameAnalysis, lag_s: float) -> None:
        state = self._state
        if not found.track_ids:
            self.count_skipped(found.state)
        else:
            state.decoded += 1
            state.analysed += 1
            state.faces += len(found.track_ids)
        state.num_tracks, state.lag_s = len(found.track_ids), lag_s

    def take(self, outbox_bytes: int, trouble: str) -> StreamState:
        """Return the newest state; ``trouble`` is what is wrong with a service, "" where nothing is."""
        state, now = self._state, time.time()
        with self._lock:
            if state.state in (LIVE, STALLED):
                is_stalled = now - self._last_frame_at > _STALLED_S
                self._enter(STALLED if is_stalled else LIVE, "no picture comes" if is_stalled else "")
        state.at, state.outbox_bytes = now, outbox_bytes
        if trouble:
            state.message = trouble
        return state

    def _enter(self, name: str, message: str) -> None:
        if self._state.state != name:
            self._state.state, self._state.since = name, time.time()
            self._state.state_changes += 1
        self._state.message = message
        self._log_change(name, message)

    def _log_change(self, name: str, message: str) -> None:
        """Log what is news: a camera that stays away is tried again and again, and told once."""
        if name != CONNECTING and (name, message) != self._logged:
            self._logged = (name, message)
            _log.info(f"camera is {name.replace('_', ' ')}", stream=self._state.name, reason=message)
