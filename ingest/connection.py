"""Open one connection to a camera, with real time-outs.

Nothing here, FFmpeg's messages included, repeats a password.
"""

import errno
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from contracts.settings import hide_credentials
from contracts.sources import FILE, HTTP, RTSP, WEBCAM, Source, choose_transport, find_open_options

# An HLS playlist is read again only when its last part has been played.
_HLS_READ_TIMEOUT_S = 30.0
# FFmpeg tells what comes over HTTP by its content; the others have to be named.
_FORMATS = {RTSP: "rtsp", WEBCAM: "v4l2"}
# Over HTTP they carry no time of their own; FFmpeg would count 25 a second, whatever comes.
FORMATS_WITHOUT_TIME = ("mpjpeg", "mjpeg", "h264", "hevc")


class Reason(StrEnum):
    """Why a connection ended, or never came about."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    UNTRUSTED = "untrusted"
    TIMEOUT = "timeout"
    NOT_VIDEO = "not_video"
    END_OF_STREAM = "end_of_stream"
    LOST = "lost"
    NO_PICTURE = "no_picture"
    CLOCK_JUMP = "clock_jump"
    FORMAT_CHANGE = "format_change"
    STOPPED = "stopped"


class ConnectionLost(Exception):
    """The connection is over. The message is for people and holds no credentials."""

    def __init__(self, reason: Reason, message: str) -> None:
        self.reason = reason
        self.message = hide_credentials(message)
        super().__init__(self.message)


@dataclass(frozen=True)
class CameraOptions:
    """How a camera is read. All times in seconds.

    ``transport``: what carries RTSP's video, ``tcp`` (the default) or ``udp``; None for other kinds.
    ``open_timeout_s``: from connecting to the first packet (45 suits cameras that take 40 s to start).
    ``read_timeout_s``: between two packets. ``picture_timeout_s``: packets without any picture that can be decoded;
    cameras may send a keyframe every 20 s only. ``min_backoff_s`` to ``max_backoff_s``: between attempts; a connection
    that gave pictures for ``good_after_s`` begins with the shortest again. ``max_jump_s``: how far the camera's clock
    may run ahead of ours between two packets. ``anchor_interval_s``: between clock anchors, once the first few are set.
    ``ca_file``: certificates (PEM) that vouch for rtsps and https cameras; None trusts any.
    """

    transport: str | None = None
    ca_file: Path | None = None
    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    picture_timeout_s: float = 60.0
    min_backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    good_after_s: float = 30.0
    max_jump_s: float = 10.0
    anchor_interval_s: float = 60.0


def find_read_timeout_s(source: Source, options: CameraOptions) -> float:
    """Return the seconds without a packet after which a source counts as frozen; a file's pauses are meant."""
    if source.kind == FILE:
        return math.inf
    is_hls = source.kind == HTTP and re.split("[?#]", source.location, maxsplit=1)[0].lower().endswith(".m3u8")
    return max(options.read_timeout_s, _HLS_READ_TIMEOUT_S) if is_hls else options.read_timeout_s


@contextmanager
def open_camera(source: Source, options: CameraOptions) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open an RTSP, HTTP or webcam source and its first video stream.

    Raises:
        ConnectionLost: it cannot be opened, or holds no video that can be decoded.
        UsageError: it has no such transport.
    """
    av.logging.set_level(None)  # FFmpeg's log names URLs
    begin_s = time.monotonic()
    try:
        container = _open_container(source, options)
    except (av.error.FFmpegError, OSError) as error:
        # To FFmpeg, an answer that never came is invalid.
        is_late = time.monotonic() - begin_s >= options.open_timeout_s
        raise explain_error(TimeoutError() if is_late else error, options, is_open=False) from None
    with container:
        yield container, _choose_stream(container, options)


def _open_container(source: Source, options: CameraOptions) -> InputContainer:
    transport = choose_transport(source, options.transport)
    chosen = find_open_options(source, transport, options.ca_file)
    # PyAV interrupts FFmpeg's waiting; FFmpeg's own limit, in microseconds, is a second line behind it.
    limit_us = str(round(1e6 * max(options.open_timeout_s, options.read_timeout_s)))
    if transport is not None:
        chosen |= {
            "rtsp_transport": transport,
            # Another medium would keep the connection alive while the pictures are frozen.
            "allowed_media_types": "video",
            "timeout": limit_us,
            # Shorter than FFmpeg's five seconds: the parameters are known from the session description.
            "analyzeduration": "500000",
            "probesize": "500000",
        }
    elif source.kind == HTTP:
        chosen |= {"timeout": limit_us, "rw_timeout": limit_us, "analyzeduration": "1000000"}
    return av.open(
        source.location,
        "r",
        format=_FORMATS.get(source.kind),
        options=chosen,
        timeout=(options.open_timeout_s, find_read_timeout_s(source, options)),
    )


def _choose_stream(container: InputContainer, options: CameraOptions) -> VideoStream:
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise ConnectionLost(Reason.NOT_VIDEO, f"the source sends no video, only {kinds or 'nothing'}")
    stream = container.streams.video[0]
    if stream.codec_context is None:
        raise ConnectionLost(Reason.NOT_VIDEO, "the source sends video of a kind that cannot be decoded here")
    if not stream.width:
        # FFmpeg gives up waiting for packets without an error.
        raise ConnectionLost(Reason.TIMEOUT, describe_timeout(options, is_open=False))
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all  # not fetched at all where each stream has files of its own, as in HLS
    stream.thread_type = "NONE"  # as in ingest.sources: one thread per process costs less CPU in all
    return stream


def explain_error(error: Exception, options: CameraOptions, is_open: bool) -> ConnectionLost:
    """Return what an error of FFmpeg's means. Only its ``strerror`` is used, because its text names the URL."""
    strerror = getattr(error, "strerror", None) or type(error).__name__
    if isinstance(error, av.error.ExitError | TimeoutError):
        return ConnectionLost(Reason.TIMEOUT, describe_timeout(options, is_open))
    if isinstance(error, ConnectionRefusedError):
        return ConnectionLost(Reason.REFUSED, "the connection was refused: nothing listens there, or a firewall")
    if isinstance(error, av.error.HTTPUnauthorizedError | av.error.HTTPForbiddenError | PermissionError):
        return ConnectionLost(Reason.UNAUTHORIZED, f"access was refused ({strerror})")
    if isinstance(error, av.error.HTTPNotFoundError | FileNotFoundError):
        return ConnectionLost(Reason.NOT_FOUND, f"there is no such stream ({strerror})")
    if is_open:
        return ConnectionLost(Reason.LOST, f"the connection broke ({strerror})")
    if options.ca_file is not None and getattr(error, "errno", None) == errno.EIO:
        # All that FFmpeg tells of a certificate that it refuses.
        trust = f"over TLS, its certificate is none that {options.ca_file} vouches for"
        return ConnectionLost(Reason.UNTRUSTED, f"the connection failed ({strerror}); {trust}")
    if isinstance(error, OSError):
        return ConnectionLost(Reason.UNREACHABLE, f"the host cannot be reached ({strerror})")
    return ConnectionLost(Reason.NOT_VIDEO, f"the source gave no answer that can be read as video ({strerror})")


def describe_timeout(options: CameraOptions, is_open: bool) -> str:
    """Return what a time-out means, for people."""
    if is_open:
        return f"no packet came for {options.read_timeout_s:g} s"
    return f"no video came within {options.open_timeout_s:g} s of connecting"
