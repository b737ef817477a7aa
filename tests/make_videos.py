"""Videos that the tests make themselves, with PyAV."""

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Picture = Callable[[int], NDArray[np.uint8]]


def draw_pattern(index: int, width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    """Return a moving gradient as RGB (H W 3): something to decode, without faces."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([(columns + 3 * index) % 256, (rows * 2) % 256, (rows + columns) % 256], -1).astype(np.uint8)


def write_video(
    path: Path,
    pts: Sequence[int],
    time_base: Fraction = Fraction(1, 1000),
    picture: Picture = draw_pattern,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    """Write one picture for each pts (in ``time_base`` units)."""
    first = picture(0)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], pixel_format
        stream.codec_context.time_base = time_base
        stream.time_base = time_base
        for index, moment in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = moment, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def remux(source: Path, target: Path, change_pts: Callable[[int, int], int]) -> None:
    """Copy a video without B-frames to a Matroska file, each pts as ``change_pts(number of the packet, its pts)``.

    All pts come out a minute later, because a muxer refuses a pts before its dts.
    """
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(video=0)):
            if packet.pts is not None and packet.time_base is not None:
                packet.pts = change_pts(number, packet.pts) + round(60 / packet.time_base)
                packet.stream = stream
                writer.mux(packet)


def turn_clockwise(source: Path, target: Path, quarters: int) -> None:
    """Copy an mp4 with a display matrix (ISO/IEC 14496-12, 6.2.2) that says: show it turned clockwise."""
    content = source.read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    position = content.index(upright, content.index(b"tkhd"))
    cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarters]
    turned = struct.pack(">9i", cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30)
    target.write_bytes(content[:position] + turned + content[position + len(turned) :])


def flip_bits(source: Path, target: Path, num_bits: int, seed: int, after: bytes = b"") -> None:
    """Copy a file with some bits turned over, all behind the first ``after``, which is its index or header."""
    content = bytearray(source.read_bytes())
    start = content.index(after) + len(after)
    generator = np.random.default_rng(seed)
    for position in generator.integers(start, len(content), num_bits):
        content[position] ^= 1 << int(generator.integers(8))
    target.write_bytes(content)


def cut_off(source: Path, target: Path, share: float) -> None:
    """Copy the first ``share`` of a file's bytes."""
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])


def read_pictures(path: Path, limit: int | None = None) -> list[NDArray[np.uint8]]:
    """Return a video's pictures as RGB (H W 3)."""
    with av.open(str(path)) as container:
        pictures = []
        for frame in container.decode(video=0):
            pictures.append(frame.to_ndarray(format="rgb24"))
            if limit is not None and len(pictures) == limit:
                break
    return pictures


def repeat_video(source: Path, path: Path, times: int) -> None:
    """Write a video's packets several times in a row, without encoding anew."""
    with av.open(str(path), "w") as output:
        stream = None
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                if stream is None:
                    stream, offset = output.add_stream_from_template(video), 0
                end = offset
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = (packet.pts or 0) + offset, packet.dts + offset
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    output.mux(packet)
                offset = end


def hide_pictures(path: Path, to: Path) -> None:
    """Copy a VP8 video so that every tenth picture is only a reference for others, as encoders make some."""
    with av.open(str(path)) as reader, av.open(str(to), "w") as writer:
        stream = writer.add_stream_from_template(reader.streams.video[0])
        for number, packet in enumerate(reader.demux(video=0)):
            if packet.size:
                content = bytearray(bytes(packet))
                content[0] &= 0xEF if number % 10 == 5 else 0xFF  # the bit that says: show this one
                copy = av.Packet(bytes(content))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                writer.mux(copy)
