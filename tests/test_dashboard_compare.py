"""The page Compare: strips begin together, what is shown is what the rows say, and the band is Student's."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from dashboard_pages import HOSTILE, list_texts, open_app
from scipy import stats
from timeline_rows import add_track, make_camera, make_probabilities, make_session

from contracts import markers, schema, store, timelines
from contracts.emotions import EMOTIONS
from contracts.timelines import VALUES
from dashboard.queries import compare_queries
from dashboard.reading.comparing import Strip, average_strips

TICKS = np.arange(0, 30_000, 100, dtype=np.int64)


@pytest.fixture
def url(sqlite_engine: sa.Engine) -> str:
    return str(sqlite_engine.url)


@pytest.fixture
def sessions(sqlite_engine: sa.Engine) -> list[dict[str, Any]]:
    """Three recordings of 30 s; in the first two, something is called "braking", at 5 and at 12 s."""
    made = []
    with sqlite_engine.begin() as connection:
        for number, start in enumerate((5.0, 12.0, None)):
            session = make_session(connection, name=f"drive {number}.mp4", duration_s=30.0)
            for track_id in (1, 2):
                rows = make_probabilities(len(TICKS), 10 * number + track_id)
                add_track(connection, session["session_id"], track_id, TICKS, rows)
            if start is not None:
                markers.add_marker(
                    connection, marker_id=store.make_uuid7(), source_id=session["source_id"], author="Ann",
                    session_id=session["session_id"], start=start, end=start + 4, name="braking", colour="teal",
                    note="",
                )  # fmt: skip
            made.append(session)
    return made


def watch_strips(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Strip, ...]]:
    """What the page asks for, as it asks."""
    asked: list[tuple[Strip, ...]] = []
    read = compare_queries.read_strips

    def read_watched(strips: tuple[Strip, ...]) -> Any:
        asked.append(strips)
        return read(strips)

    monkeypatch.setattr(compare_queries, "read_strips", read_watched)
    return asked


def read_table(app: Any, column: str) -> pd.DataFrame:
    return next(table.value for table in app.dataframe if column in table.value)


def test_faces_of_a_session_are_compared(
    monkeypatch: pytest.MonkeyPatch, url: str, sessions: list[dict[str, Any]]
) -> None:
    app = open_app(monkeypatch, url, "compare", source=sessions[1]["source_id"], faces="1,2")
    bins = read_table(app, "time_s")
    for track_id in (1, 2):
        rows = make_probabilities(len(TICKS), 10 + track_id)
        of_face = bins[bins["strip"] == f"Face {track_id}"]
        assert of_face["rows"].sum() == len(TICKS)
        weighted = (of_face[list(EMOTIONS)].to_numpy() * of_face[["rows"]].to_numpy()).sum(axis=0) / len(TICKS)
        assert weighted == pytest.approx(rows.mean(axis=0))
    box = next(one for one in app.selectbox if one.label == "Aligned at")
    marker = next(one for one in box.options if "braking" in one)
    box.select(marker).run()
    moved = read_table(app, "time_s")
    assert moved["time_s"].min() == pytest.approx(bins["time_s"].min() - 12.0, abs=0.21)


def test_sessions_are_aligned_at_a_marker_that_they_share(
    monkeypatch: pytest.MonkeyPatch, url: str, sessions: list[dict[str, Any]]
) -> None:
    ids = ",".join(session["session_id"] for session in sessions)
    app = open_app(monkeypatch, url, "compare", compare="sessions", sessions=ids)
    assert set(read_table(app, "time_s")["strip"]) == {f"drive {number}.mp4" for number in range(3)}
    next(one for one in app.selectbox if one.label == "Aligned at").set_value("braking").run()
    bins = read_table(app, "time_s")
    spans = bins.groupby("strip")["time_s"].agg(["min", "max"])
    assert list(spans.index) == ["drive 0.mp4", "drive 1.mp4"] and "drive 2.mp4" in list_texts(app).replace("\\", "")
    assert spans["min"].tolist() == pytest.approx([-5.0, -12.0], abs=0.2)
    assert spans["max"].tolist() == pytest.approx([25.0, 18.0], abs=0.2)
    # The address opens the same again.
    address = {name: app.query_params[name] for name in ("compare", "sessions", "aligned")}
    address = {name: value if isinstance(value, str) else value[0] for name, value in address.items()}
    assert read_table(open_app(monkeypatch, url, "compare", **address), "time_s").equals(bins)


def test_a_camera_s_session_stands_beside_a_recording(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, sessions: list[dict[str, Any]]
) -> None:
    with sqlite_engine.begin() as connection:
        now = time.time()
        source_id = make_camera(connection, now)
        (of_camera,) = timelines.list_source_sessions(connection, source_id)
        markers.add_marker(
            connection, marker_id=store.make_uuid7(), source_id=source_id, author="Ann", session_id=None,
            start=now - 300.0, end=None, name="braking", colour="teal", note="",
        )  # fmt: skip
    asked = watch_strips(monkeypatch)
    ids = f"{sessions[0]['session_id']},{of_camera['session_id']}"
    app = open_app(monkeypatch, url, "compare", compare="sessions", sessions=ids, zone="UTC")
    spans = read_table(app, "time_s").groupby("strip")["time_s"].agg(["min", "max"])
    recording, camera = sorted(spans.index, key=lambda name: name.startswith("Gate"))
    assert (recording, camera) == ("drive 0.mp4", "Gate")
    assert spans.loc[camera, "min"] == pytest.approx(0.0, abs=1.5)
    assert spans.loc[camera, "max"] == pytest.approx(302.0, abs=3.0)  # its clock runs slow
    next(one for one in app.selectbox if one.label == "Aligned at").set_value("braking").run()
    spans = read_table(app, "time_s").groupby("strip")["time_s"].agg(["min", "max"])
    assert spans.loc[camera, "min"] == pytest.approx(-60.0, abs=1.5)
    assert spans.loc[recording, "min"] == pytest.approx(-5.0, abs=1.5)
    assert [one.camera_session_id for one in asked[-1]] == [None, of_camera["session_id"]]


def test_a_session_that_goes_on_is_read_once_for_a_while(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    now = time.time() // 60 * 60 + 5.0
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, now)
        connection.execute(sa.update(schema.sessions).values(ended_at=None))
        (session,) = timelines.list_source_sessions(connection, source_id)
    asked = watch_strips(monkeypatch)
    moments = [now]
    monkeypatch.setattr(time, "time", lambda: moments[0])
    app = open_app(monkeypatch, url, "compare", compare="sessions", sessions=session["session_id"])
    moments[0] += 1.0
    app.run()
    assert len(asked) >= 2 and len(set(asked)) == 1
    moments[0] += 60.0
    app.run()
    assert len(set(asked)) == 2


def test_an_old_session_stays_and_one_that_is_gone_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, url: str, sessions: list[dict[str, Any]]
) -> None:
    monkeypatch.setattr(compare_queries, "MAX_LISTED", 1)
    ids = ",".join([*(session["session_id"] for session in sessions), store.make_uuid7()])
    app = open_app(monkeypatch, url, "compare", compare="sessions", sessions=ids)
    assert set(read_table(app, "time_s")["strip"]) == {f"drive {number}.mp4" for number in range(3)}
    assert "1 of what was to be compared is not there any more" in list_texts(app)


def test_spans_are_compared_over_each_other_and_side_by_side(
    monkeypatch: pytest.MonkeyPatch, url: str, sessions: list[dict[str, Any]]
) -> None:
    app = open_app(monkeypatch, url, "compare", compare="spans")
    assert "Choose what to compare" in list_texts(app)
    app.multiselect[0].set_value([row["marker_id"] for row in compare_queries.list_all_markers()]).run()
    bins = read_table(app, "time_s")
    assert bins["strip"].nunique() == 2
    # From a second before the span to its end, four seconds after its start.
    assert bins["time_s"].min() == pytest.approx(-1.0, abs=0.2) and bins["time_s"].max() == pytest.approx(4.0, abs=0.2)
    next(one for one in app.toggle if one.label.startswith("Mean")).set_value(True).run()
    assert set(read_table(app, "happy_low")["strips"]) == {2}
    app.segmented_control[1].set_value("side by side").run()
    assert not app.exception and len(app.get("plotly_chart")) == 2


def test_wrong_addresses_and_hostile_names_break_nothing(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, sessions: list[dict[str, Any]]
) -> None:
    with sqlite_engine.begin() as connection:
        for _ in range(2):
            hostile = make_session(connection, name=HOSTILE)
            add_track(connection, hostile["session_id"], 1, TICKS[:20], make_probabilities(20))
    wrong = "'; DROP TABLE sources; --,x"
    for kind in ("faces", "sessions", "spans", wrong):
        app = open_app(monkeypatch, url, "compare", compare=kind, sessions=wrong, spans=wrong, faces=wrong)
        assert not app.error
    app = open_app(monkeypatch, url, "compare", compare="sessions")
    app.multiselect[0].set_value(list(compare_queries.list_sessions()["session_id"][:2])).run()
    assert not app.exception and read_table(app, "time_s")["strip"].nunique() == 2
    assert "<script>" not in list_texts(app).replace("\\<", "")


def test_the_band_is_student_s_interval_of_the_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((5, len(VALUES)))
    bins = pd.DataFrame(values, columns=list(VALUES)).assign(strip=list("abcde"), time_s=0.5, rows=1)
    alone = bins.iloc[:1].assign(time_s=1.5)
    group = average_strips(pd.concat([bins, alone]))
    assert group["strips"].tolist() == [5, 1]
    for index, name in enumerate(VALUES):
        low, high = stats.t.interval(0.95, 4, values[:, index].mean(), stats.sem(values[:, index]))
        bounds = (-1, 1) if name == "valence" else (0, 1)
        assert group[name][0] == pytest.approx(values[:, index].mean())
        assert group[f"{name}_low"][0] == pytest.approx(max(low, bounds[0]))
        assert group[f"{name}_high"][0] == pytest.approx(min(high, bounds[1]))
        assert np.isnan(group[f"{name}_low"][1])  # one alone has no band


def test_a_camera_s_strip_says_when_it_did_not_run(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    now = time.time()
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, now)
    open_app(monkeypatch, url)
    strip = Strip("all", source_id, None, None, now - 600, now, now - 360)
    ((panel,), _) = compare_queries.read_strips((strip,))
    gaps = panel.gaps.set_index("state")
    assert gaps.loc["not_running", ["start", "end"]].tolist() == pytest.approx([-240.0, 0.0], abs=1.0)
    assert gaps.loc["timeout", ["start", "end"]].tolist() == pytest.approx([303.0, 360.0], abs=1.0)
