"""Read one part of a recording: the very frames that a reading of the whole file gives there."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

import av

from contracts.errors import SourceError
from ingest.frames import (
    PATIENCE,
    Frame,
    FrameReader,
    UndecodablePacket,
    VideoPacket,
    WaitingPackets,
    decode_packet,
    demux,
    is_hidden,
)
from ingest.parts import Part
from ingest.sources import open_recording


class PartReader(FrameReader):
    """Iterate over a part, its lead-in before and the frames after it, until whoever iterates stops.

    Frames that are not the part's own have ``is_own`` False; undecodable packets, and the counts, are its own only.
    ``is_part_read`` says that none of its own will follow. ``start_pts`` is the recording's (``PartPlan``), from which
    times count.

    A frame's ``index`` counts, before the part, packets that are shown: in a damaged file those that cannot be decoded
    are among them.
    """

    def __init__(self, path: Path, part: Part, start_pts: int | None) -> None:
        super().__init__(path)
        self.part = part
        self.is_part_read = False
        self.num_frames_before = part.first_frame
        self._start_pts = start_pts
        self._last_own_pts: int | None = None
        self._num_before = self._num_after = 0

    @property
    def last_time_s(self) -> float:
        """Seconds from the recording's start to the part's last frame so far, 0 where there is none."""
        return self.clock.to_seconds(self._last_own_pts) if self._last_own_pts is not None else 0.0

    def _check_readable(self) -> None:
        """A part without a frame is no error: others may have some."""

    def _read(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[Frame | UndecodablePacket]:
        part, waiting = self.part, WaitingPackets(PATIENCE)
        if part.start_pts is None and part.end_pts is None:
            for item in super()._read(container, stream):
                self._last_own_pts = item.pts if isinstance(item, Frame) else self._last_own_pts
                yield item
            return
        self.clock.start_pts = self._start_pts
        num_met = 0
        for packet in self._demux_from_lead_in(container, stream):
            if packet.size and not is_hidden(packet, stream.codec_context.name):
                waiting.add(packet.pts)
                is_own = packet.pts is not None and part.owns(packet.pts)
                self.num_packets += is_own
                num_met += is_own
            for picture in decode_packet(packet):
                is_extra = not waiting  # a second picture in one packet counts as one of its own
                yield from self._list_undecodable(waiting.take(picture.pts))
                if part.lead_in_pts is not None and picture.pts is not None and picture.pts < part.lead_in_pts:
                    continue  # predicted from what was not read
                yield self._make_part_frame(picture, is_extra)
            self.is_part_read = num_met == part.num_packets and not waiting.holds_before(part.end_pts)
        yield from self._list_undecodable(waiting.take_all())
        self.is_part_read = True
        if num_met != part.num_packets:
            raise SourceError(
                f"{self.path} holds {num_met} packets in its part {part.part}, where {part.num_packets} were planned. "
                "It has changed since it was submitted; submit it again."
            )

    def _list_undecodable(self, lost: Sequence[int | None]) -> Iterator[UndecodablePacket]:
        for pts in lost:
            if pts is None or not self.part.owns(pts):
                self.clock.place(pts)
                continue
            found = self._make_undecodable(pts)
            if self.part.end_pts is not None and found.pts >= self.part.end_pts:
                # It was given up only when frames of the next part had come.
                placed = self.part.end_pts - 1
                found = UndecodablePacket(placed, self.clock.to_seconds(placed))
            yield found

    def _make_part_frame(self, picture: av.VideoFrame, is_extra: bool) -> Frame:
        part, counts = self.part, (self.num_frames, self.num_flagged, self.clock.num_repaired)
        frame = self._make_frame(picture, picture.pts)
        if part.owns(frame.pts):
            self.num_packets += is_extra
            self._last_own_pts = frame.pts
            return replace(frame, index=part.first_frame + counts[0])
        self.num_frames, self.num_flagged, self.clock.num_repaired = counts
        if part.start_pts is not None and frame.pts < part.start_pts:
            self._num_before += 1
            return replace(frame, index=part.lead_in_frame + self._num_before - 1, is_own=False)
        self._num_after += 1
        return replace(frame, index=part.first_frame + part.num_packets + self._num_after - 1, is_own=False)

    def _demux_from_lead_in(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> Iterator[VideoPacket]:
        """Yield the packets from the lead-in's keyframe on: by seeking where the container can, else by reading up."""
        pts, dts = self.part.lead_in_pts, self.part.lead_in_dts
        if pts is None:
            yield from demux(container, stream)
            return
        packets = demux(container, stream)
        with suppress(av.error.FFmpegError):
            container.seek(pts if dts is None else dts, stream=stream)
        if (first := _skip_to(packets, pts)) is not None:
            yield from chain([first], packets)
            return
        with open_recording(self.path) as (container, stream):
            packets = demux(container, stream)
            if (first := _skip_to(packets, pts)) is not None:
                yield from chain([first], packets)


def _skip_to(packets: Iterator[VideoPacket], pts: int) -> "VideoPacket | None":
    """Return the keyframe at ``pts``, or None where it does not come."""
    for packet in packets:
        if packet.is_keyframe and packet.pts is not None and packet.pts >= pts:
            return packet if packet.pts == pts else None
    return None
