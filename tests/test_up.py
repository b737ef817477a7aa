"""``emotrace up``: one command runs everything, restarts what dies, and ends in order."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from camera_runs import wait_for
from conftest import RunEmotrace


@contextmanager
def everything_running(environment: dict[str, str], out: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with out.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.main", "up", "--capacity", "1", "--parts", "0", "--no-dashboard"],
            env=environment,
            stderr=log,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(60)


def test_one_command_runs_a_camera_to_rows_restarts_what_dies_and_ends_in_order(
    run_emotrace: RunEmotrace, environment: dict[str, str], tmp_path: Path, carphone: Path
) -> None:
    def read_status() -> dict[str, Any]:
        status: dict[str, Any] = json.loads(run_emotrace("status", "--json").stdout)
        return status

    assert run_emotrace("stream", "add", "door", carphone, "--fps", "5").returncode == 0
    logs = Path(environment["EMOTRACE_DATA_DIR"]) / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "scheduler.log").write_bytes(b"said long ago\n" * 1_000_000)
    out = tmp_path / "up.txt"
    with everything_running(environment, out) as process:
        wait_for(lambda: read_status()["num_rows"] > 10, "rows", limit_s=90)
        status = read_status()
        (stream,), (worker,) = status["streams"], status["workers"]
        assert stream["state"] == "live" and stream["run"]["analysed"] > 0
        assert "live" in run_emotrace("status").stdout
        family = psutil.Process(process.pid).children(recursive=True)
        psutil.Process(worker["pid"]).kill()
        wait_for(
            lambda: [one["pid"] for one in read_status()["workers"] if one["pid"] != worker["pid"]], "a new worker"
        )
        before = read_status()["num_rows"]
        wait_for(lambda: read_status()["num_rows"] > before, "rows again", limit_s=90)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    said = out.read_text()
    assert "inference 1: ended, starts again" in said and "SIGKILL" in said and "Traceback" not in said
    assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    (stream,) = read_status()["streams"]
    assert (stream["state"], stream["holder"]) == ("waiting", None)
    # A log that has grown is put aside; there are never more than two.
    assert (logs / "scheduler.log").stat().st_size < 100_000 and (logs / "scheduler.old.log").stat().st_size > 1e7
