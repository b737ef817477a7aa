"""A real browser: an analyst opens a recording that the command analysed, looks closer, and exports what is shown."""

import re
import socket
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from browsing import CHART, download, keep_picture, needs_chromium, read_download, wait_until_drawn
from conftest import RunEmotrace
from playwright.sync_api import Page
from timeline_rows import add_track, make_probabilities, make_session

from contracts import audits, markers
from contracts.audits import list_changes
from contracts.database import open_database, read_transaction
from contracts.emotions import EMOTIONS
from contracts.schema import emotions

pytestmark = needs_chromium
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> **bold** 🎬 '; DROP TABLE sessions; -- " + "x" * 10_000


def check_report(page: Page, models: list[str], stored: pd.DataFrame) -> None:
    """The report of what is shown is one file: opened from the disk it shows its picture, and fetches nothing."""
    downloaded = download(page, "Report")
    path = downloaded.rename(downloaded.with_suffix(".html"))
    assert page.context.browser is not None
    report = page.context.browser.new_page(viewport={"width": 1280, "height": 1000})
    asked: list[str] = []
    report.on("request", lambda request: asked.append(request.url))
    report.goto(path.as_uri())
    assert report.title() == "Timeline of carphone_pristine.mp4"
    assert report.locator("img").first.evaluate("picture => picture.complete && picture.naturalWidth > 500")
    text = report.inner_text("body")
    assert models[0] in text and f"{stored['happy'].mean():.1%}" in text
    assert all(url.startswith(("file:", "data:")) for url in asked)
    keep_picture(report, "report")
    report.close()


def test_an_analyst_opens_a_recording_looks_closer_and_exports_it(
    run_emotrace: RunEmotrace, carphone: Path, dashboard: str, data_url: str, page: Page
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    done = run_emotrace("analyze", carphone, "--database", data_url)
    assert done.returncode == 0, done.stderr
    page.goto(dashboard)
    page.wait_for_selector(CHART)
    page.wait_for_selector(".emotrace-cursor", state="attached")  # the player stands beside it
    shown = page.get_by_role("combobox", name="Source").first.input_value()
    assert shown == "carphone_pristine.mp4 (recording)"
    engine = open_database(data_url)
    with read_transaction(engine) as connection:
        query = sa.select(emotions).order_by(emotions.c.track_id, emotions.c.pts)
        stored = pd.DataFrame([dict(row) for row in connection.execute(query).mappings()])
    whole = read_download(page, "CSV")
    with read_transaction(engine) as connection:
        changes = audits.list_changes(connection)
    engine.dispose()
    exports = [(row["who"], row["action"], row["subject"], row["details"]) for row in changes]
    assert whole[list(EMOTIONS)].to_numpy() == pytest.approx(stored[list(EMOTIONS)].to_numpy())
    assert set(whole["model"]) == set(stored["model_id"])
    assert exports == [("local", "table.export", whole["session"][0], {"kind": "csv", "rows": len(stored)})]

    check_report(page, list(set(whole["model"])), stored)

    # Drag over the chart's middle: the database is asked for that stretch.
    box = page.locator(".js-plotly-plot").last.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 125, steps=8)
    page.mouse.up()
    page.wait_for_function("!document.body.innerText.includes('0.00 s to')")
    page.wait_for_selector(CHART)
    closer = read_download(page, "CSV")
    assert 5 <= len(closer) <= 12
    inside = stored[stored["time_s"].between(closer["time_s"].min() - 1e-6, closer["time_s"].max() + 1e-6)]
    assert closer[list(EMOTIONS)].to_numpy() == pytest.approx(inside[list(EMOTIONS)].to_numpy())

    # Back by a key of the keyboard alone.
    page.locator("h1").click()
    page.keyboard.press("a")
    page.wait_for_function("document.body.innerText.includes('0.00 s to')")
    engine = open_database(data_url)
    with read_transaction(engine) as connection:
        assert [row["action"] for row in list_changes(connection)] == ["table.export", "report.make", "table.export"]
    engine.dispose()
    # Nothing is fetched from anywhere else.
    assert {url.split("/")[2] for url in asked if url.startswith("http")} == {dashboard.split("/")[2]}


