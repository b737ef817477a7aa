"""What a stream may be read from: kinds, credentials told from URLs, and what FFmpeg may open for each kind."""

import base64
import datetime
import functools
import http.server
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote_to_bytes

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, example, given
from hypothesis import strategies as st

from contracts.errors import UsageError
from contracts.recordings import OPEN_OPTIONS
from contracts.settings import hide_credentials
from contracts.sources import Source, choose_transport, find_open_options, parse_source

texts = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=5)


@pytest.mark.parametrize(
    ("text", "kind", "location"),
    [
        ("rtsp://10.0.0.5/live", "rtsp", "rtsp://10.0.0.5/live"),
        (" RTSP://cam.local:8554/a?channel=1&subtype=0 ", "rtsp", "rtsp://cam.local:8554/a?channel=1&subtype=0"),
        ("rtsps://[fe80::1%eth0]:322/x", "rtsp", "rtsps://[fe80::1%eth0]:322/x"),
        ("http://cam_1/video.mjpg", "http", "http://cam_1/video.mjpg"),
        ("https://host/live/index.m3u8?a=1#b", "http", "https://host/live/index.m3u8?a=1#b"),
        ("http://host/@channel/live", "http", "http://host/@channel/live"),
        ("0", "webcam", "/dev/video0"),
        ("/dev/video12", "webcam", "/dev/video12"),
        ("/dev/v4l/by-id/usb-Cam_1:0-index0", "webcam", "/dev/v4l/by-id/usb-Cam_1:0-index0"),
        ("/videos/a b@c:d.mp4", "file", "/videos/a b@c:d.mp4"),
        ("clip.mp4", "file", str(Path.cwd() / "clip.mp4")),
        ("./10:30.mp4", "file", str(Path.cwd() / "10:30.mp4")),
        ("~/clip.mp4", "file", str(Path.home() / "clip.mp4")),
    ],
)
def test_each_kind_is_told_from_what_operators_write(text: str, kind: str, location: str) -> None:
    source = parse_source(text)
    assert source == Source(kind, location, location) and not source.has_credentials


@pytest.mark.parametrize(
    ("text", "shown", "location"),
    [
        ("rtsp://olga:hush@h/a", "rtsp://***@h/a", "rtsp://olga:hush@h/a"),
        ("rtsp://olga:p@w@h:1/a", "rtsp://***@h:1/a", "rtsp://olga:p%40w@h:1/a"),
        ("rtsp://olga:p:w/@h/a", "rtsp://***@h/a", "rtsp://olga:p%3Aw%2F@h/a"),
        ("rtsp://olga:p/w?x#y@h/a", "rtsp://***@h/a", "rtsp://olga:p%2Fw%3Fx%23y@h/a"),
        ("rtsp://olga:p%40%2Fw@h/a", "rtsp://***@h/a", "rtsp://olga:p%40%2Fw@h/a"),
        ("rtsp://olga:100%@h/a", "rtsp://***@h/a", "rtsp://olga:100%25@h/a"),
        ("rtsp://olga:%FFpä@h/a", "rtsp://***@h/a", "rtsp://olga:%FFp%C3%A4@h/a"),
        ("rtsp://olga@x.org:hush@h/a", "rtsp://***@h/a", "rtsp://olga%40x.org:hush@h/a"),
        ("rtsp://olga:hush@[::1]:554/a", "rtsp://***@[::1]:554/a", "rtsp://olga:hush@[::1]:554/a"),
        ("rtsp://olga@h/a", "rtsp://***@h/a", "rtsp://olga:@h/a"),
        ("rtsp://:hush@h/a", "rtsp://***@h/a", "rtsp://:hush@h/a"),
        ("http://h/v?user=olga&password=hush&x=1", "http://h/v?user=***&password=***&x=1", None),
        ("http://h/v?usr=olga&pwd=hush';)&x=1", "http://h/v?usr=***&pwd=***&x=1", None),
        ("http://h/v?x=1&token=p@w", "http://h/v?x=1&token=***", None),
        ("http://h/v?src=rtsp%3A%2F%2Fme:hush%40cam", "http://h/v?src=***", None),
        ("rtsp://h/user=me_password=pw_channel=1.sdp?x", "rtsp://h/user=***", None),
        ("rtsp://olga:hush@h/v?api_key=k", "rtsp://***@h/v?api_key=***", None),
    ],
)
def test_credentials_are_hidden_where_they_are_shown_and_there_where_it_is_opened(
    text: str, shown: str, location: str | None
) -> None:
    source = parse_source(text)
    assert (source.url, source.location, source.has_credentials) == (shown, location or text, True)
    assert "hush" not in repr(source) and "olga" not in repr(source)
    assert parse_source(source.location) == source


