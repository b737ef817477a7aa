"""Markers, spans and faces on the page Timeline: what an analyst does is stored, told of, and never overwritten."""

import io
import time
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from dashboard_pages import HOSTILE, list_texts, open_app, press
from streamlit.testing.v1 import AppTest
from timeline_rows import PROBABILITIES, TICKS, make_camera, make_recording

from contracts import audits, markers, store
from contracts.database import read_transaction
from contracts.emotions import EMOTIONS
from contracts.errors import NotAllowedError
from dashboard import identity
from dashboard.actions import marking_actions, person_actions
from dashboard.charts.marks import Mark, stack_marks
from dashboard.charts.theme import LIGHT
from dashboard.charts.timeline_charts import draw_timeline
from dashboard.identity import VIEWER, Visitor
from dashboard.queries import marking_queries, timeline_queries
from dashboard.reading.panels import make_panel
from dashboard.widgets.marking_exchange import make_figures
from dashboard.widgets.scopes import Scope


@pytest.fixture
def url(sqlite_engine: sa.Engine) -> str:
    return str(sqlite_engine.url)


@pytest.fixture
def recording(sqlite_engine: sa.Engine) -> dict[str, Any]:
    with sqlite_engine.begin() as connection:
        return make_recording(connection)


def list_markers(engine: sa.Engine, session: dict[str, Any]) -> list[store.Row]:
    with read_transaction(engine) as connection:
        return markers.list_markers(connection, session["source_id"], session["session_id"])


def list_actions(engine: sa.Engine) -> list[tuple[str, str]]:
    with read_transaction(engine) as connection:
        return [(row["who"], row["action"]) for row in reversed(audits.list_changes(connection))]


def find(widgets: Any, label: str) -> Any:
    return next(one for one in widgets if one.label.startswith(label))


def press_like(app: AppTest, label: str) -> AppTest:
    return press(app, find(app.button, label).label)


def add_marker(app: AppTest, button: str, name: str, note: str = "") -> AppTest:
    press_like(app, button)
    find(app.text_input, "Name").set_value(name)
    find(app.text_area, "Note").set_value(note)
    return press(app, "Save")


