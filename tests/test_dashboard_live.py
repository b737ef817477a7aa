"""The live view: what a camera sees now, with what its newest rows say; for operators, on request, and noted."""

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import psutil
import pytest
import redis
import sqlalchemy as sa
from dashboard_pages import list_texts, open_app, press
from streamlit.testing.v1 import AppTest
from timeline_rows import add_track, make_session

from contracts import audits, cameras, previews, store, track_edits
from contracts.database import read_transaction
from contracts.emotions import EMOTIONS
from contracts.encryption import find_secret_key
from contracts.errors import NotAllowedError
from contracts.latest import read_latest
from contracts.previews import Preview, PreviewFace
from contracts.settings import read_settings
from contracts.sources import parse_source
from contracts.stream_state import BACKING_OFF, LIVE, StreamState, publish_state
from dashboard import identity
from dashboard.actions import camera_actions
from dashboard.identity import ANALYST, Visitor
from dashboard.queries import fleet_queries, live_queries
from dashboard.widgets import live_view

LIVE_VIEW_JS = (Path(live_view.__file__).parent.parent / "components" / "live_view.js").read_text()
HAPPY = np.array([[0.02, 0.02, 0.02, 0.86, 0.02, 0.02, 0.04]])


@pytest.fixture
def url(
    sqlite_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: redis.Redis, valkey_url: str
) -> str:
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EMOTRACE_REDIS_URL", valkey_url)
    return str(sqlite_engine.url)


def add_camera(engine: sa.Engine, preview: bool, name: str = "Gate") -> str:
    stream_id = store.make_uuid7()
    with engine.begin() as connection:
        cameras.add_stream(
            connection, find_secret_key(read_settings()), stream_id=stream_id, name=name,
            source=parse_source("rtsp://192.0.2.1/live"), profile="live", fps=10.0, transport=None, enabled=True,
            preview=preview,
        )  # fmt: skip
    return stream_id


def tell_state(client: redis.Redis, stream_id: str, state: str = LIVE, **told: Any) -> None:
    now = time.time()
    publish_state(client, StreamState(stream_id=stream_id, name="Gate", state=state, since=now, at=now, host="host",
                                      pid=1, epoch=1, fps=10.0, **told))  # fmt: skip


def show_picture(client: redis.Redis, stream_id: str, session_id: str, time_s: float, number: int = 1) -> None:
    """Publish a picture with three faces: one with rows, one without, one too small."""
    picture = np.full((90, 160, 3), 90, np.uint8)
    faces = (
        PreviewFace(1, (16.0, 9.0, 48.0, 45.0), True),
        PreviewFace(2, (60.0, 9.0, 80.0, 45.0), True),
        PreviewFace(3, (100.0, 9.0, 104.0, 15.0), False),
    )
    preview = Preview(
        session_id=session_id, number=number, time_s=time_s, arrived_at=time.time() - 0.3, fps=8.0, width=160,
        height=90, faces=faces, jpeg=cv2.imencode(".jpg", picture)[1].tobytes(),
    )  # fmt: skip
    previews.publish_preview(client, stream_id, preview)


def add_rows(engine: sa.Engine) -> str:
    with engine.begin() as connection:
        session = make_session(connection)
        ticks = np.arange(0, 5000, 100, dtype=np.int64)
        add_track(connection, session["session_id"], 1, ticks, np.repeat(HAPPY, len(ticks), axis=0))
    return str(session["session_id"])


def read_metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: str(metric.value) for metric in app.metric}


def list_actions(engine: sa.Engine) -> list[str]:
    with read_transaction(engine) as connection:
        return [row["action"] for row in audits.list_changes(connection)]


def test_the_newest_row_of_each_face_is_found(engine: sa.Engine) -> None:
    session_id = add_rows(engine)
    with read_transaction(engine) as connection:
        (row,) = read_latest(connection, session_id, [1, 2])
    assert (row["track_id"], row["time_s"]) == (1, pytest.approx(4.9))


