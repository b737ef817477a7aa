"""A camera is tested from its page: a worker opens it, a picture is shown once, and credentials stay where they are."""

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
import redis
import sqlalchemy as sa
import streamlit as st
from dashboard_pages import SECRET, fill_in, find_redis_url, list_texts, open_app
from make_videos import read_pictures
from rq import Queue

from contracts import audits, cameras, jobs
from contracts.camera_tests import ask_for_test, take_test, wait_for_answer
from contracts.database import read_transaction
from contracts.encryption import find_secret_key
from contracts.errors import NotAllowedError
from contracts.settings import read_settings
from contracts.sources import parse_source
from dashboard.actions.camera_test_actions import try_camera
from dashboard.identity import ANALYST, Visitor
from ingest.camera_test import run_camera_test_job

URL = f"rtsp://operator:{SECRET}@127.0.0.1:1/stream"


@pytest.fixture
def url(sqlite_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: redis.Redis) -> str:
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EMOTRACE_REDIS_URL", find_redis_url(valkey.connection_pool.connection_kwargs))
    monkeypatch.setenv("EMOTRACE_CAMERA_OPEN_TIMEOUT_S", "5")
    st.cache_resource.clear()
    return str(sqlite_engine.url)


@contextmanager
def work(client: redis.Redis) -> Iterator[None]:
    """Do the tests that are asked for, as the worker for checks does."""
    is_over = threading.Event()

    def run() -> None:
        queue = Queue(jobs.CAMERA_TESTS, connection=client)
        while not is_over.is_set():
            for job_id in queue.get_job_ids():
                queue.remove(job_id)
                run_camera_test_job(job_id.removeprefix(f"{jobs.CAMERA_TESTS}-"))
            time.sleep(0.05)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(30)


def dump(client: redis.Redis) -> bytes:
    """All that Redis holds, RQ's compressed arguments in clear."""
    found = []
    for key in client.scan_iter():
        kind = client.type(key)
        values = [client.get(key)] if kind == b"string" else []
        if kind == b"hash":
            values = [zlib.decompress(value) if value[:1] == b"x" else value for value in client.hvals(key)]
        found += [key, *values]
    return b" ".join(found)


def test_what_a_camera_gives_is_read_once(url: str, valkey: redis.Redis, carphone: Path) -> None:
    key = find_secret_key(read_settings())
    test_id = ask_for_test(valkey, key, parse_source(str(carphone)), None)
    assert run_camera_test_job(test_id) == "tested"
    result = wait_for_answer(valkey, test_id, 0)
    assert result is not None and result.findings is not None
    picture = cv2.imdecode(np.frombuffer(result.jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None and picture.shape == (144, 176, 3)
    shown = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(float)
    changes = [np.abs(shown - one).mean() for one in read_pictures(carphone, limit=60)]
    assert int(np.argmin(changes)) == 0  # the first one
    assert (result.findings.codec, result.findings.most_faces) == ("h264", 1)
    assert wait_for_answer(valkey, test_id, 0) is None
    assert run_camera_test_job(test_id) == "too old"
    assert b"JFIF" not in dump(valkey)


def test_credentials_pass_through_redis_encrypted_alone(url: str, valkey: redis.Redis) -> None:
    key = find_secret_key(read_settings())
    test_id = ask_for_test(valkey, key, parse_source(URL), None)
    assert SECRET.encode() not in dump(valkey) and b"127.0.0.1" in dump(valkey)
    taken = take_test(valkey, key, test_id)
    assert taken is not None and taken[0].location == URL
    # Nor does an error tell them.
    test_id = ask_for_test(valkey, key, parse_source(URL), None)
    assert run_camera_test_job(test_id) == "failed"
    result = wait_for_answer(valkey, test_id, 0)
    assert result is not None and result.error and SECRET not in result.error


def test_a_camera_is_tested_before_it_is_added(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis, carphone: Path
) -> None:
    app = open_app(monkeypatch, url, "cameras")
    with work(valkey):
        fill_in(app, "Test", Name="Gate", URL=str(carphone))
    texts = list_texts(app).replace("\\", "")
    assert "The camera gives pictures" in texts and "h264, 176×144" in texts
    assert len(app.get("image")) == 1
    app.run()
    assert not app.get("image")  # shown once
    with read_transaction(sqlite_engine) as connection:
        assert cameras.list_streams(connection) == []
        assert [one["action"] for one in audits.list_changes(connection)] == ["camera.test"]


def test_a_stored_camera_is_tested_with_the_credentials_that_nobody_sees(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    app = fill_in(open_app(monkeypatch, url, "cameras"), "Add", Name="Gate", URL=URL)
    with read_transaction(sqlite_engine) as connection:
        (stream,) = cameras.list_streams(connection)
    with work(valkey):
        result = try_camera(stream["stream_id"], "", None)
    assert result.findings is None and "rtsp://***@127.0.0.1:1/stream" in result.error
    with read_transaction(sqlite_engine) as connection:
        assert SECRET not in str(audits.list_changes(connection))
    assert SECRET not in str(app)


def test_nobody_but_operators_tests_a_camera(monkeypatch: pytest.MonkeyPatch, url: str, valkey: redis.Redis) -> None:
    monkeypatch.setattr("dashboard.identity.find_visitor", lambda: Visitor("anna", ANALYST))
    with pytest.raises(NotAllowedError, match="operator"):
        try_camera(None, URL, None)
    assert not valkey.keys()
