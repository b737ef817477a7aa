"""Read a camera for months: across losses and reconnects, with every packet accounted for.

A session is one connection. Whatever makes earlier pictures, boxes or times incomparable with later ones (a loss, a
jump of the camera's clock, another picture size) ends it, and the next one begins with a new connection.
"""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from fractions import Fraction

import av

from contracts import ledger
from contracts.errors import UsageError
from contracts.recordings import FrameClock
from contracts.sources import Source, choose_transport
from ingest.anchors import AnchorPicker
from ingest.backoff import Backoff
from ingest.camera_events import (
    CameraEvent,
    Connected,
    Connecting,
    Disconnected,
    LiveFrame,
    SkippedPacket,
)
from ingest.connection import CameraOptions, ConnectionLost, Reason
from ingest.frames import (
    PATIENCE,
    PATIENCE_WITHOUT_PTS,
    UndecodablePacket,
    VideoPacket,
    WaitingPackets,
    is_hidden,
)
from ingest.images import VideoImage
from ingest.packets import Arrival, Opened, PacketThread
from ingest.sources import SourceFacts

# As for recordings: a smaller step back is a slip of single frames, which is repaired.
_CLOCK_RESET_S = 1.0
_POLL_S = 0.25
# Pictures of two fields come with every second packet; those decoders are never prompt twice in a row.
_MIN_PROMPT = 2

_PacketEvent = LiveFrame | UndecodablePacket | SkippedPacket


class CameraReader:
    """Iterate over a camera's events, without end until ``should_stop`` or the iteration is closed.

    ``connection`` is the current or last one: its facts, clock and counts are those of the session.

    Raises:
        UsageError: the source has no such transport, or there is no such file of certificates.
    """

    def __init__(
        self, source: Source, options: CameraOptions | None = None, should_stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._source = source
        self._should_stop = should_stop
        self.options = options or CameraOptions()
        # Refused now rather than in the middle of reading.
        choose_transport(source, self.options.transport)
        if (ca_file := self.options.ca_file) is not None and not ca_file.is_file():
            raise UsageError(f"There is no file {ca_file}. Set EMOTRACE_CAMERA_CA_FILE to a PEM file, or unset it.")
        self.connection: CameraConnection | None = None
        self.num_attempts = 0

    def __iter__(self) -> Generator[CameraEvent]:
        options = self.options
        backoff = Backoff(options.min_backoff_s, options.max_backoff_s)
        while not self._should_stop():
            self.num_attempts += 1
            yield Connecting(self.num_attempts, time.time())
            connection = self.connection = CameraConnection(self._source, options, self._should_stop)
            lost = yield from connection.read()
            if connection.good_s >= options.good_after_s:
                backoff.reset()
            delay_s = backoff.next_delay_s()
            if lost.reason is Reason.UNAUTHORIZED:
                delay_s = max(delay_s, options.max_backoff_s)  # many cameras lock an account that fails quickly
            is_over = lost.reason is Reason.STOPPED
            yield Disconnected(
                lost.reason, lost.message, time.time(), None if is_over else delay_s, connection.facts is not None
            )
            if is_over:
                return
            self._wait(delay_s, connection)

    def _wait(self, delay_s: float, connection: "CameraConnection") -> None:
        """Wait, also for the old connection's end: many cameras serve few at a time. One that never ends is left."""
        end = time.monotonic() + delay_s
        latest = end + self.options.open_timeout_s + self.options.read_timeout_s
        while not self._should_stop() and (now := time.monotonic()) < latest and (now < end or connection.is_held):
            time.sleep(min(max(end - now, 0.01), _POLL_S))


class CameraConnection:
    """One connection, read once. The counts grow as it is read; at its end

    ``num_packets == num_frames + num_undecodable + num_skipped``, whatever ended it.
    """

    def __init__(self, source: Source, options: CameraOptions, should_stop: Callable[[], bool]) -> None:
        self._options, self._should_stop = options, should_stop
        self.facts: SourceFacts | None = None
        self.clock = FrameClock(Fraction(1, 1), 0)
        self.num_packets = 0
        self.num_frames = 0
        self.num_undecodable = 0
        self.num_skipped = 0
        self.num_flagged = 0  # pictures that the decoder itself called corrupt; counted among the undecodable
        self.good_s = 0.0  # from the first picture to the last one
        self._has_pts = True
        self._waiting = WaitingPackets(PATIENCE)
        self._decoder: av.VideoCodecContext | None = None
        self._awaits_keyframe = True
        self._num_prompt = 0  # packets in a row whose picture came at once
        self._size: tuple[int, int] | None = None
        self._new_size: tuple[int, int] | None = None
        self._last: Arrival | None = None
        self._first_picture_s: float | None = None
        self._last_picture_s = 0.0
        self._thread = PacketThread(source, options)

    @property
    def is_held(self) -> bool:
        """Whether the connection still stands somewhere, although nobody reads it any more."""
        return self._thread.is_alive

    def read(self) -> Generator[CameraEvent, None, ConnectionLost]:
        """Yield what happens until the connection is lost, and return why it was."""
        try:
            for item in self._thread.read(self._should_stop):
                if isinstance(item, Opened):
                    yield self._begin(item)
                else:
                    yield from self._handle(item)
            raise AssertionError("a connection ends with its loss")
        except ConnectionLost as lost:
            if lost.reason is Reason.STOPPED:
                self._forget_unread()
            else:
                yield from self._drain()
            return lost
        except GeneratorExit:
            self._forget_unread()
            raise
        finally:
            self._thread.close()

    def _forget_unread(self) -> None:
        """Take back what is still inside the decoder: whoever stops reading has not read it."""
        self.num_packets = self.num_frames + self.num_undecodable + self.num_skipped

    def _begin(self, opened: Opened) -> Connected:
        self.facts = opened.facts
        self.clock = FrameClock(Fraction(*opened.facts.time_base), opened.facts.average_fps)
        self._anchors = AnchorPicker(self.clock.time_base, self._options.anchor_interval_s)
        self._has_pts = opened.has_pts
        self._waiting = self._make_waiting()
        self._last_picture_s = time.monotonic()
        return Connected(opened.facts, time.time())

    def _handle(self, arrival: Arrival) -> Iterator[CameraEvent]:
        packet = arrival.packet
        assert self.facts is not None
        if packet.size:
            self._check_clock(arrival)
            if packet.pts is not None and (anchor := self._anchors.add(packet.pts, arrival.wall_s)):
                yield anchor
            is_shown = not is_hidden(packet, self.facts.codec)
            self.num_packets += is_shown
            if self._awaits_keyframe and not packet.is_keyframe:
                if is_shown:
                    yield self._skip(packet.pts, ledger.AWAITING_KEYFRAME)
                self._check_pictures(arrival)
                return
            if is_shown:
                self._waiting.add(packet.pts)
                self._awaits_keyframe = False
        yield from self._decode(packet, arrival, bool(packet.size) and not is_shown)
        if not packet.size:
            yield from map(self._make_undecodable, self._waiting.take_all())
        self._check_pictures(arrival)

    def _decode(self, packet: VideoPacket, arrival: Arrival, shows_nothing: bool) -> Iterator[_PacketEvent]:
        self._decoder = packet.stream.codec_context
        flagged = self.num_flagged
        try:
            pictures = packet.decode()
        except av.error.FFmpegError:
            pictures, flagged = [], -1
        yield from self._read_pictures(pictures, arrival)
        # A decoder that gave every picture at once, and now none, has dropped one without a word.
        is_dropped = not pictures and not shows_nothing and self._num_prompt >= _MIN_PROMPT
        if not shows_nothing:
            self._num_prompt = self._num_prompt + 1 if len(pictures) == 1 and not self._waiting else 0
        if (self.num_flagged != flagged or is_dropped) and packet.size:
            # What follows is predicted from damage, until a keyframe.
            yield from self._drain()
            self._awaits_keyframe = True

    def _drain(self) -> Iterator[_PacketEvent]:
        """Take the last pictures out of the decoder, which then begins afresh; what never came out is undecodable."""
        if self._decoder is not None and self._last is not None:
            try:
                pictures = self._decoder.decode(None)
            except (av.error.FFmpegError, EOFError):
                pictures = []
            yield from self._read_pictures(pictures, self._last)
            self._decoder.flush_buffers()
        yield from map(self._make_undecodable, self._waiting.take_all())
        self._waiting = self._make_waiting()
        self._num_prompt = 0

    def _read_pictures(self, pictures: list[av.VideoFrame], arrival: Arrival) -> Iterator[_PacketEvent]:
        for picture in pictures:
            if not self._waiting:
                self.num_packets += 1  # a second picture in one packet counts as one of its own
            yield from map(self._make_undecodable, self._waiting.take(picture.pts))
            image = VideoImage(picture)
            size = (image.width, image.height)
            if picture.is_corrupt:
                self.num_flagged += 1
                yield self._make_undecodable(picture.pts)
            elif self._size is not None and size != self._size:
                self._new_size = size
                yield self._skip(picture.pts, ledger.INTERRUPTED)
            else:
                yield self._make_frame(picture, image, arrival)

    def _make_frame(self, picture: av.VideoFrame, image: VideoImage, arrival: Arrival) -> LiveFrame:
        pts, is_repaired = self.clock.read_pts(picture.pts if self._has_pts else picture.dts)
        if self._first_picture_s is None:
            self._first_picture_s = arrival.monotonic_s
        self._last_picture_s = arrival.monotonic_s
        self.good_s = arrival.monotonic_s - self._first_picture_s
        if self._size is None and self.facts is not None:
            self._size = (image.width, image.height)
            self.facts = replace(self.facts, width=image.width, height=image.height)
        index, self.num_frames = self.num_frames, self.num_frames + 1
        return LiveFrame(index, pts, self.clock.to_seconds(pts), image, is_repaired, arrival.wall_s)

    def _make_undecodable(self, pts: int | None) -> UndecodablePacket:
        placed = self.clock.place(pts)
        self.num_undecodable += 1
        return UndecodablePacket(placed, self.clock.to_seconds(placed))

    def _skip(self, pts: int | None, reason: str) -> SkippedPacket:
        placed = self.clock.place(pts)
        self.num_skipped += 1
        return SkippedPacket(placed, self.clock.to_seconds(placed), reason)

    def _make_waiting(self) -> WaitingPackets:
        return WaitingPackets(PATIENCE if self._has_pts else PATIENCE_WITHOUT_PTS)

    def _check_clock(self, arrival: Arrival) -> None:
        """Check that the camera's clock went on since the packet before, and not much faster than ours."""
        before, self._last = self._last, arrival
        if before is None or arrival.packet.dts is None or before.packet.dts is None:
            return
        # For every packet, and so without a Fraction.
        ticks, time_base = arrival.packet.dts - before.packet.dts, self.clock.time_base
        jump_s = ticks * time_base.numerator / time_base.denominator
        passed_s = arrival.monotonic_s - before.monotonic_s
        if jump_s < -_CLOCK_RESET_S or jump_s > passed_s + self._options.max_jump_s:
            # FFmpeg takes a large step back for a wrap, and shows it as one ahead by hours.
            raise ConnectionLost(Reason.CLOCK_JUMP, f"the camera's clock jumped (by {jump_s:+.1f} s as it reads now)")

    def _check_pictures(self, arrival: Arrival) -> None:
        if self._new_size is not None and self._size is not None:
            (old_width, old_height), (width, height) = self._size, self._new_size
            raise ConnectionLost(
                Reason.FORMAT_CHANGE, f"pictures changed from {old_width}×{old_height} to {width}×{height}"
            )
        if arrival.monotonic_s - self._last_picture_s > self._options.picture_timeout_s:
            raise ConnectionLost(
                Reason.NO_PICTURE,
                f"packets come, but for {self._options.picture_timeout_s:g} s no picture could be decoded",
            )
