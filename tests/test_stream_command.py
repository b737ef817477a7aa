"""``emotrace stream`` as operators use it: every command, every refusal, and no password in anything that is left."""

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.main import main
from contracts import audits
from contracts.database import open_database, read_transaction

PASSWORD = "hush/5@x"  # the form in which it is typed, and the one in which it is kept
SECRETS = ("hush", "olga")
URL = f"rtsp://olga:{PASSWORD}@10.0.0.5:8554/live?channel=1"
SHOWN = "rtsp://***@10.0.0.5:8554/live?channel=1"


Run = Callable[..., str]


@pytest.fixture
def run(
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run ``emotrace stream``, check its exit code and that it shows no credentials, and return all it printed."""
    for name in [*os.environ]:
        if name.startswith("EMOTRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("EMOTRACE_DATA_DIR", environment["EMOTRACE_DATA_DIR"])
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, code: int = 0, given: bytes = b"") -> str:
        monkeypatch.setattr(sys, "argv", ["emotrace", "stream", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        with pytest.raises(SystemExit) as ended:
            main()
        output = capsys.readouterr()
        said = output.out + output.err
        assert (ended.value.code or 0) == code, said
        assert not any(secret in said for secret in SECRETS), said
        return said

    return run


def test_a_stream_is_added_shown_changed_and_removed_and_its_password_is_nowhere(run: Run, tmp_path: Path) -> None:
    assert "No streams yet" in run("list")
    said = run("add", "front", URL)
    assert f"Added the stream front: {SHOWN} over tcp, profile live, 10 frames per second, enabled." in said
    assert "shell's history" in said and "write -" in said
    assert "already" in run("add", "front", URL, code=2)

    said = run("edit", "front", "--name", "Front Door", "--profile", "driver", "--fps", "2.5")
    assert "Front Door" in said and "profile driver, 2.5 frames" in said
    assert "is disabled" in run("disable", "Front Door")
    assert "is disabled" in run("disable", "Front Door")
    said = run("list")
    assert all(part in said for part in ("Front Door", "disabled", "driver", "2.5", "tcp", SHOWN))
    said = run("show", "Front Door")
    assert all(part in said for part in ("Front Door", "disabled", "driver", "2.5", SHOWN, "sessions   0"))

    assert "is enabled" in run("enable", "Front Door")
    stream = json.loads(run("show", "Front Door", "--json"))
    assert (stream["url"], stream["enabled"], stream["fps"], stream["revision"]) == (SHOWN, True, 2.5, 2)
    assert stream.pop("num_sessions") == 0
    assert json.loads(run("list", "--json")) == [stream]
    assert "now: 1." in run("rekey")

    for path in (tmp_path / "data").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(secret.encode() in content for secret in SECRETS), path
    assert "--yes" in run("remove", "Front Door", code=2)
    assert "Removed" in run("remove", "Front Door", "--yes")
    assert run("list", "--json").strip() == "[]"
    engine = open_database(f"sqlite:///{tmp_path / 'data' / 'emotrace.db'}")
    with read_transaction(engine) as connection:
        changes = audits.list_changes(connection)[::-1]
    engine.dispose()
    assert [row["action"] for row in changes] == [
        "camera.add", "camera.change", "camera.disable", "camera.disable", "camera.enable", "camera.remove",
    ]  # fmt: skip
    assert all(row["who"].startswith("command line") and row["subject"] == stream["stream_id"] for row in changes)


def test_a_url_is_read_from_standard_input_where_the_command_says_so(run: Run) -> None:
    said = run("add", "front", "-", "--disabled", given=f"{URL}\n".encode())
    assert said.strip().endswith("disabled.") and "history" not in said
    said = run("edit", "front", "--url", "-", given=b"https://olga:hush@cam/a.m3u8")
    assert "https://***@cam/a.m3u8, profile" in said
    for given, says in ((b"", "is empty"), (b"rtsp://h/a\nrtsp://h/hush", "control"), (b"/\xff\xfe", "no text")):
        assert says in run("add", "other", "-", code=2, given=given)
    assert len(json.loads(run("list", "--json"))) == 1


def test_a_url_typed_at_a_prompt_is_not_echoed(environment: dict[str, str], tmp_path: Path) -> None:
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli.main", "stream", "add", "front", "-"],
        env=environment, cwd=tmp_path, stdin=other_end, stdout=other_end, stderr=other_end, start_new_session=True,
    )  # fmt: skip
    os.close(other_end)
    said = b""
    while b"not shown" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, f"{URL}\n".encode())
    while b"Added" not in said:
        said += os.read(terminal, 1000)
    assert process.wait(60) == 0
    os.close(terminal)
    assert not any(secret.encode() in said for secret in SECRETS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "front", "door", URL), "There are arguments too many"),
        (("edit", "front", URL), "edit takes the URL after --url"),
        (("add", URL, "front"), "cannot be named 'rtsp://***@10.0.0.5:8554/live?channel=1'"),
        (("show", URL), "There is no stream 'rtsp://***@10.0.0.5:8554/live?channel=1'"),
        (("add", "front", "rtmp://olga:hush@h/a"), "cannot be read from rtmp://"),
        (("add", "front", "olga:hush@10.0.0.5/live"), "has no scheme"),
        (("add", "front", URL, "--fps", "0"), "--fps is 0"),
        (("add", "front", "http://olga:hush@h/a", "--transport", "udp"), "not for http://***@h/a"),
        (("list", "rtsp://olga:hush@h/a"), "There are arguments too many"),
        (("show", "front", "rtsp://olga:hush@h/a"), "There are arguments too many"),
        (("remove", "front", "rtsp://olga:hush@h/a"), "There are arguments too many"),
        (("edit", "front", "--transport", "rtsp://olga:hush@h/a"), "'rtsp://***@h/a' is not one"),
        (("rtsp://olga:hush@h/a",), "No such command 'rtsp://***@h/a'"),
        (("edit", "front"), "nothing to change"),
        (("edit", "front", "--fps", "5"), "There is no stream 'front'. List them with: emotrace stream list"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do_and_shows_no_password(arguments: tuple[str, ...], says: str, run: Run) -> None:
    assert says in run(*arguments, code=2)


def test_a_file_that_is_not_there_yet_is_added_with_a_word_of_warning(run: Run, tmp_path: Path) -> None:
    said = run("add", "loop", "clip.mp4")
    assert f"there is no file {tmp_path / 'clip.mp4'} on this machine, yet" in said and "Added" in said
    (tmp_path / "clip.mp4").touch()
    assert "no file" not in run("edit", "loop", "--url", "clip.mp4")


def test_a_key_that_cannot_be_used_is_told_before_anything_is_stored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "named.key"
    monkeypatch.setenv("EMOTRACE_SECRET_KEY_FILE", str(path))
    said = run("add", "front", URL, code=10)
    assert f"There is no key file {path}" in said and "openssl rand" in said
    assert run("list", "--json").strip() == "[]"
    path.write_text("nonsense")
    path.chmod(0o600)
    assert "no usable key" in run("add", "front", URL, code=10)
    assert "Added" in run("add", "open", "rtsp://10.0.0.5/live")