def test_a_hostile_name_is_text_in_a_browser(dashboard: str, data_url: str, page: Page) -> None:
    engine = open_database(data_url)
    with engine.begin() as connection:
        session = make_session(connection, name=HOSTILE)
        ticks = pd.RangeIndex(0, 2000, 100).to_numpy()
        add_track(connection, session["session_id"], 1, ticks, make_probabilities(len(ticks)))
    engine.dispose()
    for name in ("", "summary"):
        page.goto(f"{dashboard}/{name}")
        page.wait_for_selector(CHART)
        assert page.get_by_role("combobox", name="Source").first.input_value().startswith(HOSTILE[:40])
        assert page.title() != "hacked"


def test_an_analyst_marks_a_span_and_names_a_face(dashboard: str, data_url: str, page: Page) -> None:
    engine = open_database(data_url)
    with engine.begin() as connection:
        session = make_session(connection, duration_s=10.0)
        ticks = pd.RangeIndex(0, 10_000, 100).to_numpy()
        add_track(connection, session["session_id"], 1, ticks, make_probabilities(len(ticks)))
    page.goto(dashboard)
    page.wait_for_selector(CHART)
    page.get_by_role("button", name="Mark what is shown").click()
    page.get_by_role("textbox", name="Name").first.fill("braking")
    page.get_by_role("button", name="Save").click()
    drawn = page.locator(".js-plotly-plot text", has_text="braking")
    drawn.first.wait_for()
    with read_transaction(engine) as connection:
        (row,) = markers.list_markers(connection, session["source_id"], session["session_id"])
    assert (row["name"], row["start"], row["end"]) == ("braking", 0.0, 10.0)
    assert f"marker={row['marker_id']}" in page.url
    wait_until_drawn(page)  # what is typed while the page is drawn anew is lost
    page.get_by_text("Names of faces, merging, splitting").click()
    page.get_by_role("textbox", name="Name").fill(HOSTILE[:70])
    page.get_by_role("button", name="Rename").click()
    page.locator(".js-plotly-plot text", has_text="<img src=x").first.wait_for()
    page.goto(page.url)  # the address opens the marker again
    drawn.first.wait_for()
    assert page.get_by_role("combobox", name="1 marker").input_value().startswith("braking")
    assert page.title() != "hacked"
    # A click fixes a moment, which is marked too.
    page.get_by_text("Pick a moment").click()
    page.wait_for_function("document.querySelector('.js-plotly-plot')?._fullLayout?.dragmode === 'pan'")
    wait_until_drawn(page)
    page.wait_for_timeout(500)  # the chart finds its place
    box = page.locator(".js-plotly-plot").last.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 150, steps=4)
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 150)
    page.get_by_role("button", name=re.compile(r"Mark \d")).click()
    page.get_by_role("textbox", name="Name").first.fill("horn")
    page.get_by_role("button", name="Save").click()
    page.locator(".js-plotly-plot text", has_text="horn").first.wait_for()
    with read_transaction(engine) as connection:
        (_, moment) = markers.list_markers(connection, session["source_id"], session["session_id"])
    assert moment["end"] is None and 4.0 < moment["start"] < 6.0
    engine.dispose()


def test_a_link_opens_any_page_at_first(dashboard: str, page: Page) -> None:
    page.goto(f"{dashboard}/cameras")
    page.get_by_text("There are no cameras yet").wait_for()
    page.get_by_role("link", name="Timeline").wait_for()


def test_a_taken_port_is_said_at_once(run_emotrace: RunEmotrace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run_emotrace("dashboard", "--port", taken.getsockname()[1])
    assert done.returncode == 2 and "--port" in done.stderr and "Traceback" not in done.stderr
