"""A real RTSP server: GStreamer's, with sound beside the pictures, killed and started again."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from read_camera import Attempt, watch

from ingest.connection import Reason

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).parent / "gstreamer_camera.py"


def is_installed() -> bool:
    program = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst, GstRtspServer;"
    program += "Gst.init(None); assert Gst.ElementFactory.find('x264enc')"
    return (
        Path(SYSTEM_PYTHON).exists()
        and subprocess.run([SYSTEM_PYTHON, "-c", program], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if not is_installed():
        pytest.skip("GStreamer's RTSP server is not at hand")


@contextmanager
def run_gstreamer(port: int = 0) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    with subprocess.Popen([SYSTEM_PYTHON, str(SERVER), str(port)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_killed_server_is_noticed_and_read_again_once_it_is_back(transport: str) -> None:
    with run_gstreamer() as (port, process):

        def has_enough(attempts: list[Attempt]) -> bool:
            if len(attempts[0].frames) >= 30:
                process.kill()
            return attempts[0].disconnected is not None

        url = f"rtsp://127.0.0.1:{port}/live"
        (first,) = watch(url, has_enough, transport=transport, open_timeout_s=10)
    assert first.connected is not None and first.connected.facts.codec == "h264"
    assert first.disconnected is not None
    assert first.disconnected.reason in (Reason.END_OF_STREAM, Reason.TIMEOUT, Reason.LOST)
    assert len(first.frames) >= 30
    times_s = [frame.time_s for frame in first.frames[5:25]]
    assert times_s[-1] - times_s[0] == pytest.approx(19 / 25, abs=0.1)
    with run_gstreamer(port):
        attempts = watch(url, lambda seen: len(seen[-1].frames) >= 5, transport=transport, open_timeout_s=10)
    assert attempts[-1].frames
