"""Split a recording into parts that may be read apart: cut at keyframes, by what the file alone says.

One pass over the packets, without decoding. Where a file's pts leave any doubt about which frame follows which, the
file is one part.
"""

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from contracts.parts import MAX_PARTS
from contracts.recordings import FORMATS_WITHOUT_PTS, MAX_PAUSE_S
from ingest.frames import demux, is_hidden
from ingest.sources import SourceFacts, open_recording, read_facts
from ingest.windows import WindowProfile

DEFAULT_PART_S = 120.0


# A tracker forgets a face after about a second; in twice that, a new one knows what the old one knew.
_MIN_OVERLAP_S = 2.0


def find_overlap_s(fps: float | None, profile: WindowProfile) -> float:
    """Return how many seconds before a part are to be analysed too: enough for a full window at its beginning."""
    return max(_MIN_OVERLAP_S, (profile.window_length + profile.lookahead) / fps) if fps else _MIN_OVERLAP_S


@dataclass(frozen=True)
class Part:
    """A piece of a recording: the frames with ``start_pts <= pts < end_pts``, None being the file's own ends.

    ``first_frame`` is its first frame's index, ``first_packet`` the number of that frame's packet in the file's order,
    ``num_packets`` how many packets are shown in it. Decoding begins at the keyframe ``lead_in_pts`` (``lead_in_dts``,
    frame ``lead_in_frame``), None being the file's beginning: what comes before the part is read, and is another's.
    """

    part: int
    start_pts: int | None
    end_pts: int | None
    start_s: float
    end_s: float
    first_frame: int
    first_packet: int
    num_packets: int
    lead_in_pts: int | None = None
    lead_in_dts: int | None = None
    lead_in_frame: int = 0

    def owns(self, pts: int) -> bool:
        """Return whether the frame at ``pts`` is one of this part."""
        return (self.start_pts is None or pts >= self.start_pts) and (self.end_pts is None or pts < self.end_pts)


@dataclass(frozen=True)
class PartPlan:
    """A recording's parts, in order. ``whole_reason`` says why a file can only be read as a whole, else None."""

    facts: SourceFacts
    start_pts: int | None
    parts: tuple[Part, ...]
    whole_reason: str | None


@dataclass(frozen=True)
class _Keyframe:
    packet: int  # its number in the file's order
    pts: int
    dts: int | None
    num_before: int  # shown packets before it, in the file's order
    is_shown: bool


class _Packets:
    """What the plan needs to know of all packets: 8 bytes for each that is shown."""

    def __init__(self) -> None:
        self._last_dts = -(2**63)
        self.pts = array("q")
        self.keyframes: list[_Keyframe] = []
        self.num_shown = 0
        self.doubt: str | None = None

    def add(self, number: int, pts: int | None, dts: int | None, is_keyframe: bool, is_shown: bool) -> None:
        self.num_shown += is_shown
        if pts is None:
            self.doubt = self.doubt or ("a frame has no pts" if is_shown else None)
            return
        if dts is not None:
            if dts > pts or dts < self._last_dts:
                self.doubt = self.doubt or f"its timestamps go backward at packet {number}"
            self._last_dts = dts
        if is_keyframe:
            self.keyframes.append(_Keyframe(number, pts, dts, len(self.pts), is_shown))
        if is_shown:
            self.pts.append(pts)


def plan_parts(path: Path, target_s: float = DEFAULT_PART_S, overlap_s: float = 2.0) -> PartPlan:
    """Plan to read ``path`` in parts of at least ``target_s`` seconds, each with a lead-in of at least ``overlap_s``.

    The same file, target and overlap always give the same plan. A part begins at a keyframe, and its lead-in at an
    earlier one: pictures that are shown before their keyframe, but stand behind it in the file, refer to the one
    before (ITU-T H.264, 3.69: leading pictures of an open group).

    Raises:
        SourceError: the file cannot be read as a video.
    """
    packets = _Packets()
    with open_recording(path) as (container, stream):
        facts = read_facts(container, stream)
        if container.format.name in FORMATS_WITHOUT_PTS:
            packets.doubt = f"{container.format.name} files have no pts"
        for number, packet in enumerate(demux(container, stream)):
            if packet.size:
                is_shown = not is_hidden(packet, facts.codec)
                packets.add(number, packet.pts, packet.dts, packet.is_keyframe, is_shown)
    pts = np.sort(np.array(packets.pts, dtype=np.int64))
    tick_s = facts.time_base[0] / facts.time_base[1]
    doubt = packets.doubt or _find_doubt(packets, pts, tick_s)
    start_pts = int(pts[0]) if len(pts) else None
    duration_s = float(pts[-1] - pts[0]) * tick_s if len(pts) else 0.0
    if doubt is not None:
        end_s = facts.duration_s or min(duration_s, MAX_PAUSE_S)
        whole = Part(0, None, None, 0.0, end_s, 0, 0, packets.num_shown)
        return PartPlan(facts, start_pts, (whole,), doubt)
    seams = _choose_seams(packets.keyframes, pts, tick_s, max(target_s, overlap_s, duration_s / MAX_PARTS))
    end_s = max(duration_s, facts.duration_s)
    return PartPlan(facts, start_pts, _make_parts(packets, pts, seams, overlap_s, facts.time_base, end_s), None)


