"""Read a camera's packets in a thread of their own.

So each packet gets the time at which it came, whatever decoding and analysis are busy with, and nobody has to wait for
FFmpeg: its time-outs may be long, and name resolution has none at all.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from contracts.errors import SourceError
from contracts.recordings import FORMATS_WITHOUT_PTS
from contracts.sources import FILE, Source
from ingest.connection import (
    FORMATS_WITHOUT_TIME,
    CameraOptions,
    ConnectionLost,
    Reason,
    explain_error,
    find_read_timeout_s,
    open_camera,
)
from ingest.frames import VideoPacket, demux, is_hidden
from ingest.sources import SourceFacts, open_recording, read_facts

# Some seconds of video; who falls further behind makes the camera wait.
_MAX_WAITING = 64
_POLL_S = 0.25
# FFmpeg's time-outs come first and end the thread; ours is for what they do not cover.
_GRACE_S = 1.0
# Damaged stretches of a transport stream give an error each.
_MAX_DEMUX_ERRORS = 50
_ARRIVAL_TIME_BASE = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class Opened:
    """The connection stands. ``has_pts``: decoded pictures have a pts; else their dts is their time."""

    facts: SourceFacts
    has_pts: bool


@dataclass(frozen=True)
class Arrival:
    """A packet and when it came, by the wall clock and by the monotonic one. An empty one flushes the decoder."""

    packet: VideoPacket
    wall_s: float
    monotonic_s: float


_Item = Opened | Arrival | ConnectionLost | Exception


class PacketThread:
    """One connection: ``read`` yields ``Opened`` and then ``Arrival`` items until the connection is lost."""

    def __init__(self, source: Source, options: CameraOptions) -> None:
        self._source, self._options = source, options
        self._queue: queue.Queue[_Item] = queue.Queue(_MAX_WAITING)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera-packets", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still holds the connection, or FFmpeg holds it."""
        return self._thread.is_alive()

    def read(self, should_stop: Callable[[], bool]) -> Iterator[Opened | Arrival]:
        """Yield what comes. An item must be dealt with before the next one is asked for.

        Raises:
            ConnectionLost: the connection is over, or ``should_stop``.
        """
        deadline = time.monotonic() + self._options.open_timeout_s + _GRACE_S
        while True:
            item = self._wait_for_item(deadline, should_stop)
            try:
                if isinstance(item, Exception):
                    raise item
                yield item
            finally:
                self._queue.task_done()
            deadline = time.monotonic() + find_read_timeout_s(self._source, self._options) + _GRACE_S

    def close(self) -> None:
        """Let go of the connection. Where FFmpeg is in the middle of waiting, its thread ends by its time-out."""
        self._closing.set()
        # It may be waiting for room.
        for _ in range(20):
            while not self._queue.empty():
                self._queue.get_nowait()
            self._thread.join(0.05)
            if not self._thread.is_alive():
                return

    def _wait_for_item(self, deadline: float, should_stop: Callable[[], bool]) -> _Item:
        while True:
            if should_stop():
                raise ConnectionLost(Reason.STOPPED, "reading was stopped")
            try:
                return self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise ConnectionLost(Reason.TIMEOUT, "nothing came, and the connection does not end") from None

    def _run(self) -> None:
        try:
            if self._source.kind == FILE:
                self._play_file(Path(self._source.location))
            else:
                self._read_camera()
        except SourceError as error:
            self._put(ConnectionLost(Reason.NOT_VIDEO, str(error)))
        except Exception as error:  # a defect is the reader's to raise, not this thread's to print
            self._put(error)

    def _read_camera(self) -> None:
        with open_camera(self._source, self._options) as (container, stream):
            try:
                self._forward(container, stream)
            except ConnectionLost as lost:
                self._put(lost)
            # The packets need their stream until they are decoded.
            self._wait_until_handled()

    def _forward(self, container: InputContainer, stream: VideoStream) -> None:
        has_time = container.format.name not in FORMATS_WITHOUT_TIME
        facts = read_facts(container, stream)
        if not has_time:
            facts = replace(facts, time_base=_ARRIVAL_TIME_BASE.as_integer_ratio(), start_pts=None)
        self._put(Opened(facts, has_pts=True))
        timeout_s = find_read_timeout_s(self._source, self._options)
        begin_s = asked_s = time.monotonic()
        for packet in self._demux(container, stream):
            now_s = time.monotonic()
            if not has_time:
                packet.pts = packet.dts = round((now_s - begin_s) / _ARRIVAL_TIME_BASE)
            self._put(Arrival(packet, time.time(), now_s))
            if now_s - asked_s >= timeout_s:
                # FFmpeg's parser keeps each packet until the next one begins. This is the last one before a silence;
                # asked again, FFmpeg would wait as long once more.
                raise ConnectionLost(Reason.TIMEOUT, f"no packet came for {timeout_s:g} s")
            asked_s = time.monotonic()

    def _demux(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoPacket]:
        num_errors = 0
        while num_errors < _MAX_DEMUX_ERRORS:
            try:
                for packet in container.demux(stream):
                    if self._closing.is_set():
                        return
                    num_errors = 0
                    if packet.size:
                        yield packet
                raise ConnectionLost(Reason.END_OF_STREAM, "the camera ended the stream")
            except av.error.InvalidDataError:
                num_errors += 1
            except (av.error.FFmpegError, OSError) as error:
                raise explain_error(error, self._options, is_open=True) from None
        raise ConnectionLost(Reason.LOST, "what the camera sends can no longer be read")

    def _play_file(self, path: Path) -> None:
        """Play a recording in real time, again and again, as if its time went on."""
        offset, begin_s, start_s = 0, time.monotonic(), None
        is_open = False
        while not self._closing.is_set():
            with open_recording(path) as (container, stream):
                facts = read_facts(container, stream)
                if not is_open:
                    self._put(Opened(facts, container.format.name not in FORMATS_WITHOUT_PTS))
                    is_open = True
                end, start_pts = 0, None
                time_base = Fraction(*facts.time_base)
                usual = max(1, round(1 / (time_base * Fraction(facts.average_fps or 25))))
                for packet in demux(container, stream):
                    pts = packet.pts if packet.pts is not None else packet.dts
                    if packet.size and not is_hidden(packet, stream.codec_context.name):
                        pts = end if pts is None else pts
                        start_pts = pts if start_pts is None else start_pts
                        end = max(end, pts + (packet.duration or usual))
                        due_s = float((pts + offset) * time_base)
                        start_s = due_s if start_s is None else start_s
                        if self._closing.wait(max(0.0, begin_s + due_s - start_s - time.monotonic())):
                            return
                    if packet.pts is not None:
                        packet.pts += offset
                    if packet.dts is not None:
                        packet.dts += offset
                    self._put(Arrival(packet, time.time(), time.monotonic()))
                if start_pts is None:
                    raise SourceError(f"{path} holds no packet of video. Copy it again from where it was recorded.")
                offset += end - start_pts
                self._wait_until_handled()

    def _put(self, item: _Item) -> None:
        while not self._closing.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def _wait_until_handled(self) -> None:
        with self._queue.all_tasks_done:
            while self._queue.unfinished_tasks and not self._closing.is_set():
                self._queue.all_tasks_done.wait(_POLL_S)
