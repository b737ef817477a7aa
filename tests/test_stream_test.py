"""``emotrace stream test``: what a camera gives, in a few lines, and its password in none of them."""

import json
from pathlib import Path

import cv2
from conftest import RunEmotrace
from make_videos import read_pictures
from rtsp_server import Act, encode_clip, run_camera


def test_a_camera_with_a_face_is_described_without_its_password(
    run_emotrace: RunEmotrace, tmp_path: Path, carphone: Path
) -> None:
    pictures = read_pictures(carphone, limit=25)
    clip = encode_clip(25, 176, 144, gop=5, picture=lambda index: pictures[index])
    with run_camera(Act(clip, fps=25, auth="Digest", user="operator", password="s3cret")) as camera:
        url = camera.url.replace("//", "//operator:s3cret@")
        done = run_emotrace("stream", "test", url, "--seconds", 1.5, "--snapshot", tmp_path / "seen.png")
        told = run_emotrace("stream", "test", url, "--seconds", 1.5, "--json")
    assert done.returncode == 0, done.stderr
    assert "h264, 176×144" in done.stdout and "at most 1 at once" in done.stdout
    findings = json.loads(told.stdout)
    assert abs(findings["measured_fps"] - 25) < 1
    assert findings["most_faces"] == 1 and findings["first_frame_s"] > 0
    assert findings["source"] == camera.url.replace("//", "//***@")
    everything = done.stdout + done.stderr + told.stdout + told.stderr
    assert "s3cret" not in everything and "operator" not in everything
    snapshot = cv2.imread(str(tmp_path / "seen.png"))
    assert snapshot is not None and snapshot.shape == (144, 176, 3)


def test_nothing_is_saved_unless_asked(run_emotrace: RunEmotrace, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    with run_camera(Act(encode_clip(10), close_at=30)) as camera:
        done = run_emotrace("stream", "test", camera.url)
    assert done.returncode == 0, done.stderr
    assert "ended early  the camera ended the stream" in done.stdout
    assert set(tmp_path.rglob("*")) == before


def test_a_camera_that_gives_nothing_says_why_in_one_line(run_emotrace: RunEmotrace) -> None:
    with run_camera(Act(encode_clip(10), auth="Basic", user="operator", password="other")) as camera:
        refused = run_emotrace("stream", "test", camera.url.replace("//", "//operator:s3cret@"))
    silent = run_emotrace("stream", "test", "rtsp://operator:s3c%2Fret@127.0.0.1:1/a?token=s3cret")
    scheme = run_emotrace("stream", "test", "gopher://operator:s3cret@127.0.0.1/")
    assert (refused.returncode, silent.returncode, scheme.returncode) == (3, 3, 2)
    assert "access was refused" in refused.stderr
    assert "the connection was refused" in silent.stderr
    assert "cannot be read from gopher://" in scheme.stderr
    for done, num_lines in ((refused, 2), (silent, 2), (scheme, 1)):
        assert len(done.stderr.splitlines()) == num_lines and done.stdout == ""
        assert num_lines == 1 or "shell's history" in done.stderr
        assert "s3c" not in done.stderr and "operator" not in done.stderr


def test_a_file_is_watched_as_a_camera_is(run_emotrace: RunEmotrace, carphone: Path) -> None:
    done = run_emotrace("stream", "test", carphone, "--seconds", 0.5)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{carphone} gives pictures\n") and done.stderr == ""
    refused = run_emotrace("stream", "test", carphone, "--transport", "udp")
    assert refused.returncode == 2 and "can be chosen for rtsp:// URLs" in refused.stderr