def test_what_is_shown_is_marked_changed_and_removed(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    press(app, "Closer")
    add_marker(app, "Mark what is shown", "question 3", "looks away")
    (row,) = list_markers(sqlite_engine, recording)
    assert (row["name"], row["note"], row["author"]) == ("question 3", "looks away", "local")
    assert (row["start"], row["end"]) == (15.0, 45.0)
    assert app.query_params["marker"] in (row["marker_id"], [row["marker_id"]])
    # Its figures are those of the rows.
    figures = next(table.value for table in app.dataframe if "peak" in table.value)
    inside = PROBABILITIES[150:451]
    face = figures[figures["face"] == "Face 1"]
    assert face["mean"].to_numpy() == pytest.approx(inside.mean(axis=0))
    assert face["peak"].to_numpy() == pytest.approx(inside.max(axis=0))
    assert face["share"].sum() == pytest.approx(1.0)
    assert "first reaction" in list_texts(app)

    press(app, "Change")
    assert find(app.text_input, "Name").value == "question 3"
    find(app.text_input, "Name").set_value("question 4")
    find(app.selectbox, "Colour").set_value("pink")
    press(app, "Save")
    (row,) = list_markers(sqlite_engine, recording)
    assert (row["name"], row["colour"], row["note"], row["version"]) == ("question 4", "pink", "looks away", 2)
    press(app, "Remove")
    assert list_markers(sqlite_engine, recording) == []
    actions = [("local", f"marker.{verb}") for verb in ("add", "change", "remove")]
    assert list_actions(sqlite_engine) == actions


def test_the_fixed_moment_is_marked_and_a_span_made_of_it(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    assert find(app.button, "Mark the moment").disabled
    for wrong in ("soon", "1e300", "nan", "2:00"):
        find(app.text_input, "Moment").set_value(wrong).run()
        assert len(app.error) == 1 and find(app.button, "Mark the moment").disabled
    find(app.text_input, "Moment").set_value("0:30").run()
    assert not app.error
    add_marker(app, "Mark 30.00 s", "horn")
    (row,) = list_markers(sqlite_engine, recording)
    assert (row["name"], row["start"], row["end"]) == ("horn", 30.0, None)
    figures = next(table.value for table in app.dataframe if "peak" in table.value)
    # Of a moment, what follows is looked at.
    after = PROBABILITIES[300:351]
    assert figures[figures["face"] == "Face 1"]["mean"].to_numpy() == pytest.approx(after.mean(axis=0))
    press(app, "Go there")
    press(app, "Change")
    find(app.radio, "Time").set_value("what is shown")
    press(app, "Save")
    (row,) = list_markers(sqlite_engine, recording)
    assert (row["start"], row["end"]) == (25.0, 35.0)


def test_the_figures_of_all_markers_are_a_file(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    open_app(monkeypatch, url)
    of_session = recording["source_id"], recording["session_id"]
    for start, name in ((3.0, "=first"), (20.0, "second"), (500.0, "nothing there")):
        marking_actions.add_marker(*of_session, start=start, end=start + 2, name=name, colour="teal", note="")
    scope = Scope(*of_session, ((recording["session_id"], 1),), None)
    rows = list_markers(sqlite_engine, recording)
    read = marking_queries.prepare_spans(*scope[:3])
    # A file is made outside of the page's run, where nobody is known.
    monkeypatch.setattr(identity, "find_visitor", None)
    table = pd.read_csv(io.BytesIO(make_figures(read, rows, recording)))
    assert list(dict.fromkeys(table["marker"])) == ["'=first", "second"]
    for name, begin in (("'=first", 30), ("second", 200)):
        of_marker = table[table["marker"] == name]
        assert of_marker["emotion"].tolist() == list(EMOTIONS)
        assert of_marker["mean"].to_numpy() == pytest.approx(PROBABILITIES[begin : begin + 21].mean(axis=0))
        assert set(of_marker["start"]) == {begin / 10} and set(table["model"]) == {recording["model_id"]}


def test_the_second_of_two_analysts_is_told_keeps_what_was_typed_and_may_insist(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    add_marker(app, "Mark what is shown", "mine")
    press(app, "Change")
    find(app.text_input, "Name").set_value("typed with care")
    (row,) = list_markers(sqlite_engine, recording)
    other = {name: row[name] for name in ("start", "end", "colour")} | {"name": "theirs **x**", "note": "by Bea"}
    with sqlite_engine.begin() as connection:
        markers.change_marker(connection, row["marker_id"], row["version"], **other)
    press(app, "Save")
    assert "changed this marker meanwhile" in app.error[0].value and "by Bea" in app.warning[0].value
    assert list_markers(sqlite_engine, recording)[0]["name"] == "theirs **x**"
    assert find(app.text_input, "Name").value == "typed with care"
    press(app, "Save")
    assert list_markers(sqlite_engine, recording)[0]["name"] == "typed with care"
    # Who removes a marker that somebody has just changed is told too.
    with sqlite_engine.begin() as connection:
        markers.change_marker(connection, row["marker_id"], 3, **other)
    press(app, "Remove")
    assert "changed this marker meanwhile" in app.error[0].value
    assert len(list_markers(sqlite_engine, recording)) == 1


def test_a_link_opens_a_marker(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    with sqlite_engine.begin() as connection:
        of_session = {name: recording[name] for name in ("source_id", "session_id")}
        values = {"start": 3.0, "end": None, "name": HOSTILE[:200], "colour": "teal", "note": HOSTILE[:4000]}
        ids = [store.make_uuid7() for _ in range(2)]
        for marker_id in ids:
            markers.add_marker(connection, marker_id=marker_id, author=HOSTILE, **of_session, **values)
    app = open_app(monkeypatch, url, marker=ids[1])
    assert find(app.selectbox, "2 markers").value == ids[1]
    table = next(one.value for one in app.dataframe if "time_s" in one.value)
    assert table["time_s"].max() == pytest.approx(10.0)  # it is what is looked at
    assert "<script>" not in list_texts(app).replace("\\<", "")
    assert not open_app(monkeypatch, url, marker="'; DROP TABLE markers; --").error


def test_a_camera_s_markers_are_in_wall_clock_time(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    now = time.time()
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, now)
    app = open_app(monkeypatch, url, range="last 5 min")
    add_marker(app, "Mark what is shown", "shift")
    (row,) = marking_queries.list_markers(source_id, None)
    assert row["session_id"] is None
    assert (row["start"], row["end"]) == (pytest.approx(now - 300, abs=10), pytest.approx(now, abs=10))
    figures = next(table.value for table in app.dataframe if "peak" in table.value)
    assert set(figures["face"]) == {"All faces"} and figures["share"].sum() == pytest.approx(1.0)


def test_faces_are_named_merged_split_and_put_back(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    name = "Ann <b> $x$ **bold** 🎬"
    app = open_app(monkeypatch, url)
    find(app.text_input, "Name").set_value(name)
    press(app, "Rename")
    assert name in set(app.dataframe[-1].value["face"]) and name in str(find(app.multiselect, "Faces").options)
    assert "<b>" not in list_texts(app).replace("\\<", "")
    find(app.multiselect, "Same person as").set_value([2]).run()
    press(app, "Merge")
    table = app.dataframe[-1].value
    assert set(table["face"]) == {name} and table["rows"].sum() == len(TICKS) + 50
    app.session_state[f"moment-{recording['session_id']}"] = 30.0
    app.run()
    press_like(app, "Split at 30.00 s")
    faces = timeline_queries.list_tracks(recording["session_id"])
    assert dict(zip(faces["name"], faces["num_faces"], strict=True)) == {name: 350, "Face 1.2": 300}
    for expected in ({name}, {name, "Face 2"}, {"Face 1", "Face 2"}):
        press_like(app, "Undo")
        assert set(timeline_queries.list_tracks(recording["session_id"])["name"]) == expected
    assert not any(button.label.startswith("Undo") for button in app.button)
    assert set(app.dataframe[-1].value["face"]) <= {"Face 1", "Face 2"}
    actions = ["rename", "merge", "split", "undo", "undo", "undo"]
    assert list_actions(sqlite_engine) == [("local", f"track.{action}") for action in actions]


def test_the_second_of_two_analysts_who_edit_faces_is_told(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    find(app.text_input, "Name").set_value("Cy")
    person_actions.merge_persons(recording["session_id"], 0, [1, 2])
    press(app, "Rename")
    assert "Face 2 merged into Face 1" in app.error[0].value.replace("\\", "")
    assert timeline_queries.list_tracks(recording["session_id"])["name"].tolist() == ["Face 1"]
    # What was typed is still there, and can be saved.
    assert find(app.text_input, "Name").value == "Cy"
    press(app, "Rename")
    assert timeline_queries.list_tracks(recording["session_id"])["name"].tolist() == ["Cy"]


def test_a_camera_s_face_is_split_at_a_moment_of_the_wall(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    now = time.time()
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, now)
    app = open_app(monkeypatch, url, range="last hour")
    # The camera's clock runs 1 percent slow: 101 s of the wall are 100 s of its session.
    app.session_state[f"moment-{source_id}-last hour"] = now - 360 + 101
    app.run()
    press_like(app, "Split at")
    faces = timeline_queries.list_camera_faces(source_id, now - 3600, now)
    assert sorted(faces["num_faces"]) == [100, 200]


def test_a_viewer_can_change_nothing_also_not_by_calling_the_actions(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    add_marker(app, "Mark what is shown", "mine")
    (row,) = list_markers(sqlite_engine, recording)
    values = {name: row[name] for name in ("start", "end", "name", "colour", "note")}
    person_actions.rename_person(recording["session_id"], 0, 1, "Ann")
    monkeypatch.setattr(identity, "find_visitor", lambda: Visitor("eve", VIEWER))
    session_id = recording["session_id"]
    for act in (
        lambda: marking_actions.add_marker(recording["source_id"], session_id, **values),
        lambda: marking_actions.change_marker(row["marker_id"], 1, **values),
        lambda: marking_actions.remove_marker(row["marker_id"], 1),
        lambda: marking_actions.import_markers(recording["source_id"], session_id, [values]),
        lambda: person_actions.rename_person(session_id, 1, 1, "x"),
        lambda: person_actions.merge_persons(session_id, 1, [1, 2]),
        lambda: person_actions.split_person(session_id, 1, 1, 3.0),
        lambda: person_actions.undo_edit(session_id, 1),
    ):
        with pytest.raises(NotAllowedError, match="analyst"):
            act()
    assert list_markers(sqlite_engine, recording) == [row]


def test_a_file_is_taken_in_once_and_a_wrong_one_not_at_all(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, recording: dict[str, Any]
) -> None:
    app = open_app(monkeypatch, url)
    content = b"name,start,end\nq 1,12.5,75\nq 2,0:20,\n"
    find(app.file_uploader, "CSV").set_value(("markers.csv", content.replace(b"75", b"x"), "text/csv"))
    press(app, "Import")
    assert "line 2" in app.error[0].value and not list_markers(sqlite_engine, recording)
    for told in ("2 markers imported; 0", "0 markers imported; 2"):
        find(app.file_uploader, "CSV").set_value(("markers.csv", content, "text/csv"))
        press(app, "Import")
        assert told in app.success[0].value
    assert [row["name"] for row in list_markers(sqlite_engine, recording)] == ["q 1", "q 2"]
    assert list_actions(sqlite_engine) == [("local", "marker.add")] * 2


def test_marks_stand_above_the_panels_and_their_names_do_not_meet() -> None:
    marks = [Mark(float(at), at + 1.0 if at % 2 else None, f"number {at}", "#123456", "", "a") for at in range(10)]
    marks += [Mark(50.0, 60.0, HOSTILE, "#123456", HOSTILE, HOSTILE), Mark(500.0, None, "away", "#123456", "", "a")]
    placed = stack_marks(marks, 0.0, 100.0)
    assert len(placed) == 11 and {one.level for one in placed} == {0, 1, 2, 3}
    panel = make_panel("Face 1", [], [], 0.0, 100.0)
    drawn = draw_timeline([panel], 0.0, 100.0, theme=LIGHT, marks=marks).to_plotly_json()
    words = str([trace.get("text") for trace in drawn["data"]] + [trace.get("hovertext") for trace in drawn["data"]])
    assert "number 3" in words and "<script>" not in words and "&lt;script&gt;" in words
    assert len(drawn["layout"]["shapes"]) == 10 + 5 + 2