def test_a_camera_is_looked_at_on_request_and_it_is_noted(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    stream_id = add_camera(sqlite_engine, preview=False)
    tell_state(valkey, stream_id)
    app = open_app(monkeypatch, url, "live")
    assert "is off" in list_texts(app) and app.toggle[0].disabled
    press(app, "Turn the live view on")
    assert not previews.is_wanted(valkey, stream_id) and list_actions(sqlite_engine) == ["camera.preview"]
    app.toggle[0].set_value(True).run()
    assert previews.is_wanted(valkey, stream_id)
    assert list_actions(sqlite_engine) == ["camera.look", "camera.preview"]
    assert "The first picture is on its way" in list_texts(app)
    session_id = add_rows(sqlite_engine)
    show_picture(valkey, stream_id, session_id, 5.2)
    app.run()
    metrics = read_metrics(app)
    assert metrics["State"].endswith("live") and metrics["Faces"] == "3" and metrics["Analysed a second"] == "10"
    assert 0.2 < float(metrics["Delay"].removesuffix(" s")) < 3
    assert not app.error


def test_faces_have_the_labels_of_their_newest_rows(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    stream_id, session_id = add_camera(sqlite_engine, preview=True), add_rows(sqlite_engine)
    open_app(monkeypatch, url)
    show_picture(valkey, stream_id, session_id, 5.2)
    known, new, small = live_queries.look_at(stream_id).faces
    assert (known.label, known.behind_s) == ("happy", pytest.approx(0.3)) and known.box == (0.1, 0.1, 0.3, 0.5)
    assert known.probabilities == pytest.approx(HAPPY[0]) and len(known.probabilities) == len(EMOTIONS)
    assert (new.label, small.label) == ("", "") and not small.is_analysed
    drawn = [live_view._describe(face) for face in (known, new, small)]
    assert [one["title"] for one in drawn] == ["Face 1 · happy 86%", "Face 2", "Face 3"]
    assert [one["note"] for one in drawn[1:]] == ["its first result is on its way", "too small to be analysed"]
    # An analyst's name is told here too; as text, whatever it holds.
    with sqlite_engine.begin() as connection:
        track_edits.rename_person(connection, session_id, 0, 1, "<b>Ann</b>", "bea")
    live_queries._read_rows.clear()
    named = live_view._describe(live_queries.look_at(stream_id).faces[0])
    assert named["title"] == "<b>Ann</b> · happy 86%" and "innerHTML" not in LIVE_VIEW_JS
    # A row of long ago says nothing of this picture.
    show_picture(valkey, stream_id, session_id, 60.0)
    assert live_queries.look_at(stream_id).faces[0].label == ""


def test_a_link_begins_to_look_where_the_stream_allows_it(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    shown, hidden = add_camera(sqlite_engine, True, "Gate"), add_camera(sqlite_engine, False, "Yard")
    tell_state(valkey, shown, BACKING_OFF, message="<b>no</b> answer from rtsp://user:s3cr3t@192.0.2.1")
    app = open_app(monkeypatch, url, "live", camera=shown, look="on")
    assert app.toggle[0].value and previews.is_wanted(valkey, shown)
    assert "answer" in list_texts(app) and "<b>" not in list_texts(app).replace("\\<", "")
    app = open_app(monkeypatch, url, "live", camera=hidden, look="on")
    assert not app.toggle[0].value and not previews.is_wanted(valkey, hidden)
    with pytest.raises(NotAllowedError, match="is off"):
        live_queries.look_at(hidden)


def test_who_is_no_operator_sees_no_picture_and_turns_nothing_on(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    stream_id = add_camera(sqlite_engine, preview=True)
    open_app(monkeypatch, url)
    monkeypatch.setattr(identity, "find_visitor", lambda: Visitor("ann", ANALYST))
    for attempt in (
        lambda: live_queries.look_at(stream_id),
        lambda: fleet_queries.list_cameras(),
        lambda: camera_actions.begin_look(stream_id),
        lambda: camera_actions.set_preview(stream_id, False),
    ):
        with pytest.raises(NotAllowedError, match="operator"):
            attempt()
    assert not previews.is_wanted(valkey, stream_id) and list_actions(sqlite_engine) == []


def test_nobody_looks_whose_look_cannot_be_noted(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    stream_id = add_camera(sqlite_engine, preview=True)
    app = open_app(monkeypatch, url, "live")
    with sqlite_engine.begin() as connection:
        connection.execute(sa.text("CREATE TRIGGER full BEFORE INSERT ON audits BEGIN SELECT RAISE(FAIL, 'full'); END"))
    app.toggle[0].set_value(True).run()
    assert app.error and not app.toggle[0].value and not previews.is_wanted(valkey, stream_id)
    app = open_app(monkeypatch, url, "live", camera=stream_id, look="on")
    for _ in range(2):
        assert app.error and not previews.is_wanted(valkey, stream_id)
        app.run()


def test_the_wall_leads_to_cameras_that_may_be_looked_at(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    shown = add_camera(sqlite_engine, True, "Gate")
    add_camera(sqlite_engine, False, "Yard")
    wall = open_app(monkeypatch, url, "wall").dataframe[0].value.set_index("name")
    assert wall.loc["Gate", "live"] == f"/live?camera={shown}&look=on" and pd.isna(wall.loc["Yard", "live"])
    # Others are led nowhere.
    monkeypatch.setattr(identity, "find_visitor", lambda: Visitor("ann", ANALYST))
    assert "live" not in open_app(monkeypatch, url, "wall").dataframe[0].value


def test_a_page_that_stays_open_needs_no_more_memory(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    stream_id, session_id = add_camera(sqlite_engine, preview=True), add_rows(sqlite_engine)
    tell_state(valkey, stream_id)
    app = open_app(monkeypatch, url, "live")
    app.toggle[0].set_value(True).run()
    process, sizes = psutil.Process(), []
    for number in range(1, 501):
        show_picture(valkey, stream_id, session_id, 5.2, number)
        app.run()
        if number in (100, 500):
            sizes.append(process.memory_info().rss)
    assert not app.exception and read_metrics(app)["Faces"] == "3"
    assert sizes[1] - sizes[0] < 30e6


def test_a_view_that_was_turned_off_and_on_again_is_noted_again(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    stream_id = add_camera(sqlite_engine, preview=True)
    app = open_app(monkeypatch, url, "live")
    app.toggle[0].set_value(True).run()
    camera_actions.set_preview(stream_id, False)
    fleet_queries.list_cameras.clear()
    assert "is off" in list_texts(app.run())
    press(app, "Turn the live view on")
    assert list_actions(sqlite_engine).count("camera.look") == 1 + int(app.toggle[0].value)
