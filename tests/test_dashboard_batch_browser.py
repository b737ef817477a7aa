"""In a real browser, with a real ingest worker: a recording is dropped, read, and opened with its video."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from browsing import CHART, needs_chromium
from playwright.sync_api import Page
from timeline_rows import add_track, make_probabilities, make_session

from contracts.database import migrate, open_database

pytestmark = needs_chromium


@pytest.fixture
def ingest(environment: dict[str, str], data_url: str, tmp_path: Path) -> Iterator[None]:
    """An ingest host of one camera, one part and the worker for checks."""
    command = [sys.executable, "-P", "-m", "cli.main", "ingest", "--capacity", "1", "--parts", "1"]
    variables = {**environment, "EMOTRACE_DATABASE_URL": data_url}
    with subprocess.Popen(command, env=variables, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def test_a_recording_is_dropped_read_and_opened_with_its_video(
    dashboard: str, data_url: str, ingest: None, page: Page, carphone: Path, tmp_path: Path
) -> None:
    engine = open_database(data_url)
    migrate(engine)
    with engine.begin() as connection:
        session = make_session(connection, name="another.mp4")
        ticks = pd.RangeIndex(0, 2000, 100).to_numpy()
        add_track(connection, session["session_id"], 1, ticks, make_probabilities(len(ticks)))
    engine.dispose()
    program = tmp_path / "<b>holiday<b>.mp4"
    program.write_bytes(Path(sys.executable).resolve().read_bytes()[:200_000])
    empty = tmp_path / "empty.mp4"
    empty.touch()
    page.goto(dashboard)
    page.wait_for_selector(CHART)
    page.get_by_role("link", name="Batch").click()
    page.locator(".zone input").set_input_files([program, empty, carphone])
    page.get_by_text("The file is empty (0 bytes)").wait_for()
    page.get_by_text("cannot be opened as a video").wait_for()
    page.get_by_text("its last faces wait for inference").wait_for()  # no inference worker runs here
    page.get_by_role("link", name="Open in Timeline").click()
    page.wait_for_function("document.querySelector('.emotrace-cursor') !== null")
    assert page.get_by_role("combobox", name="Source").first.input_value() == "carphone_pristine.mp4 (recording)"
    page.wait_for_function("document.querySelector('h1').innerText === 'Timeline'")
    video = page.locator("video")
    video.evaluate("video => video.readyState || new Promise(done => { video.onloadeddata = done })")
    assert video.evaluate("video => video.videoHeight") == 144
