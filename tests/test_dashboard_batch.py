"""The Batch page: recordings are uploaded or picked, looked at by a worker, watched, cancelled and tried again."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
import sqlalchemy as sa
import streamlit as st
from dashboard_pages import find_redis_url, list_texts, open_app, press
from make_videos import write_video
from rq import Queue
from web_server import ask, run_server

from contracts import audits, batches, jobs, parts, store
from contracts.database import read_transaction
from contracts.errors import ConflictError, NotAllowedError, UsageError
from contracts.schema import parts as parts_table
from contracts.schema import sessions
from contracts.settings import read_settings
from contracts.submissions import REFUSED, find_upload_dir, list_submissions
from dashboard.actions import batch_actions
from dashboard.grants import GRANTS
from dashboard.identity import ADMIN, VIEWER, Visitor
from dashboard.offers import find_folders, list_files
from dashboard.reading.batch_rows import Recording, describe
from dashboard.web import upload_routes
from dashboard.web.uploads import Upload, make_safe_name
from ingest.submissions import run_submission_job, submit_recording

LOCAL = Visitor("local", ADMIN)
HOSTILE = "<img src=x onerror=alert(1)> :red[**bold**] '; DROP TABLE sessions; --.mp4"


@pytest.fixture
def url(sqlite_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: redis.Redis) -> str:
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("EMOTRACE_DATABASE_URL", str(sqlite_engine.url))
    monkeypatch.setenv("EMOTRACE_REDIS_URL", find_redis_url(valkey.connection_pool.connection_kwargs))
    st.cache_resource.clear()
    st.cache_data.clear()
    return str(sqlite_engine.url)


@pytest.fixture
def address(url: str) -> Iterator[str]:
    with run_server(upload_routes.ROUTES, LOCAL) as address:
        yield address


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "clip.mp4"
    path.parent.mkdir()
    write_video(path, range(0, 2000, 40))
    return path


def upload(address: str, content: object, name: str = "clip.mp4") -> tuple[int, str]:
    path = batch_actions.open_upload(store.make_uuid7(), 10.0, parts.NORMAL)
    status, answer, _ = ask(f"{address}{path}", "PUT", content, X_File_Name=quote(name))
    return status, answer.decode()


def list_uploaded() -> list[str]:
    return sorted(str(path.name) for path in find_upload_dir(read_settings()).rglob("*") if path.is_file())


def list_sources(engine: sa.Engine) -> list[str]:
    with read_transaction(engine) as connection:
        return [row["source"] for row in batches.list_files(connection)]


def test_an_upload_becomes_a_recording_that_workers_read(
    address: str, sqlite_engine: sa.Engine, valkey: redis.Redis, clip: Path
) -> None:
    status, submission_id = upload(address, clip.read_bytes(), "Front door.mp4")
    assert status == 201 and list_uploaded() == ["Front door.mp4"]
    assert list_sources(sqlite_engine) == []  # nobody has looked at it yet
    session_id = run_submission_job(submission_id)
    with read_transaction(sqlite_engine) as connection:
        session = store.read_session(connection, session_id)
        plan, change = audits.list_changes(connection)
    assert (plan["who"], plan["action"], plan["subject"]) == (change["who"], "recording.plan", session_id)
    assert plan["details"]["submission_id"] == submission_id
    assert session["source"] == "Front door.mp4" and session["settings"]["fps"] == 10.0
    assert Path(session["url"]).read_bytes() == clip.read_bytes()
    assert jobs.list_waiting_parts(valkey) == {jobs.name_part_job(session_id, 0)}
    assert (change["who"], change["action"], change["details"]["name"]) == (
        "local",
        "recording.submit",
        "Front door.mp4",
    )
    assert list_submissions(valkey) == []


def test_a_renamed_executable_is_refused_and_deleted(
    monkeypatch: pytest.MonkeyPatch, url: str, address: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    with Path(sys.executable).resolve().open("rb") as file:
        program = file.read(200_000)
    status, submission_id = upload(address, program, "holiday.mp4")
    assert status == 201  # only a worker opens videos
    run_submission_job(submission_id)
    (refused,) = list_submissions(valkey)
    assert refused.state == REFUSED and refused.message.startswith("holiday.mp4 cannot be opened as a video")
    assert list_uploaded() == [] and list_sources(sqlite_engine) == []
    app = open_app(monkeypatch, url, "batch")
    assert "not analysed" in list_texts(app) and "cannot be opened as a video" in list_texts(app)
    press(app, "Dismiss")
    assert list_submissions(valkey) == []


def test_what_is_looked_at_again_is_neither_dismissed_nor_looked_at_twice(
    address: str, sqlite_engine: sa.Engine, valkey: redis.Redis, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contracts.submissions._NEW_S", 0.0)  # each says at once whether its job is there
    _, submission_id = upload(address, clip.read_bytes())
    for action in (batch_actions.retry_submission, batch_actions.dismiss_submission):
        with pytest.raises(ConflictError, match="any more"):
            action(submission_id)
    assert list_uploaded() == ["clip.mp4"]
    # Its worker dies, and one of two analysts has it looked at again.
    Queue(jobs.SUBMISSIONS, connection=valkey).empty()
    batch_actions.retry_submission(submission_id)
    with pytest.raises(ConflictError, match="any more"):
        batch_actions.dismiss_submission(submission_id)
    run_submission_job(submission_id)
    with pytest.raises(ConflictError, match="any more"):
        batch_actions.dismiss_submission(submission_id)
    assert list_uploaded() == ["clip.mp4"] and list_sources(sqlite_engine) == ["clip.mp4"]
    with read_transaction(sqlite_engine) as connection:
        actions = [one["action"] for one in audits.list_changes(connection)]
    assert actions == ["recording.plan", "recording.submit", "recording.submit"]


def test_an_upload_that_was_left_is_deleted_with_the_next_one(url: str) -> None:
    settings = read_settings()
    left, under_way = Upload(settings, "left.mp4", 1), Upload(settings, "under way.mp4", 1)
    long_ago = time.time() - 2 * 86_400
    (part,) = left._folder.iterdir()
    os.utime(part, (long_ago, long_ago))
    (find_upload_dir(settings) / "gone").mkdir()
    (find_upload_dir(settings) / "gone" / ".part").symlink_to("nowhere")  # as one that was finished while it was listed
    next_one = Upload(settings, "next.mp4", 1)
    assert not left._folder.exists() and under_way._folder.exists()
    for one in (left, under_way, next_one):
        one.discard()


def test_an_empty_upload_is_refused_at_once(address: str, valkey: redis.Redis) -> None:
    status, answer = upload(address, b"", "empty.mp4")
    assert status == 422 and "0 bytes" in answer
    assert list_uploaded() == [] and list_submissions(valkey) == []


@pytest.mark.parametrize("is_told", [True, False], ids=["its length is told", "its length is not told"])
def test_an_upload_larger_than_allowed_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, url: str, valkey: redis.Redis, is_told: bool
) -> None:
    monkeypatch.setenv("EMOTRACE_MAX_UPLOAD_GB", "0.000001")
    st.cache_resource.clear()
    with run_server(upload_routes.ROUTES, LOCAL) as address:
        status, answer = upload(address, bytes(2000) if is_told else iter([bytes(500)] * 4))
    assert status == 413 and "EMOTRACE_MAX_UPLOAD_GB" in answer
    assert list_uploaded() == [] and list_submissions(valkey) == []


def test_where_no_uploads_are_taken_folders_remain(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("EMOTRACE_MAX_UPLOAD_GB", "0")
    app = open_app(monkeypatch, url, "batch")
    assert app.segmented_control[0].options == ["From folders"]
    with run_server(upload_routes.ROUTES, LOCAL) as address:
        assert upload(address, b"x")[0] == 413 and list_uploaded() == []


def test_an_upload_that_breaks_off_leaves_nothing(address: str, valkey: redis.Redis) -> None:
    path, folder = batch_actions.open_upload(store.make_uuid7(), None, parts.LOW), find_upload_dir(read_settings())
    host, _, port = address.removeprefix("http://").partition(":")

    def wait_until(has_begun: bool) -> None:
        deadline = time.monotonic() + 10
        while any(folder.glob("*")) != has_begun:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n".encode())
        connection.sendall(bytes(2 << 20))
        wait_until(True)
    wait_until(False)
    assert list_submissions(valkey) == []


def test_a_link_for_something_else_takes_no_upload(address: str) -> None:
    for token in ("x" * 43, GRANTS.issue(LOCAL, "watch", "1"), GRANTS.issue(Visitor("another", ADMIN), "upload", "{}")):
        assert ask(f"{address}/uploads/{token}", "PUT", b"x")[0] == 403


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Front door (2).mp4", "Front door (2).mp4"),
        ("Prüfung № 3.MP4", "Prüfung _ 3.MP4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\videos\\clip.mov", "clip.mov"),
        ("/", "recording"),
        ("..", "recording"),
        ("", "recording"),
        (".bashrc", "bashrc"),
        ("a\0b\nc\u202egpj.mp4", "a_b_c_gpj.mp4"),
        ("=cmd|'/c calc'!A1.mp4", "c calc__A1.mp4"),
        ("🎬.mp4", "_.mp4"),
        ("no suffix", "no suffix"),
    ],
)
def test_names_are_made_safe_and_stay_readable(name: str, safe: str) -> None:
    assert make_safe_name(name) == safe


def test_a_name_of_any_length_fits_a_file_system(url: str) -> None:
    for name in ("x" * 10_000 + ".mp4", "漢" * 10_000 + ".mkv", HOSTILE, "." * 300, "a." + "b" * 300):
        received = Upload(read_settings(), name, 1)
        received.write(b"x")
        path = received.finish()
        assert len(path.name.encode()) <= 255 and path.parent.parent == find_upload_dir(read_settings())
        assert not set("<>/\\'\";:*[]") & set(path.name)


def test_recordings_are_picked_from_the_folders_on_offer_alone(
    monkeypatch: pytest.MonkeyPatch, url: str, tmp_path: Path, clip: Path, valkey: redis.Redis
) -> None:
    offered = tmp_path / "offered"
    (offered / "deep").mkdir(parents=True)
    (offered / "deep" / "inside.mp4").write_bytes(clip.read_bytes())
    (offered / "notes.txt").write_text("no recording")
    (offered / "leads out.mp4").symlink_to(clip)
    (offered / os.fsdecode(b"no text \xff.mp4")).write_bytes(clip.read_bytes())
    monkeypatch.setenv("EMOTRACE_RECORDING_DIRS", f"{offered}:{tmp_path / 'missing'}")
    st.cache_resource.clear()
    offers = list_files(find_folders(read_settings()))
    assert {offer.name for offer in offers} == {"deep/inside.mp4"}
    batch_id = store.make_uuid7()
    for path in (clip, offered / "leads out.mp4", offered / ".." / "clips" / "clip.mp4", Path("/etc/passwd")):
        with pytest.raises(UsageError, match="folders that are offered"):
            batch_actions.hand_in_files([path], batch_id, 10.0, parts.NORMAL)
    assert list_submissions(valkey) == []
    app = open_app(monkeypatch, url, "batch")
    app.segmented_control[0].set_value("From folders").run()
    app.multiselect[0].set_value([str(offered / "deep" / "inside.mp4")]).run()
    press(app, "Analyse")
    (handed_in,) = list_submissions(valkey)
    assert handed_in.path == str(offered / "deep" / "inside.mp4") and not handed_in.is_upload
    assert "No ingest worker runs" in list_texts(app)


def test_a_recording_is_cancelled_and_tried_again_on_the_page(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis, clip: Path
) -> None:
    hostile = clip.with_name("**bold** :red[x].mp4")
    clip.rename(hostile)
    planned = submit_recording(
        sqlite_engine, valkey, 5.0, video=hostile, batch_id=store.make_uuid7(), priority=parts.NORMAL, fps=10.0
    )

    def read_status() -> str:
        with read_transaction(sqlite_engine) as connection:
            return str(parts.read_part(connection, planned.session_id, 0)["status"])

    app = open_app(monkeypatch, url, "batch")
    assert "waiting for a free worker" in list_texts(app) and r"\*\*bold\*\* \:red\[x\]" in list_texts(app)
    press(app, "Cancel")
    assert read_status() == parts.CANCELLED and not jobs.list_waiting_parts(valkey)
    assert "Cancelled by local in the dashboard" in list_texts(app).replace(
        "\\", ""
    ) or "1 parts cancelled" in list_texts(app)
    press(app, "Try again")
    assert read_status() == parts.WAITING and jobs.list_waiting_parts(valkey)
    with read_transaction(sqlite_engine) as connection:
        assert [one["action"] for one in audits.list_changes(connection)] == ["recording.retry", "recording.cancel"]
        assert connection.execute(sa.select(sessions.c.status)).scalar_one() == store.RUNNING


def test_progress_is_measured_over_the_parts_that_were_read(engine: sa.Engine, valkey: redis.Redis, clip: Path) -> None:
    planned = submit_recording(
        engine, valkey, 5.0, video=clip, batch_id=store.make_uuid7(), priority=parts.NORMAL, fps=10.0
    )

    def look() -> Recording:
        with read_transaction(engine) as connection:
            return describe(batches.list_files(connection, planned.session_id)[0])

    assert (look().state, look().share, look().left_s) == ("waiting for a free worker", 0.0, None)
    with engine.begin() as connection:
        row = parts.begin_part(connection, planned.session_id, 0)
        assert row is not None
        begun = sa.update(parts_table).values(started_at=row["started_at"] - 10)
        connection.execute(begun)
        parts.renew_part(connection, planned.session_id, 0, 1, done_s=0.5 * row["end_s"])
    assert (look().state, look().has_rows) == ("being read", True)
    assert look().share == pytest.approx(0.5) and look().left_s == pytest.approx(10.0, abs=2.0)


def test_the_time_left_is_that_of_the_readers_at_work() -> None:
    row = {
        "session_id": "s", "source_id": "o", "source": "a.mp4", "batch_id": "b", "created_at": 0.0, "error": None,
        "status": store.RUNNING, "num_parts": 4, "num_done": 1, "num_failed": 0, "num_cancelled": 0, "num_running": 2,
        "done_s": 180.0, "total_s": 480.0, "reading_s": 90.0,
    }  # fmt: skip
    one = describe(row)
    # Two seconds a second by each of two readers.
    assert one.left_s == pytest.approx(75.0) and one.share == pytest.approx(0.375)
    assert (one.state, one.may_cancel, one.may_retry) == ("being read", True, False)
    assert describe({**row, "num_running": 0}).left_s is None
    failed = describe({**row, "status": store.FAILED, "num_running": 0, "num_failed": 3, "error": "broken"})
    assert (failed.may_cancel, failed.may_retry, failed.problem) == (False, True, "broken")


def test_a_viewer_hands_in_and_changes_nothing(monkeypatch: pytest.MonkeyPatch, url: str, valkey: redis.Redis) -> None:
    monkeypatch.setattr("dashboard.identity.find_visitor", lambda: Visitor("vera", VIEWER))
    for action, arguments in (
        (batch_actions.open_upload, ("b", 10.0, parts.NORMAL)),
        (batch_actions.hand_in_files, ([], "b", 10.0, parts.NORMAL)),
        (batch_actions.cancel, ("s",)),
        (batch_actions.retry, ("s",)),
        (batch_actions.retry_submission, ("s",)),
        (batch_actions.dismiss_submission, ("s",)),
    ):
        with pytest.raises(NotAllowedError, match="analyst"):
            action(*arguments)  # type: ignore[operator]
    app = open_app(monkeypatch, url, "batch")
    assert "No recordings yet" in list_texts(app) and not app.segmented_control
