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
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from contracts.errors import SourceError
from contracts.recordings import FORMATS_WITHOUT_PTS, OPEN_OPTIONS, FrameClock

Image = NDArray[np.uint8]

# A container of errors only ends some time.
_MAX_DEMUX_ERRORS = 1000


@contextmanager
def open_video(path: Path | str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the first video stream of a file and close it when the block ends.

    Raises:
        SourceError: the file is gone, is no video, or holds no picture.
    """
    try:
        container = av.open(str(path), options=dict(OPEN_OPTIONS))
    except (av.FFmpegError, OSError) as error:
        raise SourceError(
            f"{path} cannot be opened again: {error.strerror or error}. Put the video back where it was analysed."
        ) from None
    with container:
        pictures = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
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
        for picture in pictures:
            if container.format.name in FORMATS_WITHOUT_PTS:
                picture.pts = picture.dts
            yield picture


def repair_times(frames: Iterator[VideoFrame], stream: VideoStream) -> Iterator[VideoFrame]:
    """Give frames, read from the stream's start, the strictly growing pts that their rows have."""
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    clock = FrameClock(stream.time_base or Fraction(1, av.time_base), rate)
    for frame in frames:
        frame.pts, _ = clock.read_pts(frame.pts)
        yield frame


def to_image(frame: VideoFrame) -> Image:
    """Return the frame upright, as it is displayed: H x W x 3, uint8, RGB. Boxes are in this picture's pixels."""
    image: NDArray[Any] = frame.to_ndarray(format="rgb24")
    # FFmpeg gives the display matrix's angle counter-clockwise, which is also how rot90 turns.
    return np.ascontiguousarray(np.rot90(image, k=round(frame.rotation / 90) % 4))
