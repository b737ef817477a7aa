"""The ingest loop for cameras: from a camera's events to sessions, crop sequences and a balanced ledger.

Each connection is a session. Reading never waits for Redis or the database: threads of their own hand over windows
(``ingest.outbox``) and write rows (``ingest.keeper``). Where those fall behind, the sampling rate is lowered and then
frames are skipped, counted as ``backpressure``; while the lease is not held they are skipped as ``interrupted``.
"""

import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from contracts import camera_sessions, ledger, store
from contracts.leases import Lease
from contracts.model_card import ModelCard
from ingest.analysis import FrameAnalyser
from ingest.camera import CameraReader
from ingest.camera_events import CameraEvent, ClockAnchor, Connected, Disconnected, LiveFrame, SkippedPacket
from ingest.frames import UndecodablePacket
from ingest.keeper import RunKeeper, Write
from ingest.live_recorder import LiveRecorder
from ingest.outbox import Outbox
from ingest.previews import PreviewPublisher
from ingest.rates import RateStepper
from ingest.run_state import RunState
from ingest.sampling import FrameSampler
from ingest.windows import PROFILES, WindowBuffer
from models.detection import FaceDetector

# A frame that has waited this long for its turn is not analysed: the ones behind it are newer.
_MAX_LAG_S = 2.0
# Steps down when the oldest window waits this long, up again below the second; the aim is 1.5 s from frame to row.
HIGH_AGE_S, LOW_AGE_S = 1.5, 0.5
_BEGIN_S = 2.0
_GAP_INTERVALS = 2.5


@dataclass(frozen=True)
class CameraPlan:
    """What decides a camera's rows: its row in ``streams``, the lease to run it, and the model its crops are for."""

    stream: store.Row
    lease: Lease
    card: ModelCard
    detector_name: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the sessions' rows keep."""
        stream = self.stream
        return {
            "fps": stream["fps"],
            "detector": self.detector_name,
            "profile": stream["profile"],
            "model": self.card.name,
            "stream": stream["stream_id"],
        }


def ingest_camera(
    plan: CameraPlan,
    reader: CameraReader,
    detector: FaceDetector,
    outbox: Outbox,
    keeper: RunKeeper,
    state: RunState,
    preview: PreviewPublisher,
) -> None:
    """Read a camera until its reader is told to stop, or the iteration ends."""
    session: LiveSession | None = None
    with closing(iter(reader)) as events:
        for event in events:
            state.note(event)
            if isinstance(event, Connected):
                session = LiveSession(plan, reader, detector, outbox, keeper, state, preview, event.at)
            elif session is not None:
                session.handle(event)
                if isinstance(event, Disconnected):
                    session = None
        if session is not None:
            session.end("stopped", "", time.time())


