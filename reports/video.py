"""Read a source's pictures again, for reports: damaged packets are passed over and phones' rotation is honoured.

``ingest`` has its own reader, which counts what this one forgives; reports only look the pictures up.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from contracts.errors import SourceError

Image = NDArray[np.uint8]

# As in ingest: nothing inside a file makes FFmpeg reach elsewhere, and a container of errors only ends some time.
_OPTIONS = {"protocol_whitelist": "file"}
_MAX_DEMUX_ERRORS = 1000
_CLOCK_RESET_S = 1.0


@contextmanager
def open_video(path: Path | str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the first video stream of a file and close it when the block ends.

    Raises:
        SourceError: the file is gone, is no video, or holds no picture.
    """
    try:
        container = av.open(str(path), options=dict(_OPTIONS))
    except (av.FFmpegError, OSError) as error:
        raise SourceError(
            f"{path} cannot be opened again: {error.strerror or error}. Put the video back where it was analysed."
        ) from None
    with container:
        pictures = [stream for stream in container.streams.video if stream.codec_context is not None]
        if not pictures:
            raise SourceError(f"{path} holds no video stream. Give the video that was analysed.")
        stream = pictures[0]
        stream.thread_type = "NONE"  # the same frames come out of a damaged file as when it was analysed
        yield container, stream


def decode_frames(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Yield what can be decoded from the container's position on; the pts may be missing, repeated or backward."""
    packets = container.demux(stream)
    num_errors = 0
    while num_errors < _MAX_DEMUX_ERRORS:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            num_errors += 1
            packets = container.demux(stream)  # an exception ends a generator; a new one goes on behind the damage
            continue
        if packet is None:
            return
        if packet.size == 0 and packet.pts is not None:
            continue  # AVI's mark for "the last picture stays"; decoding it would flush the decoder
        try:
            pictures = packet.decode()
        except av.FFmpegError:
            continue
        yield from pictures


def repair_times(frames: Iterator[VideoFrame], stream: VideoStream) -> Iterator[VideoFrame]:
    """Give frames, read from the stream's start, the strictly growing pts that their rows have.

    This is the rule of ``ingest.frames.FrameClock``: a missing pts is the last one and a usual interval, a repeated or
    slightly backward one the next free tick, and after a jump back the file's own intervals go on.
    """
    time_base = stream.time_base or Fraction(1, 1_000_000)
    rate = stream.average_rate or stream.guessed_rate or 25
    interval = max(1, round(1 / (time_base * Fraction(float(rate)).limit_denominator(100_000))))
    offset = 0
    last: int | None = None
    for frame in frames:
        if last is None:
            last = frame.pts or 0
        elif frame.pts is None:
            last += interval
        elif frame.pts + offset > last:
            last, interval = frame.pts + offset, frame.pts + offset - last
        elif (last - frame.pts - offset) * time_base >= _CLOCK_RESET_S:
            last += interval
            offset = last - frame.pts
        else:
            last += 1
        frame.pts = last
        yield frame


def to_image(frame: VideoFrame) -> Image:
    """Return the frame upright, as it is displayed: H x W x 3, uint8, RGB. Boxes are in this picture's pixels."""
    image: NDArray[Any] = frame.to_ndarray(format="rgb24")
    # FFmpeg gives the display matrix's angle counter-clockwise, which is also how rot90 turns.
    return np.ascontiguousarray(np.rot90(image, k=round(frame.rotation / 90) % 4))
