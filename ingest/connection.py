"""Open one connection to a camera, with real time-outs and only the protocols and formats that its kind needs.

Nothing here, FFmpeg's messages included, repeats a URL: it may hold a password.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from urllib.parse import urlsplit

import av
from av.container import InputContainer
from av.stream import Discard
from av.video.stream import VideoStream

from contracts.errors import UsageError

# An HLS playlist is read again only when its last part has been played.
_HLS_READ_TIMEOUT_S = 30.0
_HTTP_FORMATS = "hls,mpegts,mov,mp4,m4a,3gp,3g2,mj2,mpjpeg,mjpeg"
# Their packets carry no time of their own; FFmpeg would count 25 a second, whatever comes.
FORMATS_WITHOUT_TIME = ("mpjpeg", "mjpeg")


class CameraKind(StrEnum):
    """What a source is, which decides how it may be opened."""

    RTSP = "rtsp"
    HTTP = "http"
    WEBCAM = "webcam"
    FILE = "file"


class Reason(StrEnum):
    """Why a connection ended, or never came about."""

    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
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
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class CameraOptions:
    """How a camera is read. All times in seconds.

    ``open_timeout_s``: from connecting to the first packet (45 suits cameras that take 40 s to start).
    ``read_timeout_s``: between two packets. ``picture_timeout_s``: packets without any picture that can be decoded;
    cameras may send a keyframe every 20 s only. ``min_backoff_s`` to ``max_backoff_s``: between attempts; a connection
    that gave pictures for ``good_after_s`` begins with the shortest again. ``max_jump_s``: how far the camera's clock
    may run ahead of ours between two packets. ``anchor_interval_s``: between clock anchors, once the first few are set.
    """

    transport: Literal["tcp", "udp"] = "tcp"
    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    picture_timeout_s: float = 60.0
    min_backoff_s: float = 1.0
    max_backoff_s: float = 60.0
    good_after_s: float = 30.0
    max_jump_s: float = 10.0
    anchor_interval_s: float = 60.0


def find_kind(url: str) -> CameraKind:
    """Return what a source is, by its scheme; what has none is a webcam (``0``, ``/dev/video0``) or a file.

    Raises:
        UsageError: the scheme is none of these.
    """
    if re.fullmatch(r"\d+|/dev/video\d+", url):
        return CameraKind.WEBCAM
    scheme = url.split("://", 1)[0].lower() if "://" in url else "file"
    kinds = {"rtsp": CameraKind.RTSP, "rtsps": CameraKind.RTSP, "http": CameraKind.HTTP, "https": CameraKind.HTTP}
    if scheme in kinds:
        return kinds[scheme]
    if scheme == "file":
        return CameraKind.FILE
    found = f"{scheme}://" if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) else "this kind"  # no part of a password
    raise UsageError(
        f"Sources of {found} are not read. Give a URL that begins with rtsp://, rtsps://, http:// or https://, a "
        "webcam (0 or /dev/video0), or a file."
    )


def find_read_timeout_s(url: str, options: CameraOptions) -> float:
    """Return the seconds without a packet after which a source counts as frozen."""
    is_hls = find_kind(url) is CameraKind.HTTP and urlsplit(url).path.endswith(".m3u8")
    return max(options.read_timeout_s, _HLS_READ_TIMEOUT_S) if is_hls else options.read_timeout_s


@contextmanager
def open_camera(url: str, options: CameraOptions) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open an RTSP, HTTP or webcam source and its first video stream.

    Raises:
        ConnectionLost: it cannot be opened, or holds no video that can be decoded.
    """
    av.logging.set_level(None)  # FFmpeg's log names URLs
    begin_s = time.monotonic()
    try:
        container = _open_container(url, options)
    except (av.error.FFmpegError, OSError) as error:
        # To FFmpeg, an answer that never came is invalid.
        is_late = time.monotonic() - begin_s >= options.open_timeout_s
        raise explain_error(TimeoutError() if is_late else error, options, is_open=False) from None
    with container:
        yield container, _choose_stream(container, options)


def _open_container(url: str, options: CameraOptions) -> InputContainer:
    kind = find_kind(url)
    name, format_name, chosen = url, None, {}
    # PyAV interrupts FFmpeg's waiting; FFmpeg's own limit, in microseconds, is a second line behind it.
    limit_us = str(round(1e6 * max(options.open_timeout_s, options.read_timeout_s)))
    if kind is CameraKind.RTSP:
        format_name = "rtsp"
        chosen = {
            "rtsp_transport": options.transport,
            # Another medium would keep the connection alive while the pictures are frozen.
            "allowed_media_types": "video",
            "protocol_whitelist": "tcp,tls,udp,rtp" if options.transport == "udp" else "tcp,tls",
            "format_whitelist": "rtsp",
            "timeout": limit_us,
            # Shorter than FFmpeg's five seconds: the parameters are known from the session description.
            "analyzeduration": "500000",
            "probesize": "500000",
        }
    elif kind is CameraKind.HTTP:
        chosen = {
            "protocol_whitelist": "http,https,tcp,tls,crypto",
            "format_whitelist": _HTTP_FORMATS,
            "timeout": limit_us,
            "rw_timeout": limit_us,
            "analyzeduration": "1000000",
        }
    else:
        name, format_name = f"/dev/video{url}" if url.isdigit() else url, "v4l2"
    return av.open(
        name,
        "r",
        format=format_name,
        options=chosen,
        timeout=(options.open_timeout_s, find_read_timeout_s(url, options)),
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
    if isinstance(error, OSError):
        return ConnectionLost(Reason.UNREACHABLE, f"the host cannot be reached ({strerror})")
    return ConnectionLost(Reason.NOT_VIDEO, f"the source gave no answer that can be read as video ({strerror})")


def describe_timeout(options: CameraOptions, is_open: bool) -> str:
    """Return what a time-out means, for people."""
    if is_open:
        return f"no packet came for {options.read_timeout_s:g} s"
    return f"no video came within {options.open_timeout_s:g} s of connecting"
