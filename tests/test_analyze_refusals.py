"""What ``emotrace analyze`` refuses: to resume what would mix two readings, and settings that cannot be used."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import RunEmotrace
from stored_rows import read_only_session

from contracts import store
from contracts.database import open_database
from contracts.model_card import WEIGHTS_DIR
from contracts.schema import sessions


def set_status(engine: sa.Engine, status: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.update(sessions).values(status=status))
    engine.dispose()


@pytest.fixture
def unfinished(tmp_path: Path, carphone: Path, run_emotrace: RunEmotrace) -> tuple[Path, str, sa.Engine]:
    """A clip of the test's own and its session, made to look like one that was interrupted."""
    clip = tmp_path / "clip.mp4"
    shutil.copy(carphone, clip)
    done = run_emotrace("analyze", clip, "--json")
    assert done.returncode == 0, done.stderr
    session_id = json.loads(done.stdout)["session_id"]
    engine = open_database(f"sqlite:///{tmp_path / 'data' / 'emotrace.db'}")
    set_status(engine, store.INTERRUPTED)
    return clip, session_id, engine


def test_resume_refuses_what_would_mix_two_readings(
    unfinished: tuple[Path, str, sa.Engine], run_emotrace: RunEmotrace, tmp_path: Path
) -> None:
    clip, session_id, engine = unfinished
    for suffix in (".json", ".safetensors"):
        shutil.copy(WEIGHTS_DIR / f"production{suffix}", tmp_path / f"mine{suffix}")
    for arguments, reason in (
        (("--fps", "5"), "ran with --fps 10.0, not 5.0"),
        (("--fps", "native"), "ran with --fps 10.0, not native"),
        (("--detector", "haar"), "not haar"),
        (("--profile", "live"), "ran with --profile batch, not live"),
        (("--model", "mine.json"), "ran with --model production"),
        ((tmp_path / "other.mp4",), f"belongs to {clip}"),
    ):
        refused = run_emotrace("analyze", *arguments, "--resume", session_id)
        assert refused.returncode == 2 and reason in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr
    with clip.open("ab") as file:
        file.write(b"more")
    refused = run_emotrace("analyze", "--resume", session_id)
    assert refused.returncode == 2 and "has changed since session" in refused.stderr
    clip.unlink()
    refused = run_emotrace("analyze", "--resume", session_id)
    assert refused.returncode == 3 and str(clip) in refused.stderr
    assert read_only_session(str(engine.url))["status"] == store.INTERRUPTED, "a refusal changes nothing"


def test_resume_refuses_a_complete_an_unknown_and_a_busy_session(
    unfinished: tuple[Path, str, sa.Engine], run_emotrace: RunEmotrace, tmp_path: Path
) -> None:
    _, session_id, engine = unfinished
    set_status(engine, store.COMPLETE)
    refused = run_emotrace("analyze", "--resume", session_id)
    assert refused.returncode == 2 and f"Session {session_id} is complete" in refused.stderr
    refused = run_emotrace("analyze", "--resume", "ffffffff")
    assert refused.returncode == 2 and "There is no session 'ffffffff'" in refused.stderr
    set_status(engine, store.INTERRUPTED)
    holder = "import sys; from pathlib import Path; from cli.plans import hold_session\n"
    holder += "with hold_session(Path(sys.argv[1]), sys.argv[2]): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "data"), session_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        refused = run_emotrace("analyze", "--resume", session_id)
        assert refused.returncode == 7 and "is being analysed by another run" in refused.stderr
        other.communicate("")


def test_an_unusable_setting_is_refused_before_anything_begins(
    run_emotrace: RunEmotrace, carphone: Path, tmp_path: Path
) -> None:
    refused = run_emotrace("analyze", carphone, EMOTRACE_REDIS_ULR="x")
    assert refused.returncode == 2 and "Did you mean EMOTRACE_REDIS_URL?" in refused.stderr
    refused = run_emotrace("analyze", carphone, EMOTRACE_REDIS_URL="redis://:pass@127.0.0.1:1/0", EMOTRACE_RETRY_S="0")
    assert refused.returncode == 7 and "Redis is out of reach" in refused.stderr and "pass" not in refused.stderr
    refused = run_emotrace("analyze", carphone, "--database", "postgresql://u:pass@127.0.0.1:1/x")
    assert refused.returncode == 7 and "The database" in refused.stderr and "pass" not in refused.stderr
    assert not (tmp_path / "emotrace-out").exists()
