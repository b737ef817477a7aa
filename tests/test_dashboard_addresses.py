"""A page's address: who opens it sees the same source, faces and range."""

import time

import numpy as np
import pytest
import sqlalchemy as sa
from dashboard_pages import list_texts, open_app, read_table
from timeline_rows import PROBABILITIES, TICKS, add_track, make_camera, make_probabilities, make_session

from contracts import markers, store
from contracts.schema import sessions

SECONDS = np.arange(0, 300_000, 1000, dtype=np.int64)


@pytest.fixture
def url(sqlite_engine: sa.Engine) -> str:
    return str(sqlite_engine.url)


def test_a_camera_s_chosen_faces_are_in_the_address(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    with sqlite_engine.begin() as connection:
        make_camera(connection, time.time())
        session_id = connection.execute(sa.select(sessions.c.session_id)).scalar_one()
        # The second face is one of those that were seen least, and so not offered by itself.
        for track_id in range(2, 30):
            part = SECONDS[: 10 if track_id == 2 else 20]
            add_track(connection, session_id, track_id, part, make_probabilities(len(part)))
    first = open_app(monkeypatch, url, range="last hour")
    first.multiselect[0].set_value([(session_id, 1), (session_id, 5)]).run()
    told = first.query_params["faces"]
    address = told if isinstance(told, str) else told[0]
    assert address == f"{session_id}.1,{session_id}.5"
    for faces, expected in ((address, [1, 5]), (f"{session_id}.2", [2])):
        app = open_app(monkeypatch, url, range="last hour", faces=faces)
        assert app.multiselect[0].value == [(session_id, one) for one in expected]
    assert open_app(monkeypatch, url, "summary", range="last hour", faces=address).multiselect[0].value == [
        (session_id, 1), (session_id, 5)
    ]  # fmt: skip
    # What is not there, or is no face, is left out.
    app = open_app(monkeypatch, url, range="last hour", faces=f"{session_id}.77,x.1,'; DROP TABLE,{session_id}.1")
    assert app.multiselect[0].value == [(session_id, 1)]
    assert "are left out" in list_texts(app) and not app.error


def test_all_faces_together_are_in_the_address_too(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    with sqlite_engine.begin() as connection:
        session = make_session(connection, duration_s=60.0)
        for track_id in (1, 2):
            add_track(connection, session["session_id"], track_id, TICKS, PROBABILITIES)
    app = open_app(monkeypatch, url)
    app.multiselect[0].set_value([]).run()
    assert app.query_params["faces"] in ("all", ["all"])
    assert set(read_table(open_app(monkeypatch, url, faces="all"))["face"]) == {"All faces"}


def test_another_source_begins_with_faces_of_its_own(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    made = []
    with sqlite_engine.begin() as connection:
        for name, most in (("older.mp4", 5), ("newer.mp4", 1)):
            session = make_session(connection, name=name, duration_s=60.0)
            for track_id in range(1, 6):
                part = TICKS if track_id == most else TICKS[: 10 * (6 - track_id)]
                add_track(connection, session["session_id"], track_id, part, PROBABILITIES[: len(part)])
            made.append(session)
    app = open_app(monkeypatch, url)
    app.multiselect[0].set_value([4]).run()
    app.selectbox(key="source").set_value(made[0]["source_id"]).run()
    assert app.multiselect[0].value == [5, 1, 2]


def test_a_link_to_a_camera_s_marker_opens_it_the_next_day_too(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    yesterday = time.time() - 86400
    with sqlite_engine.begin() as connection:
        source_id = make_camera(connection, yesterday)
        marker_id = store.make_uuid7()
        values = {"start": yesterday - 200, "end": None, "name": "alarm", "colour": "teal", "note": ""}
        about = {"marker_id": marker_id, "source_id": source_id, "session_id": None, "author": "Ann"}
        markers.add_marker(connection, **about, **values)
    app = open_app(monkeypatch, url, source=source_id, range="last hour", marker=marker_id)
    assert next(one for one in app.selectbox if one.label == "1 marker").value == marker_id
    times = next(one.value for one in app.dataframe if "time_s" in one.value)["time_s"]
    assert times.min() < yesterday - 200 < times.max() and len(times) <= 11  # it is what is looked at
