"""In a real browser, with everything running: an operator adds a camera, sees it live, and stops it."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from browsing import needs_chromium, wait_until_drawn
from dashboard_process import find_port, wait_for_answer
from make_videos import read_pictures
from playwright.sync_api import Page
from rtsp_server import Act, encode_clip, run_camera

from contracts.database import open_database, read_transaction
from contracts.schema import audits, emotions, streams

pytestmark = needs_chromium
PASSWORD = "s3cr3t-passw0rd"


@pytest.fixture
def everything(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """``emotrace up`` with room for one camera; the dashboard's address."""
    port = find_port()
    command = [sys.executable, "-P", "-m", "cli.main", "up", "--capacity", "1", "--parts", "0", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_answer(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_an_operator_adds_a_camera_sees_it_live_and_disables_it(
    everything: str, environment: dict[str, str], page: Page, carphone: Path
) -> None:
    pictures = read_pictures(carphone, limit=40)
    clip = encode_clip(40, 176, 144, picture=lambda index: pictures[index])
    with run_camera(Act(clip, 20.0, auth="Digest", user="operator", password=PASSWORD)) as camera:
        place = urlsplit(camera.url)
        page.goto(f"{everything}/cameras")
        page.get_by_label("Name").fill("Gate")
        page.get_by_label("URL", exact=True).fill(f"rtsp://operator:{PASSWORD}@{place.netloc}{place.path}")
        page.get_by_role("button", name="Add", exact=True).click()
        page.get_by_text("Added Gate").wait_for()
        begin_s = time.monotonic()
        wait_until_drawn(page)
        assert PASSWORD not in page.content()
        page.get_by_role("link", name="Wall").click()
        page.get_by_text("1 of 1").wait_for()
        print(f"live on the wall after {time.monotonic() - begin_s:.1f} s")
        page.wait_for_timeout(3000)  # for rows
        page.get_by_role("link", name="Cameras").click()
        page.get_by_role("combobox", name="Change a camera").click()
        page.get_by_role("option", name="Gate").click()
        page.get_by_role("button", name="Disable").click()
        page.get_by_text("Disabled Gate").wait_for()
        page.get_by_role("link", name="Wall").click()
        page.get_by_text("0 of 0").wait_for()
    engine = open_database(f"sqlite:///{environment['EMOTRACE_DATA_DIR']}/emotrace.db")
    with read_transaction(engine) as connection:
        (stream,) = connection.execute(sa.select(streams)).mappings()
        assert (stream["name"], stream["enabled"], PASSWORD in str(dict(stream))) == ("Gate", False, False)
        assert connection.execute(sa.select(sa.func.count()).select_from(emotions)).scalar_one() > 0
        actions = list(connection.execute(sa.select(audits.c.action).order_by(audits.c.at)).scalars())
    engine.dispose()
    assert actions == ["camera.add", "camera.disable"]
