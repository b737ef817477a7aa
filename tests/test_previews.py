"""A camera's pictures for the live view: there while somebody looks and the stream allows it, and nowhere else."""

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import redis
import sqlalchemy as sa
from camera_runs import add_camera, camera_running, configure, read_state, wait_for

from contracts import cameras, previews, store
from contracts.camera_tests import CameraTestResult, answer_test, wait_for_answer
from contracts.database import write_transaction
from contracts.embedded import run_valkey
from contracts.encryption import find_secret_key
from contracts.previews import Preview, ask_for_preview, publish_preview, read_preview
from contracts.settings import read_settings


@pytest.fixture
def camera(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, valkey_url: str, valkey: redis.Redis, sqlite_engine: sa.Engine,
    carphone: Path,
) -> str:  # fmt: skip
    configure(monkeypatch, tmp_path, valkey_url, sqlite_engine)
    return add_camera(sqlite_engine, carphone)


def set_preview(engine: sa.Engine, stream_id: str, preview: bool) -> store.Row:
    key = find_secret_key(read_settings())
    return write_transaction(
        engine, lambda connection: cameras.change_stream(connection, key, stream_id, preview=preview), 5.0
    )


def make_preview(jpeg: bytes = b"picture") -> Preview:
    return Preview(session_id="s", number=1, time_s=0.0, arrived_at=time.time(), fps=5.0, width=4, height=3, faces=(),
                   jpeg=jpeg)  # fmt: skip


def test_a_run_publishes_while_somebody_looks_and_the_stream_allows_it(
    camera: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    def look() -> Preview | None:
        ask_for_preview(valkey, camera)
        return read_preview(valkey, camera)

    def is_analysing() -> bool:
        told = read_state(valkey, camera)
        return told is not None and told.analysed > 20

    with camera_running(camera):
        # Somebody looks, and the stream does not allow it.
        ask_for_preview(valkey, camera)
        wait_for(is_analysing, "faces")
        assert look() is None
        revision = set_preview(sqlite_engine, camera, True)["revision"]
        wait_for(look, "a picture")
        first = look()
        assert first is not None
        wait_for(lambda: (newer := look()) is not None and newer.number > first.number + 3, "further pictures")
        told, preview = read_state(valkey, camera), look()
        assert told is not None and preview is not None and preview.session_id == first.session_id == told.session_id
        picture = cv2.imdecode(np.frombuffer(preview.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None and picture.shape == (preview.height, preview.width, 3)
        (face,) = preview.faces
        x1, y1, x2, y2 = face.box
        assert 0 <= x1 < x2 <= preview.width and 0 <= y1 < y2 <= preview.height and face.is_analysed
        assert 1 < preview.fps < 9 and time.time() - preview.arrived_at < 5
        # Nobody looks any more: it ends by itself, and the last picture is gone.
        wait_for(lambda: read_preview(valkey, camera) is None, "the end of the pictures")
        assert not previews.is_wanted(valkey, camera)
        # Turning it off ends it at once, whoever looks; the run goes on as it was.
        wait_for(look, "a picture again")
        assert set_preview(sqlite_engine, camera, False)["revision"] == revision
        wait_for(lambda: look() is None, "the end of the pictures")
        told = read_state(valkey, camera)
        assert told is not None and told.session_id == first.session_id


def test_a_picture_lies_on_no_disk_and_is_gone_in_seconds(tmp_path: Path) -> None:
    secret, mark = b"a face that nobody may keep", b"something that is written down"

    def read_files() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    with run_valkey(tmp_path) as url:
        client = redis.Redis.from_url(url, protocol=2)
        publish_preview(client, "camera", make_preview(secret))
        read = read_preview(client, "camera")
        assert read is not None and read.jpeg == secret
        answer_test(client, "test", CameraTestResult(jpeg=secret))
        client.set("mark", mark)
        wait_for(lambda: mark in read_files(), "the append-only file")
        assert secret not in read_files()
        wait_for(lambda: read_preview(client, "camera") is None, "the picture's end", limit_s=10)
        answer = wait_for_answer(client, "test", 1.0)
        assert answer is not None and answer.jpeg == secret
        client.close()
    assert secret not in read_files()


def test_a_picture_of_another_release_is_none(valkey: redis.Redis) -> None:
    valkey.set("emotrace:preview:camera", b"\x81\xa1x\x01")
    assert read_preview(valkey, "camera") is None
