"""Videos that the tests make themselves, with PyAV."""

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
) -> None:
    """Write one picture for each pts (in ``time_base`` units)."""
    first = picture(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], pixel_format
        stream.codec_context.time_base = time_base
        stream.time_base = time_base
        for index, moment in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts, frame.time_base = moment, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read_pictures(path: Path, limit: int | None = None) -> list[NDArray[np.uint8]]:
    """Return a video's pictures as RGB (H W 3)."""
    with av.open(str(path)) as container:
        pictures = []
        for frame in container.decode(video=0):
            pictures.append(frame.to_ndarray(format="rgb24"))
            if limit is not None and len(pictures) == limit:
                break
    return pictures
