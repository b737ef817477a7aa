"""The pages of analysts: what they show is what the database holds, and strangers' words stay words."""

import json
import time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from charted_points import make_points
from dashboard_pages import HOSTILE, list_texts, open_app, read_table
from timeline_rows import (
    PROBABILITIES,
    TICKS,
    TICKS_PER_S,
    add_coverage,
    add_track,
    make_camera,
    make_probabilities,
    make_recording,
    make_session,
)

from contracts.emotions import COLOURS, EMOTIONS
from dashboard import texts
from dashboard.charts import timeline_charts
from dashboard.charts.theme import DARK, LIGHT
from dashboard.files import exports
from dashboard.reading.panels import Panel, make_panel
from dashboard.widgets.viewing import View
from reports.series import Gap


@pytest.fixture
def url(sqlite_engine: sa.Engine) -> str:
    return str(sqlite_engine.url)


@pytest.fixture
def recording(sqlite_engine: sa.Engine) -> dict[str, Any]:
    with sqlite_engine.begin() as connection:
        session = make_recording(connection)
        stretches = [(0.0, 29.9, "analysed", 300), (60.0, 60.0, "analysed", 1)]
        add_coverage(connection, session["session_id"], stretches)
    return session


def test_an_empty_database_says_how_to_begin(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    app = open_app(monkeypatch, url)
    assert "emotrace analyze" in list_texts(app)


def test_a_timeline_shows_the_numbers_of_the_database(
    monkeypatch: pytest.MonkeyPatch, url: str, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    table = read_table(app)
    face = table[table["face"] == "Face 1"]
    assert face["time_s"].tolist() == pytest.approx((TICKS / TICKS_PER_S).tolist())
    assert face[list(EMOTIONS)].to_numpy() == pytest.approx(PROBABILITIES)
    assert len(table[table["face"] == "Face 2"]) == 50
    assert texts.to_markdown(recording["model_id"]) in list_texts(app)


def test_sources_of_one_name_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    with sqlite_engine.begin() as connection:
        both = [make_recording(connection) for _ in range(2)]
    app = open_app(monkeypatch, url)
    options = app.selectbox[0].options
    assert len(set(options)) == 2 and all(one.startswith("interview.mp4 (recording) · ") for one in options)
    for session in both:
        app.selectbox[0].set_value(session["source_id"]).run()
        assert session["session_id"] in app.query_params["session"]


def test_faces_can_be_left_out_and_put_together(
    monkeypatch: pytest.MonkeyPatch, url: str, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    app.multiselect[0].set_value([2]).run()
    assert set(read_table(app)["face"]) == {"Face 2"}
    assert app.query_params["faces"] in ("2", ["2"])
    app.multiselect[0].set_value([]).run()
    table = read_table(app)
    assert set(table["face"]) == {"All faces"} and table["rows"].sum() == len(TICKS) + 50


def test_looking_closer_and_back_fetches_that_stretch(
    monkeypatch: pytest.MonkeyPatch, url: str, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url, faces="1")

    def press(label: str) -> pd.DataFrame:
        next(button for button in app.button if button.label == label).click().run()
        return read_table(app)

    closer = press("Closer")
    assert closer["time_s"].iloc[[0, -1]].tolist() == pytest.approx([15.0, 45.0])
    later = press("Later")
    assert later["time_s"].iloc[[0, -1]].tolist() == pytest.approx([30.0, 59.9])
    assert len(press("All")) == len(TICKS)


def test_an_address_opens_what_it_names(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    with sqlite_engine.begin() as connection:
        newer = make_session(connection, name="newer.mp4")
        add_track(connection, newer["session_id"], 1, TICKS[:3], PROBABILITIES[:3])
    assert "newer.mp4 (recording)" in str(open_app(monkeypatch, url).selectbox)
    app = open_app(monkeypatch, url, source=recording["source_id"], faces="2")
    assert len(read_table(app)) == 50
    for wrong in ("no-such-source", "'; DROP TABLE sources; --", "x" * 10_000):
        assert not open_app(monkeypatch, url, source=wrong, session=wrong, faces=wrong).error


@pytest.mark.parametrize("text", [HOSTILE, "# title", "1. list", "a\nb\u202ec", ":material/delete: :smile:"])
def test_strangers_words_are_shown_as_they_are(text: str) -> None:
    line = texts.to_line(text)
    assert len(line) <= texts.MAX_LENGTH and "\n" not in line and "\u202e" not in line
    shown = texts.to_markdown(text)
    assert not texts._MARKUP.search(shown.replace("\\" + "\\", "")) or all(
        shown[found.start() - 1] == "\\" for found in texts._MARKUP.finditer(shown) if found[0] != "\\"
    )


def test_a_hostile_name_breaks_no_page(monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine) -> None:
    with sqlite_engine.begin() as connection:
        session = make_session(connection, name=HOSTILE)
        add_track(connection, session["session_id"], 1, TICKS[:20], PROBABILITIES[:20])
    app = open_app(monkeypatch, url)
    assert len(read_table(app)) == 20
    assert "<script>" not in list_texts(app).replace("\\<", "")


def test_a_camera_s_times_are_the_wall_s(monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine) -> None:
    now = time.time()
    with sqlite_engine.begin() as connection:
        make_camera(connection, now)
    app = open_app(monkeypatch, url, range="last hour")
    table = read_table(app)
    begin_at = now - 360
    assert table["time_s"].iloc[0] == pytest.approx(begin_at, abs=5.0)
    # The drift is taken out: the last row, at 299 s of the camera, is 302 s of the wall.
    assert table["time_s"].iloc[-1] == pytest.approx(begin_at + 299 * 1.01, abs=5.0)
    assert table["rows"].sum() == 300
    assert "UTC" in str(table["time"].dtype)


def test_a_camera_s_gaps_say_why(monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine) -> None:
    from dashboard.queries import timeline_queries

    now = time.time()
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, now)
    open_app(monkeypatch, url, range="last hour")
    (panel,) = timeline_queries.read_camera(source_id, None, now - 3600, now)
    states = list(panel.gaps["state"])
    assert states[0] == "not_running" and states[-1] == "timeout"
    assert panel.gaps["end"].iloc[0] == pytest.approx(now - 360, abs=1.0)
    assert panel.gaps["start"].iloc[-1] == pytest.approx(now - 57, abs=1.0)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("style", ["area", "lines"])
def test_a_chart_has_the_product_s_colours_and_breaks_at_gaps(style: Any, theme: Any) -> None:
    times_s = np.concatenate([np.arange(0, 5, 0.1), np.arange(8, 10, 0.1)])
    rows = make_points(times_s, make_probabilities(len(times_s)))
    panel = make_panel("Face 1", rows, [Gap(4.95, 8.0, "no_face")], 0.0, 10.0)
    figure = timeline_charts.draw_timeline([panel], 0.0, 10.0, theme=theme, style=style, moment=2.0)
    drawn = json.loads(figure.to_json())
    colours = {trace.get("fillcolor") for trace in drawn["data"]} | {
        trace.get("line", {}).get("color") for trace in drawn["data"]
    }
    assert set(COLOURS.values()) <= colours
    assert panel.points["segment"].nunique() == 2
    assert any("no results: no face found" in text for trace in figure.data for text in trace.hovertext or ())
    hovers = next(trace.hovertext for trace in figure.data if trace.hovertext)
    assert len(hovers) == len(times_s) and f"happy {rows[0]['happy']:.1%}" in hovers[0]


def test_wall_clock_places_survive_the_chart() -> None:
    from dashboard.charts.axis import TimeAxis, read_place

    zone = ZoneInfo("America/New_York")
    placed = TimeAxis(zone).place(1_700_000_000.25)
    assert read_place(str(placed), zone) == pytest.approx(1_700_000_000.25)


def test_a_view_stays_within_its_bounds() -> None:
    bounds = View(0.0, 100.0)
    assert View(-20.0, 30.0).clamp(bounds) == View(0.0, 50.0)
    assert View(90.0, 130.0).clamp(bounds) == View(60.0, 100.0)
    assert View(-50.0, 500.0).clamp(bounds) == bounds
    assert View(50.0, 50.0).clamp(bounds).span == pytest.approx(0.2)


def test_each_face_has_its_title_also_where_none_has_results() -> None:
    panels = [make_panel(name, [], [], 0.0, 10.0) for name in ("Face 1", "Face 2")]
    titles = timeline_charts.draw_timeline(panels, 0.0, 10.0, theme=LIGHT).layout.annotations
    assert [title.yref for title in titles] == ["paper", "paper"]
    assert titles[0].y > titles[1].y + 0.3


def test_an_export_is_what_is_shown_and_names_what_made_it(tmp_path: Path) -> None:
    panel: Panel = make_panel("Face 1", make_points(np.arange(3.0), PROBABILITIES[:3]), [], 0.0, 3.0)
    about = {"session_id": "s", "source": "=cmd()", "model_id": "production-1", "settings": {"fps": 10}}
    table = exports.make_table([panel], None)
    (tmp_path / "t.parquet").write_bytes(exports.to_parquet(table, about))
    (tmp_path / "t.csv").write_bytes(exports.to_csv(table, about))
    for read in (pd.read_parquet(tmp_path / "t.parquet"), pd.read_csv(tmp_path / "t.csv")):
        assert read[list(EMOTIONS)].to_numpy() == pytest.approx(PROBABILITIES[:3])
        assert set(read["model"]) == {"production-1"} and set(read["settings"]) == {'{"fps": 10}'}
        assert set(read["source"]) == {"'=cmd()"}  # no spreadsheet runs it


def test_a_summary_shows_the_numbers_of_the_database(
    monkeypatch: pytest.MonkeyPatch, url: str, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url, "summary", faces="1")
    tables = [one.value for one in app.dataframe]
    shares = next(table for table in tables if "share" in table and "face" in table)
    labels = np.array(EMOTIONS)[PROBABILITIES.argmax(axis=1)]
    counted = dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True))
    assert dict(zip(shares["label"], shares["rows"], strict=True)) == counted
    assert shares["share"].sum() == pytest.approx(1.0)
    transitions = next(table for table in tables if "from" in table)
    assert transitions[list(EMOTIONS)].to_numpy().sum() == (labels[1:] != labels[:-1]).sum()
    coverage = next(table for table in tables if "state" in table)
    assert coverage["seconds"].sum() == pytest.approx(60.0)
    quality = next(table for table in tables if "uncertain" in table)
    assert quality["uncertain"].tolist() == pytest.approx([(PROBABILITIES.max(axis=1) < 0.5).mean()])


def test_a_summary_of_a_camera_is_of_its_range(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    from dashboard.queries import summary_queries

    now = time.time()
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, now)
    open_app(monkeypatch, url, "summary", range="last hour")
    whole = summary_queries.sum_camera(source_id, None, now - 3600, now)
    part = summary_queries.sum_camera(source_id, None, now - 3600, now - 360 + 101)
    assert whole.shares["rows"].sum() == 300 and part.shares["rows"].sum() == 101
    assert whole.episodes["start"].min() >= now - 361
    assert whole.coverage["seconds"].sum() == pytest.approx(3600.0)
