"""What a stream is read from: the kinds of sources, how their URLs are written, and what FFmpeg may open for each.

A URL's credentials may be written as they are or %-encoded (RFC 3986, 3.2.1). FFmpeg gets them %-encoded.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from contracts.errors import UsageError
from contracts.recordings import OPEN_OPTIONS
from contracts.settings import hide_fields

RTSP, HTTP, WEBCAM, FILE = "rtsp", "http", "webcam", "file"
TCP, UDP = "tcp", "udp"
_KINDS = {"rtsp": RTSP, "rtsps": RTSP, "http": HTTP, "https": HTTP}

# What FFmpeg may open, by scheme. A playlist or a redirection names further URLs: none of these reads a local file,
# and from TLS none leads back to plain text. "crypto" decrypts HLS segments. Measured with FFmpeg 8.1.
_PROTOCOLS = {
    "rtsp": "tcp",
    "rtsps": "tls,tcp",
    "http": "http,https,tls,tcp,crypto",
    "https": "https,tls,tcp,crypto",
}
_UDP_PROTOCOLS = "rtp,udp,tcp"  # the session itself stays on TCP
# HLS and what it is cut into (sound and subtitles too: it opens all of them), MJPEG, and what servers send endlessly.
# Others stay closed: concat, dash and sdp name further inputs of any kind.
_HTTP_FORMATS = "hls,mpegts,mov,mpjpeg,mjpeg,flv,live_flv,matroska,ogg,h264,hevc,aac,ac3,eac3,mp3,webvtt"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_WEBCAM = re.compile(r"/dev/(?:video\d+|v4l/.+)")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[\w.-]+)(?::([0-9]*))?")
_USER_INFO_SAFE = "!$&'()+,;="  # what RFC 3986 allows there, but "*", which marks what is hidden
# FFmpeg keeps so many bytes of credentials and cuts off the rest without a word.
_MAX_USER_INFO = {RTSP: 127, HTTP: 1023}
_KNOWN = "Streams are rtsp://, rtsps://, http:// or https:// URLs, webcams (0 or /dev/video0) and paths of files"


@dataclass(frozen=True)
class Source:
    """What a stream is read from.

    ``url`` is what may be shown and logged: ``***`` stands where credentials are. ``location`` is what is opened: the
    whole URL, a device or an absolute path.
    """

    kind: str
    url: str
    location: str = field(repr=False)

    @property
    def has_credentials(self) -> bool:
        return self.url != self.location


def parse_source(text: str) -> Source:
    """Read what an operator calls a source: a URL, ``0`` or ``/dev/video0`` for a webcam, the path of a file.

    Raises:
        UsageError: it is of no such kind, or can be read in two ways. The message holds nothing of its credentials.
    """
    text = text.strip()
    if not text:
        raise UsageError(f"The stream's URL is empty. {_KNOWN}.")
    if "***" in text:
        raise UsageError(
            "The stream's URL holds '***', which stands for credentials that are not shown. Write the credentials out, "
            "or three stars of your own as %2A%2A%2A."
        )
    if not text.isprintable():  # nor are undecodable bytes
        raise UsageError("The stream's URL holds control characters, or bytes that are no text. Write them %-encoded.")
    if found := _SCHEME.fullmatch(text):
        return _parse_url(found[1].lower(), found[2])
    if text.isdecimal() and text.isascii():
        text = f"/dev/video{int(text)}"
    if _WEBCAM.fullmatch(text):
        return Source(WEBCAM, text, text)
    if re.search("[:@]", text) and not text.startswith(("/", ".", "~")):
        # Not shown: it may be a URL that lost its scheme, credentials and all.
        raise UsageError(f"The stream's URL has no scheme. {_KNOWN}; write ./ before a path with ':' or '@'.")
    try:
        path = str(Path(text).expanduser().absolute())
    except RuntimeError:
        raise UsageError(f"The path {text!r} begins in the home of a user who has none. Write it from / on.") from None
    return Source(FILE, path, path)


def find_open_options(source: Source, transport: str | None = None, ca_file: Path | None = None) -> dict[str, str]:
    """Return FFmpeg's options that bound what opening ``source`` may open: protocols and container formats.

    Both hold for whatever the source refers to as well: segments, keys, redirections. With ``ca_file`` (PEM), a host
    that is reached over TLS must show a certificate in its name that this file vouches for.
    """
    if source.kind == FILE:
        return dict(OPEN_OPTIONS)
    if source.kind == WEBCAM:
        return {"protocol_whitelist": "", "format_whitelist": "v4l2"}
    scheme = source.location.partition(":")[0]
    protocols = _UDP_PROTOCOLS if transport == UDP else _PROTOCOLS[scheme]
    options = {"protocol_whitelist": protocols, "format_whitelist": "rtsp" if source.kind == RTSP else _HTTP_FORMATS}
    if ca_file is not None:
        options |= {"tls_verify": "1", "ca_file": str(ca_file)}
        if scheme == "https":
            # FFmpeg does not check the hosts of a playlist's parts. Measured with 8.1.
            options["format_whitelist"] = options["format_whitelist"].removeprefix("hls,")
    return options


def choose_transport(source: Source, transport: str | None) -> str | None:
    """Return what carries the video: of RTSP ``tcp`` unless ``transport`` says ``udp``; None of other kinds.

    Raises:
        UsageError: the source has no choice of transport.
    """
    if transport not in (None, TCP, UDP):
        raise UsageError(f"The transport is {transport!r}. Expected {TCP} or {UDP}.")
    if source.kind != RTSP:
        if transport is not None:
            raise UsageError(f"A transport can be chosen for rtsp:// URLs, not for {source.url}. Leave it out.")
        return None
    if transport == UDP and source.location.startswith("rtsps:"):
        raise UsageError("rtsps:// carries the video inside its TLS connection. Use tcp, or an rtsp:// URL for udp.")
    return transport or TCP


def _parse_url(scheme: str, rest: str) -> Source:
    kind = _KINDS.get(scheme)
    if kind is None:
        raise UsageError(f"A stream cannot be read from {scheme}://. {_KNOWN}.")
    if re.search(r"\s", rest):
        raise UsageError("The stream's URL holds a space. Write it as %20.")
    user_info, rest = _split_user_info(rest)
    host = _HOST.fullmatch(_find_authority(rest))
    if host is None or not 0 < int((host[1] or "1")[:6]) <= 65_535:
        # Not shown: where the host is wrong, what stands there may be a part of the credentials.
        raise UsageError(
            f"The stream's URL names no host and port that can be read. Expected {scheme}://HOST:PORT/PATH or "
            f"{scheme}://USER:PASSWORD@HOST:PORT/PATH."
        )
    user_info, shown = _encode_user_info(user_info), hide_fields(rest)
    if not user_info:
        return Source(kind, f"{scheme}://{shown}", f"{scheme}://{rest}")
    if len(user_info) > _MAX_USER_INFO[kind]:
        raise UsageError(
            f"The URL's user name and password have {len(user_info)} bytes once %-encoded; over {scheme} FFmpeg sends "
            f"{_MAX_USER_INFO[kind]} at most. Give the camera a shorter password."
        )
    return Source(kind, f"{scheme}://***@{shown}", f"{scheme}://{user_info}@{rest}")


def _split_user_info(rest: str) -> tuple[str, str]:
    """Split what follows ``scheme://`` into the credentials ("" without) and what begins with the host.

    A password may hold '@', ':', '/', '?' and '#' as they are, as long as the URL can be read in one way only.

    Raises:
        UsageError: it can be read in several ways, and a wrong guess would send the password to another host.
    """
    readings = [("", rest)] if _HOST.fullmatch(_find_authority(rest)) else []
    for at in re.finditer("@", rest):
        user_info, after = rest[: at.start()], rest[at.end() :]
        user = user_info.partition(":")[0]
        if not re.search("[/?#]", user) and "@" not in _find_authority(after):
            readings.append((user_info, after))
    if len(readings) > 1:
        raise UsageError(
            "The stream's URL can be read in two ways, because of an '@'. In a user name or password write '@' as %40, "
            "':' as %3A, '/' as %2F, '?' as %3F and '#' as %23; after the host write '@' as %40."
        )
    return readings[0] if readings else ("", "")


def _find_authority(rest: str) -> str:
    return re.split("[/?#]", rest, maxsplit=1)[0]


def _encode_user_info(user_info: str) -> str:
    """Return ``USER:PASSWORD`` %-encoded, "" where both are empty."""
    user, _, password = user_info.partition(":")
    decoded = unquote_to_bytes(user), unquote_to_bytes(password)
    if b":" in decoded[0]:
        raise UsageError("The user name of the stream's URL holds a ':', which no camera can receive (RFC 7617).")
    if re.search(rb"[\x00-\x1f\x7f]", b"".join(decoded)):
        raise UsageError("The credentials of the stream's URL hold control characters. Write them without.")
    # The colon is always there: FFmpeg sends no user name without one.
    encoded = ":".join(quote(part, safe=_USER_INFO_SAFE) for part in decoded)
    return "" if encoded == ":" else encoded
