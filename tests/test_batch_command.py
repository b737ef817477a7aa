"""``emotrace batch``: recordings submitted, listed, cancelled and retried by whoever sits at the command line."""

import json
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from conftest import RunEmotrace
from make_videos import draw_pattern, write_video

from contracts.audits import list_changes
from contracts.database import open_database, read_transaction

GROUPS = {"x264-params": "keyint=25:min-keyint=25:scenecut=0"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recording of three parts, one of one part, a file that is no video, and one of another kind."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    write_video(folder / "long.mp4", range(0, 25 * 12), Fraction(1, 25), draw_pattern, options=GROUPS)
    write_video(folder / "deep" / "short.mkv", range(0, 2000, 40), options=GROUPS)
    (folder / "notes.txt").write_text("not a recording")
    return folder


def submit(run_emotrace: RunEmotrace, *arguments: object) -> Any:
    done = run_emotrace("batch", "submit", *arguments, "--part-seconds", 4, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def list_files(run_emotrace: RunEmotrace, *arguments: object) -> Any:
    done = run_emotrace("batch", "list", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run_part(environment: dict[str, str], tmp_path: Path, session_id: str, part: int) -> str:
    """Run a part's job as a worker would: by its dotted name, in a process of its own."""
    program = "import sys; from ingest.jobs import run_part; print(run_part(sys.argv[1], int(sys.argv[2])))"
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, session_id, str(part)],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(root), environment.get("PYTHONPATH", "")])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_folder_is_submitted_read_in_parts_and_listed_with_its_progress(
    run_emotrace: RunEmotrace, environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    batch = submit(run_emotrace, folder, "--priority", "high")
    files = {one["source"]: one for one in batch["files"]}
    assert {name: one["parts"] for name, one in files.items()} == {"long.mp4": 3, "short.mkv": 1}
    assert files["long.mp4"]["seams_s"] == [4.0, 8.0]
    session_id = files["long.mp4"]["session_id"]
    assert run_part(environment, tmp_path, session_id, 1) == "done"
    shown = {one["source"]: one for one in list_files(run_emotrace, batch["batch_id"])}
    long = shown["long.mp4"]
    assert (long["status"], long["num_done"], long["num_parts"], long["priority"]) == ("running", 1, 3, "high")
    assert long["done_s"] == pytest.approx(4.0) and long["total_s"] == pytest.approx(12.0)
    assert [part["status"] for part in long["parts"]] == ["waiting", "done", "waiting"]
    for part in (0, 2):
        run_part(environment, tmp_path, session_id, part)
    done = run_emotrace("batch", "list")
    assert "complete" in done.stdout and "3/3" in done.stdout and "waiting" in done.stdout
    assert "1 of 2 recordings complete, 3 of 4 parts" in done.stdout
    assert "1 of 1 recordings complete" in run_emotrace("batch", "list", session_id).stdout


def test_cancelling_and_retrying_a_batch(run_emotrace: RunEmotrace, folder: Path, tmp_path: Path) -> None:
    batch = submit(run_emotrace, folder / "long.mp4")
    done = run_emotrace("batch", "cancel", batch["batch_id"])
    assert (done.returncode, done.stdout) == (0, "long.mp4: 3 of 3 parts cancelled\n")
    (shown,) = list_files(run_emotrace)
    assert (shown["status"], shown["num_cancelled"], shown["done_s"]) == ("interrupted", 3, 0.0)
    done = run_emotrace("batch", "retry", shown["session_id"])
    assert (done.returncode, done.stdout) == (0, "long.mp4: 3 of 3 parts to be read again\n")
    (shown,) = list_files(run_emotrace)
    assert (shown["status"], shown["num_cancelled"]) == ("running", 0)
    done = run_emotrace("analyze", "--resume", shown["session_id"])
    assert done.returncode == 2 and "emotrace batch retry" in done.stderr
    engine = open_database(f"sqlite:///{tmp_path / 'data' / 'emotrace.db'}")
    with read_transaction(engine) as connection:
        rows = list_changes(connection)
    engine.dispose()
    changes = [(row["action"], row["subject"]) for row in rows]
    assert all(row["who"].startswith("command line") for row in rows)
    assert rows[-1]["details"]["name"] == "long.mp4" and rows[-1]["details"]["part_s"] == 4
    assert changes == [(f"recording.{action}", shown["session_id"]) for action in ("retry", "cancel", "submit")]


def test_patterns_name_recordings_and_a_bad_file_does_not_keep_the_others_out(
    run_emotrace: RunEmotrace, folder: Path
) -> None:
    shutil.copy(folder / "notes.txt", folder / "broken.mp4")
    done = run_emotrace("batch", "submit", folder / "**" / "*.m[pk][4v]")
    assert done.returncode == 3
    assert "broken.mp4 cannot be opened as a video" in done.stderr
    assert "2 of 3 recordings" in done.stdout and "short.mkv: 1 part" in done.stdout
    assert len(list_files(run_emotrace)) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("submit", "nowhere/*.mp4"), 2, "names no recordings"),
        (("submit", "missing.mp4"), 3, "There is no file"),
        (("submit", "missing.mp4", "--fps", "0"), 2, "--fps"),
        (("list", "0123456789"), 2, "There is no batch"),
        (("cancel", "0123456789"), 2, "There is no batch"),
        (("retry", ""), 2, "There is no batch"),
    ],
)
def test_mistakes_are_told_in_one_line(
    run_emotrace: RunEmotrace, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = run_emotrace("batch", *arguments)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr
