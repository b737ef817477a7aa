"""Read a recording's frames in order of time, whatever state the file is in.

Every packet becomes a frame or an ``UndecodablePacket``: nothing is left out without a word. Time stays an integer pts
in units of the stream's time base; the reader hands on strictly increasing pts and flags those it had to repair.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av

from contracts.errors import SourceError
from contracts.recordings import FORMATS_WITHOUT_PTS, FrameClock
from ingest.images import VideoImage
from ingest.sources import SourceFacts, open_recording, read_facts

VideoPacket: TypeAlias = "av.Packet[av.video.stream.VideoStream]"

# A file whose container yields nothing but errors ends after this many in a row.
_MAX_DEMUX_ERRORS = 1000
# A packet is given up after this many later pictures: a few, because damage can change their order by one or two;
# as many as H.264 and HEVC may reorder where the pts are guessed.
PATIENCE = 2
PATIENCE_WITHOUT_PTS = 16


@dataclass(frozen=True)
class Frame:
    """One decoded picture. ``is_repaired``: its pts was unusable. ``is_own``: not one of another part (``PartReader``).

    ``time_s`` counts from the recording's first frame, even where that one could not be decoded.
    """

    index: int
    pts: int
    time_s: float
    image: VideoImage
    is_repaired: bool
    is_own: bool = field(default=True, kw_only=True)


@dataclass(frozen=True)
class UndecodablePacket:
    """A packet that never became a picture, with the pts and time it would have had as far as they are known."""

    pts: int
    time_s: float


class FrameReader:
    """Iterate over a recording: ``for item in reader`` yields frames and undecodable packets.

    ``facts`` is there once the iteration has begun, the counts grow with it. The file is open only while iterating.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts: SourceFacts | None = None
        self.clock = FrameClock(Fraction(1, 1), 0)
        self.num_packets = 0
        self.num_frames_before = 0  # of the recording, where reading begins later
        self.num_frames = 0
        self.num_undecodable = 0
        self.num_flagged = 0  # pictures that the decoder itself called corrupt

    def __iter__(self) -> Generator[Frame | UndecodablePacket]:
        with open_recording(self.path) as (container, stream):
            self.facts = read_facts(container, stream)
            self.clock = FrameClock(Fraction(*self.facts.time_base), self.facts.average_fps)
            try:
                yield from self._read(container, stream)
            except GeneratorExit:
                # Whoever stops reading early has not read what is still inside the decoder.
                self.num_packets = self.num_frames + self.num_undecodable
                raise
        self._check_readable()

    def _check_readable(self) -> None:
        if self.num_frames == 0:
            assert self.facts is not None
            raise SourceError(
                f"{self.path} opened as {self.facts.codec} video, but none of its {self.num_packets} packets could be "
                "decoded. It is damaged beyond repair, or encrypted; copy it again from where it was recorded."
            )

    def _read(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[Frame | UndecodablePacket]:
        has_pts = container.format.name not in FORMATS_WITHOUT_PTS
        waiting = WaitingPackets(PATIENCE if has_pts else PATIENCE_WITHOUT_PTS)
        for packet in demux(container, stream):
            if packet.size and not is_hidden(packet, stream.codec_context.name):
                self.num_packets += 1
                waiting.add(packet.pts)
            for picture in decode_packet(packet):
                if not waiting:
                    self.num_packets += 1  # a second picture in one packet counts as one of its own
                yield from map(self._make_undecodable, waiting.take(picture.pts))
                yield self._make_frame(picture, picture.pts if has_pts else picture.dts)
        yield from map(self._make_undecodable, waiting.take_all())

    def _make_undecodable(self, pts: int | None) -> UndecodablePacket:
        placed = self.clock.place(pts)
        self.num_undecodable += 1
        return UndecodablePacket(placed, self.clock.to_seconds(placed))

    def _make_frame(self, picture: av.VideoFrame, stored_pts: int | None) -> Frame:
        pts, is_repaired = self.clock.read_pts(stored_pts)
        index = self.num_frames
        self.num_frames += 1
        self.num_flagged += bool(picture.is_corrupt)
        image = VideoImage(picture)
        if index == 0 and self.facts is not None:
            # The container tells the size before turning; only a frame knows its rotation.
            self.facts = replace(self.facts, width=image.width, height=image.height)
        return Frame(index, pts, self.clock.to_seconds(pts), image, is_repaired)


class WaitingPackets:
    """Packets whose picture has not come out of the decoder yet, by their pts.

    Decoders give pictures in order of presentation, so a packet that was passed over is lost; it is given up when
    more than ``patience`` later pictures came out.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._num_passed: dict[int, int] = {}  # by pts: later pictures that came out already
        self._num_unknown = 0
        self._has_begun = False

    def __bool__(self) -> bool:
        return bool(self._num_passed) or self._num_unknown > 0

    def holds_before(self, pts: int | None) -> bool:
        """Return whether one before ``pts`` waits, or one whose pts is not known; None: whether any waits."""
        return bool(self) if pts is None else self._num_unknown > 0 or any(known < pts for known in self._num_passed)

    def add(self, pts: int | None) -> None:
        if pts is None or pts in self._num_passed:
            self._num_unknown += 1
        else:
            self._num_passed[pts] = 0

    def take(self, pts: int | None) -> list[int]:
        """Remove the packet of the picture at ``pts``; return those before it that are given up."""
        if pts in self._num_passed:
            del self._num_passed[pts]
        elif self._num_unknown:
            self._num_unknown -= 1
        elif self._num_passed:
            del self._num_passed[min(self._num_passed)]
        # Nothing comes before the first picture.
        patience, self._has_begun = self._patience if self._has_begun else 0, True
        passed = sorted(known for known in self._num_passed if pts is not None and known < pts)
        for known in passed:
            self._num_passed[known] += 1
        lost = [known for known in passed if self._num_passed[known] > patience]
        for known in lost:
            del self._num_passed[known]
        return lost

    def take_all(self) -> list[int | None]:
        return [*sorted(self._num_passed), *[None] * self._num_unknown]


def demux(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[VideoPacket]:
    """Yield packets, going on after damage, and the empty packet that flushes the decoder last."""
    packets = container.demux(stream)
    num_errors = 0
    while num_errors < _MAX_DEMUX_ERRORS:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError) as error:
            # The generator is finished by its exception; a new one goes on where the container stands.
            num_errors += 1
            if num_errors == _MAX_DEMUX_ERRORS and isinstance(error, OSError):
                raise SourceError(
                    f"The recording cannot be read on ({error.strerror}). Check the disk or network that it is on."
                ) from None
            packets = container.demux(stream)
            continue
        num_errors = 0
        if packet.size == 0 and packet.pts is not None:
            continue  # AVI's mark for "the last picture stays"; decoding it would flush the decoder
        yield packet


def decode_packet(packet: VideoPacket) -> list[av.VideoFrame]:
    """Return the pictures that came out, none where the packet is damaged (its picture is counted as missing)."""
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []


def is_hidden(packet: VideoPacket, codec: str) -> bool:
    """Return whether a packet is not meant to be shown, and so is no frame of the recording.

    An mp4's edit list may cut its first packets off; VP8 has pictures that serve as references only (RFC 6386,
    section 9.1).
    """
    return packet.is_discard or (codec == "vp8" and not bytes(packet)[0] & 0x10)
