"""What a recorded file is: whether it can be read at all, and the facts about it that a summary tells."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from contracts.errors import SourceError
from contracts.recordings import OPEN_OPTIONS

# How an mp4 or mov file may begin: the names of its first box.
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


@dataclass(frozen=True)
class SourceFacts:
    """Facts about a recording's video stream. ``duration_s`` is 0 where unknown.

    ``width`` and ``height`` are those before the recording is turned upright, until its first frame is known.
    """

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
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError(f"{path} is a directory. Name the video files in it, for example {path}/*.mp4.")
        if not stat.S_ISREG(mode):
            raise SourceError(f"{path} is not a regular file. Recordings are read from files.")
        with path.open("rb") as file:
            if not file.read(1):
                raise SourceError(f"{path} is empty (0 bytes). Copy it again from where it was recorded.")
        str(path.resolve()).encode()  # as the database will
    except UnicodeEncodeError:
        raise SourceError(f"{path} has a name that is not UTF-8 text. Rename it.") from None
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"There is no file {path}. Check the path.") from None
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}). Check the path and its permissions.") from None


def compute_fingerprint(path: Path) -> str:
    """Return the file's SHA-256, by which a resumed session knows that it reads the same file.

    Raises:
        SourceError: the file cannot be read to its end.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}). Check the disk or network it is on.") from None


@contextmanager
def open_recording(path: Path) -> Iterator[tuple[av.container.InputContainer, av.video.stream.VideoStream]]:
    """Open a file and its first video stream.

    Raises:
        SourceError: it is no video, is damaged beyond opening, or holds no pictures.
    """
    check_file(path)
    # An open file and not its name: FFmpeg would take names like "a%d.png" for patterns and "concat:a|b" for URLs.
    with path.open("rb") as file, _open_container(path, file.fileno()) as container:
        # A sound file's cover is a picture, but no recording.
        streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        if not streams:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            found = "audio with a cover" if container.streams.video else f"only {kinds}"
            raise SourceError(f"{path} holds no video stream, {found}. Expected a file with pictures.")
        stream = streams[0]
        if stream.codec_context is None:
            raise SourceError(
                f"{path} holds video of a kind that cannot be decoded here. Convert it first, for example with: "
                "ffmpeg -i FILE -c:v libx264 NEW.mp4"
            )
        # One thread per process: a second one costs more CPU in all, and cameras are spread over processes.
        stream.thread_type = "NONE"
        yield container, stream


def _open_container(path: Path, descriptor: int) -> av.container.InputContainer:
    try:
        return av.open(os.fdopen(descriptor, "rb", closefd=False), mode="r", options=dict(OPEN_OPTIONS))
    except (av.error.FFmpegError, OSError) as error:
        if _lacks_index(path):
            raise SourceError(
                f"{path} is an mp4 without its index (no moov box): it was cut off, or its recording never ended in "
                "order. Copy it again; else tools such as untrunc can rebuild the index from an intact recording of "
                "the same camera."
            ) from None
        raise SourceError(
            f"{path} cannot be opened as a video ({error.strerror}). Expected a recording such as mp4, mkv, avi or ts, "
            "or a picture; of a playlist, name the files that it lists."
        ) from None


def _lacks_index(path: Path) -> bool:
    """Return whether a file is made of an mp4's boxes (ISO/IEC 14496-12, 4.2) without the one that is the index."""
    with path.open("rb") as file:
        start, name = 0, b""
        while (head := file.read(16)) and len(head) >= 8:
            size, name = int.from_bytes(head[:4]), head[4:8]
            if name == b"moov" or (start == 0 and name not in _MP4_BOXES):
                return False
            if size == 1:
                size = int.from_bytes(head[8:])
            if size < 8:
                break  # 0: the box reaches to the file's end
            start += size
            file.seek(start)
    return name != b""


def read_facts(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> SourceFacts:
    """Return what the container says of the stream."""
    time_base = stream.time_base or Fraction(1, av.time_base)
    duration_s = 0.0
    if stream.duration:
        duration_s = float(stream.duration * time_base)
    elif container.duration and len(container.streams) == 1:
        # Matroska counts from zero, wherever the first frame is; the others count from it.
        offset = max(0, container.start_time or 0) if "matroska" in container.format.name else 0
        duration_s = max(0, container.duration - offset) / av.time_base
    return SourceFacts(
        container=container.format.name,
        codec=stream.codec_context.name,
        width=stream.width,
        height=stream.height,
        pixel_format=stream.pix_fmt or "unknown",
        duration_s=duration_s,
        average_fps=float(stream.average_rate or stream.guessed_rate or 0),
        time_base=(time_base.numerator, time_base.denominator),
        start_pts=stream.start_time,
    )