class LiveSession:
    """One connection, from ``Connected`` to ``Disconnected``."""

    def __init__(
        self,
        plan: CameraPlan,
        reader: CameraReader,
        detector: FaceDetector,
        outbox: Outbox,
        keeper: RunKeeper,
        state: RunState,
        preview: PreviewPublisher,
        started_at: float,
    ) -> None:
        assert reader.connection is not None
        self.session_id = store.make_uuid7()
        self._plan, self._connection = plan, reader.connection
        self._outbox, self._keeper, self._state, self._preview = outbox, keeper, state, preview
        asked_fps = float(plan.stream["fps"])
        self._asked = FrameSampler(asked_fps, self._connection.clock.time_base)
        self._rates = RateStepper(asked_fps, HIGH_AGE_S, LOW_AGE_S)
        self._lowered: FrameSampler | None = None
        profile = plan.stream["profile"]
        self._windows = WindowBuffer(PROFILES[profile], self.session_id, plan.card.model_id)
        self._analyser = FrameAnalyser(detector, plan.card.input, self._windows, driver=profile == "driver")
        self._recorder = LiveRecorder(self.session_id, plan.lease)
        self._set_rate(asked_fps)
        state.begin_session(self.session_id)
        begin = partial(
            camera_sessions.begin_session,
            lease=plan.lease,
            stream=plan.stream,
            card=plan.card,
            session_id=self.session_id,
            settings=plan.settings,
            # Not when it is written: the database may be away.
            started_at=started_at,
        )
        keeper.begin_session(begin, self._take_rows)
        # Faces need their session's row. In good times this takes milliseconds.
        self._has_begun = keeper.wait_until_written(_BEGIN_S)

    def handle(self, event: CameraEvent) -> None:
        """Account for an event, and analyse the frame where it is one."""
        match event:
            case LiveFrame():
                self._handle_frame(event)
            case UndecodablePacket():
                self._recorder.add_undecodable(event.pts, event.time_s)
                self._state.count_undecodable()
            case SkippedPacket():
                self._count(event.pts, event.time_s, event.reason)
            case ClockAnchor():
                self._recorder.add_anchor(event.pts, event.wall_s)
            case Disconnected():
                self.end(event.reason.value, event.message, event.at)

    def end(self, reason: str, message: str, ended_at: float) -> None:
        """Hand over what waits, and have the session's end written."""
        self._outbox.put(self._windows.flush_all())
        end = partial(
            camera_sessions.end_session,
            lease=self._plan.lease,
            session_id=self.session_id,
            reason=self._keeper.end_reason or reason,
            message=message,
            ended_at=ended_at,
        )
        self._keeper.end_session(self._take_rows(), end)
        self._state.end_session()

    def _handle_frame(self, frame: LiveFrame) -> None:
        lag_s, ticks = time.time() - frame.arrived_at, frame.pts - (self._connection.clock.start_pts or 0)
        self._adapt_rate(lag_s)
        if not self._asked.is_due(ticks):
            self._count(frame.pts, frame.time_s, ledger.NOT_SAMPLED)
        elif not self._may_analyse():
            self._count(frame.pts, frame.time_s, ledger.INTERRUPTED)
        elif self._outbox.is_full or lag_s > _MAX_LAG_S:
            self._count(frame.pts, frame.time_s, ledger.BACKPRESSURE)
        elif self._lowered is not None and not self._lowered.is_due(ticks):
            self._recorder.add_thinned(frame.pts, frame.time_s)
            self._state.count_skipped(ledger.BACKPRESSURE)
        else:
            self._analyse(frame)
            return
        self._outbox.put(self._windows.flush_overdue(frame.time_s))

    def _may_analyse(self) -> bool:
        self._has_begun = self._has_begun or self._keeper.wait_until_written(0.0)
        return self._has_begun and self._keeper.is_held

    def _analyse(self, frame: LiveFrame) -> None:
        found = self._analyser.analyse(frame)
        self._recorder.add_frame(frame.pts, frame.time_s, found.state, found.track_ids)
        self._recorder.end_tracks(found.ended)
        self._outbox.put(found.sequences)
        self._preview.offer(self.session_id, frame, found)
        self._state.count_analysed(found, time.time() - frame.arrived_at)

    def _count(self, pts: int, time_s: float, reason: str) -> None:
        self._recorder.add_frame(pts, time_s, reason)
        self._state.count_skipped(reason)

    def _adapt_rate(self, lag_s: float) -> None:
        pressure = self._outbox.pressure
        waiting_s = pressure.oldest_age_s if pressure is not None else 0.0
        # A window waits once, wherever: on its way to Redis, or there.
        age_s = max(lag_s, self._outbox.oldest_age_s + waiting_s)
        if self._rates.update(time.monotonic(), age_s):
            self._set_rate(self._rates.fps)

    def _set_rate(self, fps: float) -> None:
        time_base = self._connection.clock.time_base
        self._lowered = FrameSampler(fps, time_base) if self._rates.is_lowered else None
        # Where frames are rare, a second between two of them is no gap.
        self._analyser.set_max_gap(max(self._windows.profile.max_gap_s, _GAP_INTERVALS / fps))
        self._recorder.set_rate(fps)
        self._state.set_rate(fps)

    def _take_rows(self) -> Write:
        """Return the writing of what is new; the keeper's thread calls it too."""
        connection = self._connection
        clock, facts = connection.clock, connection.facts
        assert facts is not None
        last_s = clock.to_seconds(clock.last_pts) if clock.last_pts is not None else 0.0
        values = {
            "facts": {
                **facts.to_dict(),
                "variable_frame_rate": clock.is_variable,
                "last_time_s": round(last_s, 6),
                "repaired_pts": clock.num_repaired,
                "flagged_frames": connection.num_flagged,
            },
            "time_base_num": facts.time_base[0],
            "time_base_den": facts.time_base[1],
            "start_pts": clock.start_pts,
        }
        return self._recorder.take_rows(values).write
