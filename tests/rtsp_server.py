"""A camera for tests that misbehaves on demand: RTSP 1.0 (RFC 2326) with H.264 over RTP (RFC 6184), in pure Python.

Each connection plays the next ``Act`` of a script; the last act is repeated. Media go through the RTSP connection
(interleaved) or as UDP, as the client asks.
"""

import base64
import hashlib
import random
import select
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from make_videos import draw_pattern
from numpy.typing import NDArray

CLOCK_HZ = 90_000  # RFC 6184, section 8.2.1
_MAX_PAYLOAD = 1200
_NONCE = "5d1f"
_REALM = "camera"
AccessUnit = tuple[bool, list[bytes]]  # whether it is a keyframe, and its NAL units without start codes


def encode_clip(
    num_frames: int = 20,
    width: int = 160,
    height: int = 120,
    gop: int = 10,
    picture: Callable[[int], NDArray[np.uint8]] | None = None,
    preset: str = "ultrafast",
    fps: int = 25,
) -> list[AccessUnit]:
    """Return pictures as H.264 access units; the parameter sets stand before each keyframe."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps)
    encoder.options = {"tune": "zerolatency", "preset": preset, "g": str(gop), "sc_threshold": "0"}
    encoder.thread_count = 1
    packets = []
    for index in range(num_frames):
        pixels = draw_pattern(index, width, height) if picture is None else picture(index)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts = index
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return [(packet.is_keyframe, _split_nals(bytes(packet))) for packet in packets]


def _split_nals(stream: bytes) -> list[bytes]:
    parts = stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [part for part in parts if part]


@dataclass(frozen=True)
class Act:
    """What the camera does on one connection. Frame numbers count the frames that this connection would be sent."""

    clip: Sequence[AccessUnit] = ()
    fps: float = 100.0
    first: int = 0  # where in the clip it begins
    is_silent: bool = False  # accepts, and never answers
    answer_delay_s: float = 0.0  # before it answers DESCRIBE
    media_delay_s: float = 0.0  # before the first frame
    has_media: bool = True
    freeze_at: int | None = None  # sends no more from this frame on, and stays connected
    close_at: int | None = None
    lose: frozenset[int] = frozenset()  # frames whose packets never arrive
    thin: frozenset[int] = frozenset()  # frames of which only the second packet never arrives
    damage: frozenset[int] = frozenset()  # frames whose bytes are garbled
    next_clip: Sequence[AccessUnit] = ()
    change_at: int | None = None  # frame from which ``next_clip`` plays
    first_ticks: int = 1000  # RTP timestamp of the first frame
    jump_at: int | None = None
    jump_s: float = 0.0
    has_missing_path: bool = False  # answers DESCRIBE with 404
    auth: str | None = None  # "Basic" or "Digest"
    user: str = ""
    password: str = ""

    def list_frames(self) -> Iterator[tuple[list[bytes], int, int]]:
        """Yield (NAL units, timestamp, number) of each frame, without end, the clip going round."""
        clip, start = self.clip, self.first
        ticks, number = self.first_ticks, 0
        while True:
            if number == self.change_at:
                clip, start = self.next_clip, -number
            if number == self.jump_at:
                ticks += round(self.jump_s * CLOCK_HZ)
            _, nals = clip[(number + start) % len(clip)]
            yield nals, ticks, number
            ticks += round(CLOCK_HZ / self.fps)
            number += 1


@dataclass
class ChaosCamera:
    """A running server: where it is, and what it saw."""

    url: str
    script: Sequence[Act]
    num_connections: int = 0
    num_open: int = 0
    num_sent: list[int] = field(default_factory=list)  # frames sent, by connection
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def run_camera(*script: Act, port: int = 0) -> Iterator[ChaosCamera]:
    """Run a camera on loopback that plays ``script``; a clip is made for the acts that need one."""
    server = _Server(("127.0.0.1", port), _Connection)
    camera = ChaosCamera(f"rtsp://127.0.0.1:{server.server_address[1]}/live", script)
    server.camera = camera
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        camera.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    camera: ChaosCamera

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


class _Connection(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        camera = self.server.camera
        number, camera.num_connections = camera.num_connections, camera.num_connections + 1
        camera.num_sent.append(0)
        camera.num_open += 1
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._datagrams: tuple[socket.socket, tuple[str, int]] | None = None
        self._sequence = random.randrange(1 << 16)
        try:
            with suppress(ConnectionError, EOFError):
                self._play(camera.script[min(number, len(camera.script) - 1)], number)
        finally:
            camera.num_open -= 1
            if self._datagrams is not None:
                self._datagrams[0].close()

    def _play(self, act: Act, number: int) -> None:
        camera = self.server.camera
        if act.is_silent:
            self._stay_connected()
            return
        while self._answer(act) != "PLAY":
            pass
        camera.stop.wait(act.media_delay_s)
        if not act.has_media:
            self._stay_connected()
            return
        begin = time.monotonic()
        for nals, ticks, index in act.list_frames():
            if index == act.close_at:
                return
            if index == act.freeze_at:
                self._stay_connected()
                return
            # The pace of a camera; requests such as TEARDOWN are answered in between.
            while (left_s := begin + index / act.fps - time.monotonic()) > 0:
                if select.select([self.request], [], [], min(left_s, 0.1))[0] and self._answer(act) == "TEARDOWN":
                    return
                if camera.stop.is_set():
                    return
            if index in act.damage:
                nals = [_garble(nal, index) for nal in nals]
            lost = range(1000) if index in act.lose else range(1, 2) if index in act.thin else range(0)
            self._send_frame(nals, ticks, lost)
            camera.num_sent[number] += 1

    def _stay_connected(self) -> None:
        while not self.server.camera.stop.is_set():
            if select.select([self.request], [], [], 0.1)[0] and not self.request.recv(65536):
                return

    def _answer(self, act: Act) -> str:
        """Read one request, answer it, and return its method."""
        method, url, headers = self._read_request()
        extra, body, status = [], b"", "200 OK"
        if act.auth is not None and method != "OPTIONS" and not _is_authorized(act, method, headers):
            status = "401 Unauthorized"
            nonce = f', nonce="{_NONCE}"' if act.auth == "Digest" else ""
            extra = [f'WWW-Authenticate: {act.auth} realm="{_REALM}"{nonce}']
            method = "refused"
        elif act.has_missing_path and method == "DESCRIBE":
            status = "404 Not Found"
        elif method == "DESCRIBE":
            self.server.camera.stop.wait(act.answer_delay_s)
            body = _describe(act.clip)
            extra = ["Content-Type: application/sdp", f"Content-Base: {url}/"]
        elif method == "SETUP":
            extra = [f"Transport: {self._set_up(headers['transport'])}", "Session: 1;timeout=60"]
        elif method == "OPTIONS":
            extra = ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"]
        else:
            extra = ["Session: 1"]
        lines = [f"RTSP/1.0 {status}", f"CSeq: {headers.get('cseq', '0')}", *extra, f"Content-Length: {len(body)}"]
        self.request.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return method

    def _set_up(self, transport: str) -> str:
        if "TCP" in transport:
            return "RTP/AVP/TCP;unicast;interleaved=0-1"
        ports = transport.split("client_port=")[1].split(";")[0]
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind(("127.0.0.1", 0))
        self._datagrams = (sender, (self.client_address[0], int(ports.split("-")[0])))
        port = sender.getsockname()[1]
        return f"RTP/AVP;unicast;client_port={ports};server_port={port}-{port + 1}"

    def _read_request(self) -> tuple[str, str, dict[str, str]]:
        while b"\r\n\r\n" not in self._received:
            if self._received[:1] == b"$" and len(self._received) >= 4:  # the client's RTCP
                size = 4 + struct.unpack(">H", self._received[2:4])[0]
                if len(self._received) >= size:
                    self._received = self._received[size:]
                    continue
            if self.server.camera.stop.is_set():
                raise EOFError
            if select.select([self.request], [], [], 0.1)[0]:
                chunk = self.request.recv(65536)
                if not chunk:
                    raise EOFError
                self._received += chunk
        head, self._received = self._received.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().split("\r\n")
        method, url, _ = first.split(" ")
        pairs = (line.split(":", 1) for line in lines)
        return method, url, {name.lower(): value.strip() for name, value in pairs}

    def _send_frame(self, nals: list[bytes], ticks: int, lost: range) -> None:
        payloads = [payload for nal in nals for payload in _split_payload(nal)]
        for position, payload in enumerate(payloads):
            is_last = position == len(payloads) - 1
            header = struct.pack(">BBHII", 0x80, 96 | is_last << 7, self._sequence, ticks & 0xFFFFFFFF, 1)
            self._sequence = (self._sequence + 1) & 0xFFFF
            if position in lost:
                continue
            if self._datagrams is not None:
                self._datagrams[0].sendto(header + payload, self._datagrams[1])
            else:
                self.request.sendall(struct.pack(">BBH", 0x24, 0, 12 + len(payload)) + header + payload)


def _split_payload(nal: bytes) -> list[bytes]:
    """Return a NAL unit as one RTP payload or as fragments (FU-A, RFC 6184, section 5.8)."""
    if len(nal) <= _MAX_PAYLOAD:
        return [nal]
    pieces = [nal[start : start + _MAX_PAYLOAD] for start in range(1, len(nal), _MAX_PAYLOAD)]
    indicator = nal[0] & 0xE0 | 28
    return [
        bytes([indicator, (position == 0) << 7 | (position == len(pieces) - 1) << 6 | nal[0] & 0x1F]) + piece
        for position, piece in enumerate(pieces)
    ]


def _garble(nal: bytes, seed: int) -> bytes:
    """Return a slice with noise behind its header."""
    if nal[0] & 0x1F not in (1, 5):
        return nal
    return nal[:8] + random.Random(seed).randbytes(len(nal) - 8)


def _describe(clip: Sequence[AccessUnit]) -> bytes:
    sets = next(([nal for nal in nals if nal[0] & 0x1F in (7, 8)] for is_key, nals in clip if is_key), [])
    sprop = ",".join(base64.b64encode(nal).decode() for nal in sets)
    lines = [
        "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=camera", "c=IN IP4 0.0.0.0", "t=0 0", "a=control:*",
        "m=video 0 RTP/AVP 96", f"a=rtpmap:96 H264/{CLOCK_HZ}",
        f"a=fmtp:96 packetization-mode=1;sprop-parameter-sets={sprop}", "a=control:track0", "",
    ]  # fmt: skip
    return "\r\n".join(lines).encode()


def _is_authorized(act: Act, method: str, headers: dict[str, str]) -> bool:
    given = headers.get("authorization", "")
    if act.auth == "Basic":
        return given == "Basic " + base64.b64encode(f"{act.user}:{act.password}".encode()).decode()
    fields = dict(part.strip().split("=", 1) for part in given.removeprefix("Digest ").split(",") if "=" in part)
    uri = fields.get("uri", "").strip('"')
    response = _md5(f"{_md5(f'{act.user}:{_REALM}:{act.password}')}:{_NONCE}:{_md5(f'{method}:{uri}')}")
    return fields.get("response", "").strip('"') == response


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()
