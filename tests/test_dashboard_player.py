"""The player beside a timeline: what is served to it, to whom, and that it and the chart show the same moment."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
import streamlit as st
from browsing import CHART, needs_chromium
from conftest import RunEmotrace
from dashboard_pages import list_texts, open_app
from make_videos import write_video
from playwright.sync_api import Page, expect
from timeline_rows import add_track, make_probabilities, make_session
from web_server import ask, run_server

from contracts import store
from contracts.database import open_database, read_transaction
from contracts.emotions import EMOTIONS
from contracts.errors import SourceError
from contracts.playback import find_playable
from contracts.schema import emotions
from dashboard.grants import GRANTS, Grants
from dashboard.identity import VIEWER, Visitor
from dashboard.queries.recording_queries import WATCH
from dashboard.web.recording_routes import ROUTES

FACTS = {"container": "mov,mp4,m4a,3gp,3g2,mj2", "codec": "h264", "width": 176, "height": 144, "duration_s": 4.0}
SOMEBODY = Visitor("somebody", VIEWER)


def record(engine: sa.Engine, path: Path, facts: dict[str, Any] = FACTS) -> str:
    """Store a session of the file with a face every 0.1 s, and return its id."""
    with engine.begin() as connection:
        session = make_session(connection, name=path.name, facts=facts)
        update = sa.text("UPDATE sources SET url = :url WHERE source_id = :source_id")
        connection.execute(update, {"url": str(path), "source_id": session["source_id"]})
        add_track(connection, session["session_id"], 1, np.arange(0, 4000, 100), make_probabilities(40))
    return str(session["session_id"])


@pytest.fixture
def address(sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("EMOTRACE_DATABASE_URL", str(sqlite_engine.url))
    st.cache_resource.clear()
    with run_server(ROUTES, SOMEBODY) as address:
        yield address


def make_link(address: str, session_id: str) -> str:
    return f"{address}/recordings/{GRANTS.issue(SOMEBODY, WATCH, session_id)}"


def test_a_recording_is_sent_by_ranges_and_as_nothing_but_video(
    address: str, sqlite_engine: sa.Engine, carphone: Path
) -> None:
    link = make_link(address, record(sqlite_engine, carphone))
    status, content, headers = ask(link, Range="bytes=100-299")
    assert status == 206 and content == carphone.read_bytes()[100:300]
    assert headers["Content-Type"] == "video/mp4" and headers["X-Content-Type-Options"] == "nosniff"
    status, content, headers = ask(link)
    assert status == 200 and content == carphone.read_bytes() and "no-store" in headers["Cache-Control"]
    assert ask(link, "POST", b"x")[0] == 405


def test_the_faces_of_a_stretch_are_those_of_the_database(
    address: str, sqlite_engine: sa.Engine, carphone: Path
) -> None:
    session_id = record(sqlite_engine, carphone)
    link = make_link(address, session_id)
    status, content, _ = ask(f"{link}/faces?start=1&end=1.95")
    faces = json.loads(content)
    assert status == 200 and [face[0] for face in faces] == pytest.approx(np.arange(1.0, 1.95, 0.1))
    with read_transaction(sqlite_engine) as connection:
        row = connection.execute(sa.select(emotions).where(emotions.c.frame_index == 1000)).mappings().one()
    assert faces[0][1:6] == [1, 0, 0, 50, 60]
    assert faces[0][6:] == pytest.approx([row[name] for name in EMOTIONS], abs=1e-3)
    for wrong in ("", "?start=a&end=2", "?start=nan&end=nan", "?start=-1&end=1", "?start=0&end=1e9", "?start=2&end=1"):
        assert ask(f"{link}/faces{wrong}")[0] == 400


def test_a_link_is_good_for_its_own_purpose_and_time_alone(
    address: str, sqlite_engine: sa.Engine, carphone: Path
) -> None:
    session_id = record(sqlite_engine, carphone)
    for token in (
        "x" * 43,
        session_id,
        GRANTS.issue(SOMEBODY, "another purpose", session_id),
        GRANTS.issue(Visitor("another", VIEWER), WATCH, session_id),
    ):
        for path in ("", "/faces?start=0&end=1"):
            assert ask(f"{address}/recordings/{token}{path}")[0] == 403
    grants = Grants(keep_s=0.2)
    token = grants.issue(SOMEBODY, WATCH, session_id)
    assert grants.issue(SOMEBODY, WATCH, session_id) == token  # a page that runs again keeps its video
    assert grants.redeem(token, WATCH, SOMEBODY) is not None
    time.sleep(0.3)
    assert grants.redeem(token, WATCH, SOMEBODY) is None
    assert grants.issue(SOMEBODY, WATCH, session_id) != token


def test_a_file_that_was_never_opened_as_a_video_is_not_sent(address: str, sqlite_engine: sa.Engine) -> None:
    status, content, _ = ask(make_link(address, record(sqlite_engine, Path("/etc/passwd"), facts={})))
    assert status == 404 and b"root" not in content


def test_the_reason_is_told_where_there_is_no_video(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    def find_reason(path: Path, **facts: Any) -> str:
        session_id = record(sqlite_engine, path, {**FACTS, **facts})
        with read_transaction(sqlite_engine) as connection, pytest.raises(SourceError) as told:
            find_playable(store.read_session(connection, session_id))
        return str(told.value)

    assert "not at hand" in find_reason(tmp_path / "gone.mp4")
    assert "not a file" in find_reason(tmp_path)
    assert "no mpeg4 video in avi files" in find_reason(tmp_path / "old.avi", container="avi", codec="mpeg4")
    assert "no prores video" in find_reason(tmp_path / "clip.mov", codec="prores")


def test_the_page_tells_the_reason_and_shows_the_timeline(
    monkeypatch: pytest.MonkeyPatch, sqlite_engine: sa.Engine, tmp_path: Path
) -> None:
    record(sqlite_engine, tmp_path / "gone.mp4")
    app = open_app(monkeypatch, str(sqlite_engine.url))
    assert "not at hand" in list_texts(app)
    assert len(app.get("plotly_chart")) == 1


@needs_chromium
def test_the_player_and_the_chart_show_the_same_moment(
    run_emotrace: RunEmotrace, carphone: Path, dashboard: str, data_url: str, page: Page, tmp_path: Path
) -> None:
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    assert run_emotrace("analyze", carphone, "--database", data_url).returncode == 0
    page.goto(dashboard)
    page.wait_for_selector(CHART)
    page.wait_for_function("document.querySelector('.emotrace-cursor') !== null")
    video = page.locator("video")
    expect(video).to_have_js_property("videoHeight", 144, timeout=60_000)

    # A click on the chart seeks the video, wherever it is.
    axis = "document.querySelector('.js-plotly-plot')._fullLayout.xaxis"
    left, width = page.evaluate(f"[{axis}._offset, {axis}._length]")
    low, high = page.evaluate(f"{axis}.range")
    box = page.locator(".js-plotly-plot").last.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + left + 0.5 * width, box["y"] + 120)
    middle = (low + high) / 2
    page.wait_for_function(f"Math.abs(document.querySelector('.emotrace-cursor').dataset.time - {middle}) < 0.05")
    assert video.evaluate("video => video.currentTime") == pytest.approx(middle, abs=0.05)
    line = page.locator(".emotrace-cursor").bounding_box()
    assert line is not None and line["x"] + 1 == pytest.approx(box["x"] + left + 0.5 * width, abs=3)

    # The face of that moment is drawn over the picture, and said in words.
    engine = open_database(data_url)
    with read_transaction(engine) as connection:
        query = sa.select(emotions).where(emotions.c.time_s <= middle).order_by(emotions.c.time_s.desc()).limit(1)
        row = connection.execute(query).mappings().one()
    engine.dispose()
    label = max(EMOTIONS, key=lambda name: row[name])
    page.get_by_text(f"Face {row['track_id']}: {label}").wait_for()
    is_drawn = "one => one.getContext('2d').getImageData(0, 0, one.width, one.height).data.some(value => value)"
    assert page.locator(".screen canvas").evaluate(is_drawn)
    page.get_by_label("Boxes and labels").click()
    page.wait_for_timeout(200)
    assert not page.locator(".screen canvas").evaluate(is_drawn)
    # Its time moves the line.
    video.evaluate("video => { video.muted = true; return video.play() }")
    page.wait_for_function(f"document.querySelector('.emotrace-cursor').dataset.time > {middle} + 0.3")
    video.evaluate("video => video.pause()")
    # And becomes the moment that the page is about.
    page.get_by_role("button", name="Fix this moment").click()
    told = page.get_by_text(re.compile(r"^Moment \d")).inner_text()
    shown = video.evaluate("video => video.currentTime")
    assert float(told.split()[1]) == pytest.approx(shown, abs=0.02) and shown > middle + 0.2
    assert problems == []

    # Of a recording that this browser cannot play, the page says so and shows the timeline.
    hevc = tmp_path / "other.mp4"
    write_video(hevc, range(0, 4000, 40), codec="libx265", options={"x265-params": "log-level=none"})
    engine = open_database(data_url)
    session_id = record(engine, hevc, {**FACTS, "codec": "hevc"})
    with read_transaction(engine) as connection:
        source_id = store.read_session(connection, session_id)["source_id"]
    engine.dispose()
    page.goto(f"{dashboard}/?source={source_id}&session={session_id}")
    page.wait_for_selector(CHART)
    page.get_by_text("This browser cannot play the recording's hevc video").wait_for()
