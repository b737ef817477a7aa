"""Each kind of source is opened as its kind needs, reaches nothing else, and shows its password nowhere."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import av
import pytest
from http_camera import HttpAct, run_http_camera, write_hls
from make_videos import hide_pictures, write_video
from read_camera import Attempt, frames_in_second, watch
from rtsp_server import Act, encode_clip, run_camera
from tls_front import make_certificate, run_tls_front

from contracts.errors import UsageError
from contracts.sources import parse_source
from ingest.camera import CameraReader
from ingest.connection import CameraOptions, ConnectionLost, Reason

CLIP = encode_clip(20)
USER = "operator"


def is_over(attempts: list[Attempt]) -> bool:
    return attempts[-1].disconnected is not None


def has_frames(attempts: list[Attempt]) -> bool:
    return len(attempts[-1].frames) >= 10


def test_motion_jpeg_is_timed_by_its_arrival_and_connected_again_after_its_end() -> None:
    with run_http_camera(HttpAct(fps=20, close_at=15)) as url:
        first, _ = watch(url + "video", frames_in_second)
    assert first.connected is not None and first.connected.facts.codec == "mjpeg"
    assert first.disconnected is not None
    assert first.disconnected.reason in (Reason.END_OF_STREAM, Reason.LOST)
    assert len(first.frames) == 15
    # It carries no times: FFmpeg would call it 25 a second.
    took_s = first.frames[-1].arrived_at - first.frames[0].arrived_at
    assert first.frames[-1].time_s - first.frames[0].time_s == pytest.approx(took_s, abs=0.2)
    assert took_s > 14 / 25 + 0.05


def test_plain_h264_is_timed_by_its_arrival_too() -> None:
    pictures = [b"".join(b"\0\0\0\1" + nal for nal in nals) for _, nals in CLIP]
    with run_http_camera(HttpAct(fps=50, h264=pictures)) as url:
        (attempt,) = watch(url, lambda seen: len(seen[-1].frames) >= 90)
    assert attempt.connected is not None and attempt.connected.facts.container == "h264"
    late = attempt.frames[50:]  # the first ones came while FFmpeg looked what it is
    took_s = late[-1].arrived_at - late[0].arrived_at
    assert late[-1].time_s - late[0].time_s == pytest.approx(took_s, abs=0.2)
    assert took_s < 39 / 25 - 0.3


@pytest.mark.parametrize("act", [HttpAct(is_silent=True), HttpAct(freeze_at=10)], ids=["silent", "freezes"])
def test_an_http_camera_that_says_nothing_times_out(act: HttpAct) -> None:
    with run_http_camera(act) as url:
        (attempt,) = watch(url, is_over, open_timeout_s=1.5, read_timeout_s=1.0)
    assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.TIMEOUT
    assert len(attempt.frames) == (act.freeze_at or 0)


@pytest.mark.parametrize("option", ["timeout", "rw_timeout"])
def test_ffmpegs_own_time_outs_hold_behind_ours(option: str) -> None:
    """Options that FFmpeg does not know are ignored in silence, so each is proved alone."""
    begin_s = time.monotonic()
    with run_http_camera(HttpAct(is_silent=True)) as url, pytest.raises(TimeoutError):
        av.open(url, options={option: "700000"}, timeout=10)
    if option == "timeout":
        with run_camera(Act(is_silent=True)) as camera, pytest.raises(av.error.InvalidDataError):
            av.open(camera.url, format="rtsp", options={"rtsp_transport": "tcp", option: "700000"}, timeout=10)
    assert time.monotonic() - begin_s < 8


def test_hls_is_read_and_its_end_is_a_disconnect(tmp_path: Path, carphone: Path) -> None:
    write_hls(carphone, tmp_path)
    with run_http_camera(HttpAct(folder=tmp_path)) as url:
        first, second = watch(url + "live.m3u8", frames_in_second)
    assert len(first.frames) == 120
    assert first.disconnected is not None and first.disconnected.reason is Reason.END_OF_STREAM
    assert second.frames[0].index == 0


@pytest.mark.parametrize(
    "lines",
    [
        ["#EXTINF:4,", "file://{video}"],
        ["#EXTINF:4,", "{video}"],
        ["#EXTINF:4,", "concat:{video}|{video}"],
        ["#EXTINF:4,", "tcp://127.0.0.1:{port}"],
        ["#EXTINF:4,", "rtsp://127.0.0.1:{port}/live"],
        ['#EXT-X-KEY:METHOD=AES-128,URI="file://{video}"', "#EXTINF:4,", "none.ts"],
        ['#EXT-X-MAP:URI="file://{video}"', "#EXTINF:4,", "none.mp4"],
    ],
    ids=["file", "path", "concat", "tcp", "rtsp", "key", "map"],
)
def test_a_hostile_playlist_reads_no_local_file_and_reaches_nothing_but_http(
    tmp_path: Path, carphone: Path, lines: Sequence[str]
) -> None:
    with run_camera(Act(CLIP)) as other, run_http_camera(HttpAct(folder=tmp_path)) as url:
        port = other.url.split(":")[2].split("/")[0]
        body = "\n".join(["#EXTM3U", "#EXT-X-TARGETDURATION:4", *lines, "#EXT-X-ENDLIST", ""])
        (tmp_path / "evil.m3u8").write_text(body.format(video=carphone, port=port))
        (attempt,) = watch(url + "evil.m3u8", is_over, open_timeout_s=3)
        assert other.num_connections == 0
    assert attempt.connected is None and attempt.frames == []


def test_a_file_behind_http_that_is_no_stream_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("ffconcat version 1.0\nfile 'other.mp4'\n")
    with run_http_camera(HttpAct(folder=tmp_path)) as url:
        (attempt,) = watch(url + "list", is_over)
        (missing,) = watch(url + "none", is_over)
    assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.NOT_VIDEO
    assert missing.disconnected is not None and missing.disconnected.reason is Reason.NOT_FOUND


@pytest.mark.parametrize(("url", "transport"), [("rtsps://me:s3cret@cam/", "udp"), ("http://me:s3cret@cam/", "tcp")])
def test_a_transport_that_a_source_has_not_is_refused_before_it_is_opened(url: str, transport: str) -> None:
    with pytest.raises(UsageError, match=r"carries the video|can be chosen") as raised:
        CameraReader(parse_source(url), CameraOptions(transport=transport))
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("kind", ["https", "rtsps"])
def test_over_tls_a_camera_is_read_and_with_named_certificates_only_one_that_shows_such_a_one(
    kind: str, tmp_path: Path
) -> None:
    own, other = make_certificate(tmp_path / "own"), make_certificate(tmp_path / "other")
    elsewhere = make_certificate(tmp_path / "elsewhere", "127.0.0.2")
    camera = run_http_camera(HttpAct()) if kind == "https" else run_camera(Act(clip=CLIP))
    with camera as plain:
        port = urlsplit(plain if isinstance(plain, str) else plain.url).port
        assert port is not None
        with run_tls_front(port, own) as front:
            url = f"{kind}://127.0.0.1:{front}/"
            for ca_file in (None, own.path):
                (attempt,) = watch(url, has_frames, ca_file=ca_file)
                assert attempt.connected is not None
            (attempt,) = watch(url, is_over, ca_file=other.path)
            assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.UNTRUSTED
            assert str(other.path) in attempt.disconnected.message
        with run_tls_front(port, elsewhere) as front:
            (attempt,) = watch(f"{kind}://127.0.0.1:{front}/", is_over, ca_file=elsewhere.path)
            assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.UNTRUSTED


def test_the_parts_of_a_playlist_are_held_to_the_named_certificates_too(tmp_path: Path, carphone: Path) -> None:
    own, elsewhere = make_certificate(tmp_path / "own"), make_certificate(tmp_path / "elsewhere", "127.0.0.2")
    write_hls(carphone, tmp_path)
    playlist = tmp_path / "live.m3u8"
    with run_http_camera(HttpAct(folder=tmp_path)) as plain:
        port = urlsplit(plain).port
        assert port is not None
        with run_tls_front(port, own) as front, run_tls_front(port, elsewhere) as other:
            lines = playlist.read_text().splitlines()
            away = [line if line.startswith("#") else f"https://127.0.0.1:{other}/{line}" for line in lines]
            playlist.write_text("\n".join(away))
            url = f"https://127.0.0.1:{front}/live.m3u8"
            (attempt,) = watch(url, has_frames)
            (attempt,) = watch(url, is_over, ca_file=own.path)
    assert not attempt.frames


def test_named_certificates_that_are_not_there_are_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="EMOTRACE_CAMERA_CA_FILE"):
        CameraReader(parse_source("rtsps://cam/"), CameraOptions(ca_file=tmp_path / "none.pem"))


def test_a_file_plays_in_real_time_again_and_again_as_one_session(tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    write_video(path, [40 * index for index in range(15)], options={"bf": "2"})
    begin_s = time.monotonic()
    (attempt,) = watch(str(path), lambda attempts: len(attempts[-1].frames) >= 40)
    assert time.monotonic() - begin_s > 39 * 0.04 - 0.2
    times_s = [frame.time_s for frame in attempt.frames]
    assert times_s == pytest.approx([0.04 * index for index in range(40)], abs=0.002)
    assert (attempt.undecodable, attempt.skipped) == ([], [])


def test_a_file_with_a_pause_longer_than_the_read_time_out_plays_on(tmp_path: Path) -> None:
    path = tmp_path / "pause.mp4"
    write_video(path, [40 * index for index in range(10)] + [3000 + 40 * index for index in range(5)])
    (attempt,) = watch(str(path), lambda attempts: len(attempts[-1].frames) >= 15, read_timeout_s=0.2)
    assert attempt.frames[-1].time_s == pytest.approx(3.16, abs=0.01)


def test_pictures_that_are_only_references_cost_no_frame(tmp_path: Path) -> None:
    shown, path = tmp_path / "shown.webm", tmp_path / "hidden.webm"
    write_video(shown, [40 * index for index in range(30)], codec="libvpx", options={"g": "30"})
    hide_pictures(shown, path)
    (attempt,) = watch(str(path), lambda attempts: len(attempts[-1].frames) >= 27)
    assert (len(attempt.frames), attempt.undecodable, attempt.skipped) == (27, [], [])


def test_a_file_that_is_missing_or_no_video_says_so_and_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "later.mp4"
    (missing,) = watch(str(path), is_over)
    assert missing.disconnected is not None and "There is no file" in missing.disconnected.message
    path.write_text("no video at all")
    (text,) = watch(str(path), is_over)
    assert text.disconnected is not None and "cannot be opened as a video" in text.disconnected.message


def test_a_webcam_that_is_not_there_says_so() -> None:
    if Path("/dev/video9").exists():
        pytest.skip("a missing webcam is not at hand")
    (attempt,) = watch("9", is_over)
    assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.NOT_FOUND


@pytest.mark.parametrize("auth", ["Basic", "Digest"])
def test_a_camera_that_asks_for_a_password_gets_it(auth: str) -> None:
    with run_camera(Act(CLIP, auth=auth, user=USER, password="s3/c@r e:t")) as camera:
        (attempt,) = watch(camera.url.replace("//", f"//{USER}:{quote('s3/c@r e:t', safe='')}@"), has_frames)
    assert attempt.disconnected is None


def test_a_wrong_password_is_not_tried_often() -> None:
    """Cameras lock an account that fails quickly."""
    with run_camera(Act(CLIP, auth="Digest", user=USER, password="other")) as camera:
        (attempt,) = watch(camera.url.replace("//", f"//{USER}:wrong@"), is_over, max_backoff_s=300)
    lost = attempt.disconnected
    assert lost is not None and lost.reason is Reason.UNAUTHORIZED and lost.retry_s is not None
    assert lost.retry_s >= 300


def test_no_message_shows_a_password(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.DEBUG)
    av.logging.set_level(av.logging.DEBUG)  # as somebody hunting another problem may leave it
    login = f"{USER}:s3cret!@"
    messages = []
    acts = (Act(is_silent=True), Act(CLIP, has_missing_path=True), Act(CLIP, auth="Basic"), Act(CLIP, close_at=12))
    for act in acts:
        with run_camera(act) as camera:
            seen = watch(camera.url.replace("//", f"//{login}"), is_over, open_timeout_s=1)
        messages.append(str(seen[-1].disconnected))
    for url in (f"rtsp://{login}127.0.0.1:1/", f"http://{login}127.0.0.1:1/", f"rtsp://{login}nowhere.invalid/"):
        messages.append(str(watch(url, is_over, limit_s=40, open_timeout_s=2)[-1].disconnected))
    out, err = capfd.readouterr()
    everything = " ".join([*messages, out, err, caplog.text])
    assert "s3cret" not in everything and USER not in everything


def test_a_loss_told_in_ffmpegs_own_words_shows_no_password() -> None:
    with pytest.raises(av.error.ConnectionRefusedError) as raised:
        av.open(f"http://{USER}:s3cret@127.0.0.1:1/live?token=s3cret")
    assert "s3cret" in str(raised.value)
    lost = ConnectionLost(Reason.LOST, str(raised.value))
    assert "127.0.0.1:1/live" in lost.message == str(lost)
    assert "s3cret" not in lost.message and USER not in lost.message


@pytest.mark.parametrize(
    "act", [Act(is_silent=True), Act(CLIP), Act(CLIP, freeze_at=5)], ids=["open", "read", "frozen"]
)
def test_a_stop_ends_the_reading_soon_whatever_it_waits_for(act: Act) -> None:
    stop = threading.Event()
    with run_camera(act) as camera:
        threading.Timer(1.0, stop.set).start()
        (attempt,) = watch(
            camera.url, is_over, should_stop=stop.is_set, open_timeout_s=30, read_timeout_s=30, limit_s=10
        )
    assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.STOPPED
    assert attempt.disconnected.retry_s is None


def test_a_stop_ends_the_waiting_between_attempts() -> None:
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    options = CameraOptions(min_backoff_s=60)
    begin_s = time.monotonic()
    events = list(CameraReader(parse_source("rtsp://127.0.0.1:1/"), options, stop.is_set))
    assert [type(event).__name__ for event in events] == ["Connecting", "Disconnected"]
    assert time.monotonic() - begin_s < 5
