"""The pages of operators: what runs, what is to run, and what went wrong."""

import time
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from dashboard_pages import SECRET, fill_in, find_redis_url, list_texts, open_app, press
from streamlit.testing.v1 import AppTest

from contracts import cameras, leases, store
from contracts.database import read_transaction
from contracts.encryption import find_secret_key
from contracts.schema import streams
from contracts.settings import read_settings
from contracts.sources import parse_source
from contracts.stream_state import BACKING_OFF, LIVE, StreamState, publish_state
from contracts.worker_state import WorkerState, publish_worker_state

URL = f"rtsp://operator:{SECRET}@192.0.2.7/stream"


@pytest.fixture
def url(sqlite_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: redis.Redis) -> str:
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path))
    port = valkey.connection_pool.connection_kwargs
    monkeypatch.setenv("EMOTRACE_REDIS_URL", find_redis_url(port))
    return str(sqlite_engine.url)


def list_streams(engine: sa.Engine) -> list[store.Row]:
    with read_transaction(engine) as connection:
        return cameras.list_streams(connection)


def add_running_camera(engine: sa.Engine, client: redis.Redis, name: str, state: str, **told: Any) -> None:
    with engine.begin() as connection:
        stream = cameras.add_stream(
            connection, find_secret_key(read_settings()), stream_id=store.make_uuid7(), name=name,
            source=parse_source("rtsp://192.0.2.1/live"), profile="live", fps=10.0, transport=None, enabled=True,
        )  # fmt: skip
        leases.acquire_lease(connection, stream["stream_id"], "host 1", 60.0)
    now = time.time()
    publish_state(
        client,
        StreamState(stream_id=stream["stream_id"], name=name, state=state, since=now - 60, at=now, host="host", pid=1,
                    epoch=1, **told),
    )  # fmt: skip


def test_a_camera_is_added_and_its_password_never_shown_again(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    app = fill_in(open_app(monkeypatch, url, "cameras"), "Add", Name="Gate", URL=URL)
    (stream,) = list_streams(sqlite_engine)
    assert (stream["name"], stream["url"], stream["enabled"]) == ("Gate", "rtsp://***@192.0.2.7/stream", True)
    assert "Added Gate" in list_texts(app)
    app.run()
    assert SECRET not in f"{app} {app.session_state!r} {vars(app.session_state)} {app.query_params}"
    with read_transaction(sqlite_engine) as connection:
        assert SECRET not in str(connection.execute(sa.select(streams)).all())
        key = find_secret_key(read_settings())
        assert cameras.read_source(connection, key, stream["stream_id"]).location == URL


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("Gate", "ftp://192.0.2.7/x", "ftp"),
        ("<script>alert(1)</script>", URL, "cannot be named"),
        ("'; DROP TABLE streams; --", URL, "cannot be named"),
        ("", URL, "cannot be named"),
        ("Gate", "", "URL is empty"),
    ],
)
def test_what_the_command_line_refuses_the_page_refuses(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, name: str, given: str, said: str
) -> None:
    app = fill_in(open_app(monkeypatch, url, "cameras"), "Add", Name=name, URL=given)
    assert said in app.error[0].value.replace("\\", "")
    assert SECRET not in str(app)
    assert not list_streams(sqlite_engine)


def test_a_camera_is_changed_stopped_and_removed(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine
) -> None:
    app = fill_in(open_app(monkeypatch, url, "cameras"), "Add", Name="Gate", URL=URL)
    (stream,) = list_streams(sqlite_engine)

    def choose() -> AppTest:
        next(box for box in app.selectbox if box.label == "Change a camera").set_value(stream["stream_id"]).run()
        return app

    choose().text_input[0].set_value("Gate north")
    press(app, "Save")
    (changed,) = list_streams(sqlite_engine)
    # The URL that was left empty is kept, credentials and all, and the run goes on.
    assert (changed["name"], changed["revision"]) == ("Gate north", 1)
    press(choose(), "Disable")
    assert not list_streams(sqlite_engine)[0]["enabled"]
    press(choose(), "Enable")
    assert list_streams(sqlite_engine)[0]["enabled"]
    press(choose(), "Remove it")
    assert list_streams(sqlite_engine) == []


def test_the_wall_shows_cameras_in_trouble_first(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    add_running_camera(sqlite_engine, valkey, "a good one", LIVE, num_tracks=2, lag_s=0.2, decoded=90, fps=10.0)
    message = "<b>refused</b> the password"
    add_running_camera(sqlite_engine, valkey, "z broken", BACKING_OFF, message=message, reconnects={"timeout": 3})
    app = open_app(monkeypatch, url, "wall")
    wall = app.dataframe[0].value
    assert list(wall["name"]) == ["z broken", "a good one"]
    assert wall["reconnects"].tolist() == [3, 0] and wall["message"][0] == message
    assert [(metric.label, metric.value) for metric in app.metric][:3] == [
        ("Live", "1 of 2"), ("In trouble", "1"), ("Faces now", "2"),
    ]  # fmt: skip
    app.text_input[0].set_value("GOOD").run()
    assert list(app.dataframe[0].value["name"]) == ["a good one"]


def test_health_shows_workers_and_what_was_rejected(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    from timeline_rows import make_session

    now = time.time()
    publish_worker_state(
        valkey,
        WorkerState("c", "host 7", 12, "cpu", "torch", "production-1", "live,batch", 5, 2.5, now - 10, now, "Redis"),
    )
    with sqlite_engine.begin() as connection:
        session = make_session(connection)
        store.record_rejection(connection, session["session_id"], 1, 10, 8, "<i>no crop</i> of this size")
    app = open_app(monkeypatch, url, "health")
    tables = [table.value for table in app.dataframe]
    workers = next(table for table in tables if "host" in table)
    assert workers["host"].tolist() == ["host 7"] and workers["waits for"].tolist() == ["Redis"]
    rejected = next(table for table in tables if "reason" in table)
    assert rejected["faces"].tolist() == [8] and rejected["reason"].tolist() == ["<i>no crop</i> of this size"]


@pytest.mark.parametrize("page", ["wall", "health"])
def test_a_redis_that_is_away_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, url: str, page: str) -> None:
    monkeypatch.setenv("EMOTRACE_REDIS_URL", "redis://operator:s3cr3t@127.0.0.1:1")
    app = open_app(monkeypatch, url, page)
    assert len(app.error) == 1 and "s3cr3t" not in str(app)
