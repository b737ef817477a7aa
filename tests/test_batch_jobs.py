"""Archives on RQ: parts on any number of workers, whatever dies on the way."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from camera_runs import wait_for
from conftest import RunEmotrace
from make_videos import repeat_video


@contextmanager
def installation_running(environment: dict[str, str]) -> Iterator[list[psutil.Popen]]:
    """Run an ingest host of two parts at a time, a worker and a scheduler."""
    commands = (["ingest", "--capacity", "0", "--parts", "2"], ["inference", "--lanes", "batch"], ["scheduler"])
    own = {**environment, "_EMOTRACE_PARENT_PID": str(os.getpid())}
    processes = [psutil.Popen([sys.executable, "-P", "-m", "cli.main", *words], env=own) for words in commands]
    try:
        yield processes
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait(60)


def kill_reader(ingest: psutil.Popen) -> bool:
    """Kill one of the processes that read parts at this moment; return whether there was one."""
    workers = [process.pid for process in ingest.children()]
    with suppress(psutil.NoSuchProcess):
        for process in ingest.children(recursive=True):
            if process.ppid() in workers:
                process.kill()
                return True
    return False


def read_rows(run_emotrace: RunEmotrace, session_id: str) -> list[tuple[str, ...]]:
    table = run_emotrace("export", session_id).stdout.splitlines()
    names = table[0].split(",")
    wanted = [names.index(name) for name in ("track_id", "pts", "frame_index")]
    return sorted(tuple(line.split(",")[index] for index in wanted) for line in table[1:])


def test_parts_whose_workers_are_killed_are_read_again_and_every_row_is_there_once(
    run_emotrace: RunEmotrace, environment: dict[str, str], tmp_path: Path, carphone: Path
) -> None:
    def submit() -> str:
        done = run_emotrace("batch", "submit", video, "--part-seconds", "8", "--fps", "native", "--json")
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["files"][0]["session_id"])

    def read_batch(session_id: str) -> dict[str, Any]:
        listed = json.loads(run_emotrace("batch", "list", "--json").stdout)
        return dict(next(one for one in listed if one["session_id"] == session_id))

    video = tmp_path / "long.mp4"
    repeat_video(carphone, video, 12)
    with installation_running(environment) as (ingest, *_):
        calm = submit()
        wait_for(lambda: read_batch(calm)["status"] == "complete", "the recording", limit_s=120)
        rough = submit()
        wait_for(lambda: kill_reader(ingest), "somebody to kill", limit_s=30)
        wait_for(lambda: read_batch(rough)["status"] == "complete", "the recording", limit_s=150)
    rows = read_rows(run_emotrace, calm)
    assert len(rows) == len(set(rows)) > 100
    assert read_rows(run_emotrace, rough) == rows
