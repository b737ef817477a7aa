"""``emotrace watch``: one command from a source to its live picture in a browser."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from browsing import keep_picture, needs_chromium, open_browser
from conftest import RunEmotrace
from playwright.sync_api import Error, expect

from cli.watch import name_source
from contracts.database import open_database, read_transaction
from contracts.schema import audits, emotions, streams
from contracts.sources import parse_source


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("0", "watch video0"),
        ("/films/<b>front</b> door.mp4", "watch b door"),
        ("rtsp://user:secret@192.0.2.7:8554/live", "watch 192.0.2.7"),
        ("http://[2001:db8::1]/" + "x" * 300, "watch 2001 db8 1"),
    ],
)
def test_a_source_gets_a_name_that_a_stream_may_have(source: str, name: str) -> None:
    assert name_source(parse_source(source)) == name


def test_a_source_that_is_not_at_hand_is_said_at_once(run_emotrace: RunEmotrace) -> None:
    done = run_emotrace("watch", "no-such-file.mp4", "--no-open")
    assert done.returncode == 2 and "neither a stream, a file nor a webcam" in done.stderr
    assert "Traceback" not in done.stderr


@needs_chromium
def test_one_command_shows_a_source_live_and_leaves_nothing_running(
    environment: dict[str, str], tmp_path: Path, carphone: Path
) -> None:
    command = [sys.executable, "-P", "-m", "cli.main", "watch", str(carphone), "--no-open"]
    variables = {**environment, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=variables, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = next(word for word in line.split() if word.startswith("http://"))
            look_at(address)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    engine = open_database(f"sqlite:///{tmp_path / 'data' / 'emotrace.db'}")
    with read_transaction(engine) as connection:
        (stream,) = connection.execute(sa.select(streams)).mappings().all()
        assert (stream["name"], stream["enabled"], stream["preview"]) == ("watch carphone_pristine", False, False)
        assert connection.execute(sa.select(sa.func.count()).select_from(emotions)).scalar_one() > 10
        actions = set(connection.execute(sa.select(audits.c.action)).scalars())
        assert actions == {"camera.add", "camera.change", "camera.look"}
    engine.dispose()


def look_at(address: str) -> None:
    """Wait until a browser shows the picture with its face's box and label, and new pictures come."""
    with open_browser() as page:
        for _ in range(100):
            try:
                page.goto(address)
                break
            except Error:
                page.wait_for_timeout(300)
        page.locator(".live .box .label", has_text="%").first.wait_for()
        picture = page.locator(".live img")
        first = picture.get_attribute("src")
        assert "Face 1" in str(picture.get_attribute("alt"))
        assert picture.evaluate("picture => picture.naturalWidth") == 176
        expect(picture).not_to_have_attribute("src", str(first), timeout=20_000)
        assert page.locator(".live .card .bar").count() == 7
        keep_picture(page, "live")