@pytest.mark.parametrize("text", ["rtsp://@h/a", "rtsp://:@h/a"])
def test_empty_credentials_are_none(text: str) -> None:
    assert parse_source(text) == Source("rtsp", "rtsp://h/a", "rtsp://h/a")


@pytest.mark.parametrize("scheme", ["rtsp", "https"])
@given(user=texts, password=texts)
@example(user="admin", password="p@s:s/w?r#d%41&+ é'***")
def test_encoded_credentials_come_back_as_they_were(scheme: str, user: str, password: str) -> None:
    assume(":" not in user and (user or password))
    source = parse_source(f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@host:88/live")
    assert source.url == f"{scheme}://***@host:88/live"
    user_info = source.location.removeprefix(f"{scheme}://").removesuffix("@host:88/live")
    assert [unquote_to_bytes(part).decode() for part in user_info.split(":")] == [user, password]
    assert parse_source(source.location) == source


@given(password=texts.filter(lambda text: not re.search(r"\s", text)))
@example(password="p@ss/word")
@example(password="a://b")
@example(password="?password=a@b")
def test_a_password_written_as_it_is_is_understood_or_refused_and_never_shown(password: str) -> None:
    text = f"rtsp://admin:MARK{password}MARK@10.0.0.5:554/live"
    try:
        source = parse_source(text)
    except UsageError as error:
        assert "MARK" not in str(error) and "admin" not in str(error)
        return
    assert source.url == "rtsp://***@10.0.0.5:554/live"
    encoded = source.location.removeprefix("rtsp://admin:").removesuffix("@10.0.0.5:554/live")
    assert unquote_to_bytes(encoded) == unquote_to_bytes(f"MARK{password}MARK")
    assert "MARK" not in repr(source) and "MARK" not in hide_credentials(f"'{source.location}': failed")


@given(password=texts.filter(lambda text: not re.search(r"[\s&]", text)))
def test_a_password_in_the_query_is_kept_as_it_is_and_never_shown(password: str) -> None:
    text = f"http://host/video?channel=1&password=MARK{password}MARK"
    assume("***" not in text)
    source = parse_source(text)
    assert source.location == text and source.url == "http://host/video?channel=1&password=***"
    assert "MARK" not in repr(source) and "MARK" not in hide_credentials(f"'{text}': failed")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("rtmp://admin:secret@h/a", r"cannot be read from rtmp://\. Streams are rtsp://.*webcams"),
        ("file:///etc/passwd", "cannot be read from file://.* and paths of files"),
        ("srt://h:1", "cannot be read from srt://"),
        ("concat:/etc/passwd|/etc/hosts", "has no scheme"),
        ("rtsp:/h/a", "has no scheme"),
        ("admin:secret@10.0.0.5/live", "has no scheme"),
        ("10.0.0.5:554/live", "has no scheme.*write ./ before a path"),
        ("rtsp://", "names no host"),
        ("rtsp:///a", "names no host"),
        ("rtsp://admin:secret@/a", "names no host"),
        ("rtsp://admin:secret/a", "names no host"),
        ("rtsp://admin:secret@h:99999/a", "names no host"),
        ("rtsp://admin:secret@h:0/a", "names no host"),
        ("rtsp://h:1234567/a", "names no host"),
        ("rtsp://admin:sec@ret/secret@h/a", "can be read in two ways.*%40"),
        ("rtsp://admin:55/secret@h/a", "can be read in two ways"),
        ("rtsp://admin:secret@h/a@b", "can be read in two ways"),
        ("http://h:80/a@b", "after the host write '@' as %40"),
        ("rtsp://admin:secret@h/a b", "space.*%20"),
        ("rtsp://***@h/a", "not shown.*Write the credentials out"),
        ("rtsp://admin:secret@h/a\r\nX: y", "control characters"),
        ("rtsp://admin:secret%0d%0a@h/a", "control characters"),
        ("rtsp://ad%3Amin:secret@h/a", "user name.*':'"),
        ("/videos/\udcff.mp4", "bytes that are no text"),
        ("~nobody-has-this-name/a.mp4", "home of a user who has none"),
        (f"rtsp://admin:{'secret' * 21}@h/a", "132 bytes once %-encoded; over rtsp FFmpeg sends 127 at most"),
    ],
)
def test_what_cannot_be_a_source_is_refused_with_advice_and_without_the_password(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        parse_source(text)
    assert "sec" not in str(raised.value) and "ret" not in str(raised.value) and "admin" not in str(raised.value)


def test_only_rtsp_has_a_choice_of_transport() -> None:
    rtsp, rtsps, web = (parse_source(f"{scheme}://me:secret@h/a") for scheme in ("rtsp", "rtsps", "http"))
    assert [choose_transport(rtsp, given) for given in (None, "tcp", "udp")] == ["tcp", "tcp", "udp"]
    assert choose_transport(rtsps, None) == "tcp" and choose_transport(web, None) is None
    for source, given_transport, says in (
        (rtsps, "udp", "inside its TLS"),
        (web, "tcp", r"not for http://\*\*\*@h/a"),
        (rtsp, "sctp", "Expected tcp or udp"),
    ):
        with pytest.raises(UsageError, match=says):
            choose_transport(source, given_transport)


# What FFmpeg itself does with these: a real one against servers on this machine


def open_as_told(url: str, transport: str | None = None) -> str:
    """Open a URL under its options and return the format's name."""
    source = parse_source(url)
    with av.open(source.location, options=find_open_options(source, transport), timeout=5) as container:
        next(container.decode(video=0))
        return str(container.format.name)


def refuse_as_told(url: str) -> str:
    """Open a URL that must not be opened and return what FFmpeg says of it."""
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as logs, pytest.raises(av.error.FFmpegError):
            open_as_told(url)
    finally:
        av.logging.set_skip_repeated(True)
        av.logging.set_level(None)
    return "".join(message for _, _, message in logs)


def read_head(requests: BinaryIO) -> dict[str, str]:
    """Return a request's headers, and its method under "method"; nothing at the connection's end."""
    lines = [line.decode().strip() for line in iter(requests.readline, b"\r\n") if line]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return {"method": lines[0].split()[0], **headers} if lines else {}


@contextmanager
def run_door() -> Iterator[tuple[int, list[str]]]:
    """An RTSP server that asks for a password and then has no such stream; yields its port and what it was told."""
    told: list[str] = []

    def serve() -> None:
        server.settimeout(10)
        with server.accept()[0] as connection, connection.makefile("rb") as requests:
            while not told:
                request = read_head(requests)
                answer = "200 OK" if request["method"] == "OPTIONS" else "401 Unauthorized"
                if "authorization" in request:
                    told.append(base64.b64decode(request["authorization"].split()[1]).decode())
                    answer = "404 Not Found"
                wants = 'WWW-Authenticate: Basic realm="door"'
                connection.sendall(f"RTSP/1.0 {answer}\r\nCSeq: {request['cseq']}\r\n{wants}\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], told
        thread.join(10)


@pytest.mark.parametrize(
    ("user_info", "credentials"),
    [
        ("me:p/s?r#d@s:w", "me:p/s?r#d@s:w"),
        ("me@x.org:100% é+&'", "me@x.org:100% é+&'"),
        ("me", "me:"),
        (f"me:{'x' * 124}", f"me:{'x' * 124}"),
    ],
)
def test_a_camera_is_told_exactly_the_credentials_that_were_written(user_info: str, credentials: str) -> None:
    with run_door() as (port, told), pytest.raises(av.error.HTTPNotFoundError):
        open_as_told(f"rtsp://{user_info.replace(' ', '%20')}@127.0.0.1:{port}/live")
    assert told == [credentials]


PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n{key}#EXTINF:9,\n{segment}\n#EXT-X-ENDLIST\n"


class Site(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; ``/to/URL`` leads on to URL."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path[4:])
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A folder with a short video, and the URLs under which it is served, in plain text and over TLS."""
    folder = tmp_path_factory.mktemp("site")
    with av.open(str(folder / "a.ts"), "w", format="mpegts") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    with run_site(folder, None) as plain, run_site(folder, make_tls(folder)) as tls:
        yield folder, f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"


def make_tls(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate that it signed itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder.with_suffix(".pem")
    path.write_bytes(secret + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@contextmanager
def run_site(folder: Path, tls: ssl.SSLContext | None) -> Iterator[int]:
    handler = functools.partial(Site, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up when they have enough
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


def test_a_playlist_of_its_own_segments_is_read_in_plain_text_and_over_tls(site: tuple[Path, str, str]) -> None:
    folder, plain, tls = site
    (folder / "ok.m3u8").write_text(PLAYLIST.format(key="", segment="a.ts"))
    assert open_as_told(f"{plain}/ok.m3u8") == open_as_told(f"{tls}/ok.m3u8") == "hls"
    assert open_as_told(f"{plain}/to/{tls}/a.ts") == "mpegts"


@pytest.mark.parametrize(
    ("segment", "says"),
    [
        ("file://{folder}/a.ts", "Protocol 'file' not on whitelist"),
        ("{folder}/a.ts", "Error when loading first segment"),
        ("concat:{folder}/a.ts", "Error when loading first segment"),
        ("crypto+file://{folder}/a.ts", "Error when loading first segment"),
        ("rtsp://127.0.0.1:1/a.ts", "Error when loading first segment"),
    ],
)
def test_a_playlist_cannot_have_a_local_file_read(segment: str, says: str, site: tuple[Path, str, str]) -> None:
    folder, plain, tls = site
    (folder / "bad.m3u8").write_text(PLAYLIST.format(key="", segment=segment.format(folder=folder)))
    for url in (plain, tls):
        assert says in refuse_as_told(f"{url}/bad.m3u8")


def test_a_playlists_key_and_a_redirection_cannot_be_a_local_file(site: tuple[Path, str, str]) -> None:
    folder, plain, tls = site
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="file://{folder}/a.ts"\n'
    (folder / "key.m3u8").write_text(PLAYLIST.format(key=key, segment="a.ts"))
    for url in (f"{plain}/key.m3u8", f"{plain}/to/file://{folder}/a.ts", f"{tls}/to/file://{folder}/a.ts"):
        assert "Protocol 'file' not on whitelist" in refuse_as_told(url)


@pytest.mark.parametrize(
    "content",
    [
        "ffconcat version 1.0\nfile {folder}/a.ts\n",
        "v=0\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5000 RTP/AVP 33\n",
    ],
)
def test_formats_that_name_other_inputs_are_refused(content: str, site: tuple[Path, str, str]) -> None:
    folder, plain, _ = site
    (folder / "other").write_text(content.format(folder=folder))
    assert "Format not on whitelist" in refuse_as_told(f"{plain}/other")


def test_tls_never_leads_back_to_plain_text(site: tuple[Path, str, str]) -> None:
    _, plain, tls = site
    assert "Protocol 'http' not on whitelist" in refuse_as_told(f"{tls}/to/{plain}/a.ts")


def test_a_file_is_opened_as_recordings_are_and_a_webcam_opens_nothing_else() -> None:
    assert find_open_options(parse_source("/videos/a.mp4")) == OPEN_OPTIONS
    options = find_open_options(parse_source("0"))
    assert options == {"protocol_whitelist": "", "format_whitelist": "v4l2"}


def test_rtsp_opens_udp_only_where_it_was_asked_for() -> None:
    options = {
        (scheme, transport): find_open_options(parse_source(f"{scheme}://h/a"), transport)["protocol_whitelist"]
        for scheme, transport in (("rtsp", "tcp"), ("rtsp", "udp"), ("rtsps", "tcp"))
    }
    assert options == {("rtsp", "tcp"): "tcp", ("rtsp", "udp"): "rtp,udp,tcp", ("rtsps", "tcp"): "tls,tcp"}
