"""``emotrace dashboard``, run as a user runs it."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def find_port() -> int:
    """Return a port that is free at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def run_dashboard(
    folder: Path, environment: dict[str, str], database_url: str, port: int | None = None
) -> Iterator[str]:
    """Run it in ``folder`` and yield its address; at the end it stops in order."""
    port = port or find_port()
    command = [sys.executable, "-P", "-m", "cli.main", "dashboard", "--port", str(port), "--database", database_url]
    variables = {**environment, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=variables, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = f"http://127.0.0.1:{port}"
        assert address in process.stdout.readline()
        try:
            wait_for_answer(f"{address}/_stcore/health")
            yield address
        finally:
            process.terminate()
    assert process.returncode == 0


def wait_for_answer(address: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