def _find_doubt(packets: _Packets, pts: np.ndarray[tuple[int], np.dtype[np.int64]], tick_s: float) -> str | None:
    """Return why the order of the frames cannot be told from their pts, or None where it can."""
    if not len(pts):
        return "it holds no frames"
    steps = np.diff(pts)
    if len(steps) and int(steps.min()) == 0:
        return "two frames have one pts"
    if len(steps) and int(steps.max()) * tick_s > MAX_PAUSE_S:
        return "its pts jump ahead by days"
    highest = np.maximum.accumulate(np.array(packets.pts, dtype=np.int64))
    for keyframe in packets.keyframes:
        # Of a file in order, nothing that stands before a keyframe is shown after it.
        if keyframe.num_before and int(highest[keyframe.num_before - 1]) >= keyframe.pts:
            return f"its pts go backward at packet {keyframe.packet}"
    return None


def _choose_seams(
    keyframes: list[_Keyframe], pts: np.ndarray[tuple[int], np.dtype[np.int64]], tick_s: float, target_s: float
) -> list[_Keyframe]:
    """Return the keyframes at which parts begin, the first part's left out."""
    seams: list[_Keyframe] = []
    reached, last = int(pts[0]), int(pts[-1])
    for keyframe in keyframes:
        # A short rest at the end is left with the part before it.
        is_far = (keyframe.pts - reached) * tick_s >= target_s and (last - keyframe.pts) * tick_s >= target_s / 2
        if keyframe.is_shown and is_far:
            seams.append(keyframe)
            reached = keyframe.pts
    return seams


def _make_parts(
    packets: _Packets,
    pts: np.ndarray[tuple[int], np.dtype[np.int64]],
    seams: list[_Keyframe],
    overlap_s: float,
    time_base: tuple[int, int],
    duration_s: float,
) -> tuple[Part, ...]:
    ranks = [0, *(int(np.searchsorted(pts, seam.pts)) for seam in seams), len(pts)]
    start_pts = int(pts[0])
    num, den = time_base
    overlap = round(overlap_s * den / num)

    def to_seconds(keyframe: _Keyframe) -> float:
        return (keyframe.pts - start_pts) * num / den  # to the last digit what FrameClock says

    parts = []
    for number in range(len(seams) + 1):
        begin = seams[number - 1] if number else None
        end = seams[number] if number < len(seams) else None
        lead_in = _find_lead_in(packets.keyframes, begin.pts - overlap) if begin is not None else None
        parts.append(
            Part(
                part=number,
                start_pts=begin.pts if begin else None,
                end_pts=end.pts if end else None,
                start_s=to_seconds(begin) if begin else 0.0,
                end_s=to_seconds(end) if end else duration_s,
                first_frame=ranks[number],
                first_packet=begin.packet if begin else 0,
                num_packets=ranks[number + 1] - ranks[number],
                lead_in_pts=lead_in.pts if lead_in else None,
                lead_in_dts=lead_in.dts if lead_in else None,
                lead_in_frame=int(np.searchsorted(pts, lead_in.pts)) if lead_in else 0,
            )
        )
    return tuple(parts)


def _find_lead_in(keyframes: list[_Keyframe], latest_pts: int) -> _Keyframe | None:
    """Return the last keyframe that lies at ``latest_pts`` or before it; None where the file itself must begin."""
    position = bisect_right(keyframes, latest_pts, key=lambda keyframe: keyframe.pts)
    return keyframes[position - 1] if position else None
