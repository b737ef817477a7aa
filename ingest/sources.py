"""What a recorded file is: whether it can be read at all, and the facts about it that a summary tells."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from contracts.errors import SourceError

# Playlists and the like inside a file must not make FFmpeg reach elsewhere.
_OPTIONS = {"protocol_whitelist": "file"}


@dataclass(frozen=True)
class SourceFacts:
    """Facts about a recording's video stream. Sizes are upright pixels, ``duration_s`` is 0 where unknown."""

    container: str
    codec: str
    width: int
    height: int
    pixel_format: str
    duration_s: float
    average_fps: float
    time_base: tuple[int, int]
    start_pts: int | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "container": self.container,
            "codec": self.codec,
            "width": self.width,
            "height": self.height,
            "pixel_format": self.pixel_format,
            "duration_s": round(self.duration_s, 6),
            "average_fps": round(self.average_fps, 4),
        }


def check_file(path: Path) -> None:
    """Check that ``path`` is a file with something in it, without opening it as video.

    Raises:
        SourceError: it is not.
    """
    if not path.exists():
        raise SourceError(f"There is no file {path}. Check the path.")
    if path.is_dir():
        raise SourceError(f"{path} is a directory. Name the video files in it, for example {path}/*.mp4.")
    if not path.is_file():
        raise SourceError(f"{path} is not a regular file. Recordings are read from files.")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise SourceError(f"{path} is empty (0 bytes). Copy it again from where it was recorded.")
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}). Check its permissions.") from None


def compute_fingerprint(path: Path) -> str:
    """Return the file's SHA-256, by which a resumed session knows that it reads the same file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_recording(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open a file and its first video stream.

    Raises:
        SourceError: it is no video, is damaged beyond opening, or holds no pictures.
    """
    try:
        container = av.open(str(path), options=dict(_OPTIONS))
    except av.error.FFmpegError as error:
        raise SourceError(
            f"{path} cannot be opened as a video ({error.strerror}). It may be another kind of file, or an mp4 whose "
            "index was never written; try to repair it with: ffmpeg -i FILE -c copy REPAIRED.mp4"
        ) from None
    with container:
        pictures = [stream for stream in container.streams.video if stream.codec_context is not None]
        if not pictures:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise SourceError(f"{path} holds no video stream, only {kinds}. Expected a file with pictures.")
        stream = pictures[0]
        # One thread per process: a second one costs more CPU in all, and cameras are spread over processes.
        stream.thread_type = "NONE"
        yield container, stream


def read_facts(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> SourceFacts:
    """Return what the container says of the stream."""
    time_base = stream.time_base or av.time_base
    if stream.duration:
        duration_s = float(stream.duration * stream.time_base) if stream.time_base else 0.0
    elif container.duration and len(container.streams) == 1:
        duration_s = container.duration / 1_000_000
    else:
        duration_s = 0.0
    return SourceFacts(
        container=container.format.name,
        codec=stream.codec_context.name,
        width=stream.width,
        height=stream.height,
        pixel_format=stream.pix_fmt or "unknown",
        duration_s=duration_s,
        average_fps=float(stream.average_rate or stream.guessed_rate or 0),
        time_base=(time_base.numerator, time_base.denominator) if stream.time_base else (1, 1_000_000),
        start_pts=stream.start_time,
    )


