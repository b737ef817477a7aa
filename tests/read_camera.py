"""Read a camera in tests, and check what holds for each: the order of events and the balance of packets."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from contracts import ledger
from contracts.sources import parse_source
from ingest.camera import CameraConnection, CameraReader
from ingest.camera_events import (
    CameraEvent,
    ClockAnchor,
    Connected,
    Connecting,
    Disconnected,
    LiveFrame,
    SkippedPacket,
)
from ingest.connection import CameraOptions
from ingest.frames import UndecodablePacket

# Low enough for tests, high enough for a busy machine.
QUICK = {"open_timeout_s": 4.0, "read_timeout_s": 1.5, "min_backoff_s": 0.02, "max_backoff_s": 0.1}


@dataclass
class Attempt:
    """What happened from one ``Connecting`` to its ``Disconnected``, or to the end of watching."""

    connected: Connected | None = None
    frames: list[LiveFrame] = field(default_factory=list)
    undecodable: list[UndecodablePacket] = field(default_factory=list)
    skipped: list[SkippedPacket] = field(default_factory=list)
    anchors: list[ClockAnchor] = field(default_factory=list)
    disconnected: Disconnected | None = None
    connection: CameraConnection | None = None

    @property
    def num_awaiting(self) -> int:
        return sum(item.reason == ledger.AWAITING_KEYFRAME for item in self.skipped)


def watch(
    url: str,
    is_enough: Callable[[list[Attempt]], bool],
    limit_s: float = 25.0,
    should_stop: Callable[[], bool] = lambda: False,
    **options: object,
) -> list[Attempt]:
    """Read a camera until ``is_enough`` of the attempts so far, and check them."""
    chosen = CameraOptions(**{**QUICK, **options})  # type: ignore[arg-type]
    reader = CameraReader(parse_source(url), chosen, should_stop)
    attempts: list[Attempt] = []
    begin_s = time.monotonic()
    with closing(iter(reader)) as events:
        for event in events:
            if isinstance(event, Connecting):
                assert not attempts or attempts[-1].disconnected is not None
                attempts.append(Attempt())
                assert event.attempt == len(attempts)
            else:
                _add(attempts[-1], event)
            attempts[-1].connection = reader.connection
            if is_enough(attempts):
                break
            assert time.monotonic() - begin_s < limit_s, f"after {limit_s} s: {attempts[-1]}"
    for attempt in attempts:
        _check(attempt)
    return attempts


def _add(attempt: Attempt, event: CameraEvent) -> None:
    assert attempt.disconnected is None
    match event:
        case Connected():
            assert attempt.connected is None
            attempt.connected = event
        case Disconnected():
            assert event.was_connected == (attempt.connected is not None)
            attempt.disconnected = event
        case LiveFrame():
            assert not attempt.frames or attempt.frames[-1].pts < event.pts
            attempt.frames.append(event)
        case UndecodablePacket():
            attempt.undecodable.append(event)
        case SkippedPacket():
            attempt.skipped.append(event)
        case ClockAnchor():
            attempt.anchors.append(event)
    if not isinstance(event, Disconnected):
        assert attempt.connected is not None


def _check(attempt: Attempt) -> None:
    connection = attempt.connection
    assert connection is not None
    counts = (len(attempt.frames), len(attempt.undecodable), len(attempt.skipped))
    assert counts == (connection.num_frames, connection.num_undecodable, connection.num_skipped)
    assert connection.num_packets == sum(counts)
    assert [frame.index for frame in attempt.frames] == list(range(len(attempt.frames)))


def frames_in_second(attempts: list[Attempt], num: int = 5) -> bool:
    """Whether the camera came back and gave some frames."""
    return len(attempts) >= 2 and len(attempts[1].frames) >= num
