"""Health and metrics over HTTP: what is asked by whoever restarts, rolls out and watches."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from contracts.errors import ServiceError, UsageError
from contracts.health import serve_health

ROOT = Path(__file__).parent.parent


def ask(port: int | None, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_ready_process_says_so_and_shows_its_metrics() -> None:
    with serve_health(0, lambda: True) as port:
        assert ask(port, "/ready") == (200, '{"ok": true}\n')
        assert ask(port, "/live") == (200, '{"ok": true}\n')
        status, text = ask(port, "/metrics")
        assert (status == 200 and "emotrace_build_info" not in text) or "process_cpu_seconds_total" in text
        assert ask(port, "/")[0] == 404


def test_a_process_that_is_not_ready_says_why_and_becomes_ready() -> None:
    answers: list[bool | str] = ["no model is loaded yet"]
    with serve_health(0, lambda: answers[0]) as port:
        status, text = ask(port, "/ready")
        assert status == 503 and json.loads(text) == {"ok": False, "reason": "no model is loaded yet"}
        assert ask(port, "/live")[0] == 200
        answers[0] = True
        assert ask(port, "/ready")[0] == 200


def test_a_check_that_fails_is_a_no_and_its_reason_hides_credentials() -> None:
    def check() -> bool:
        raise ServiceError("Redis is out of reach (redis://me:secret@host:6379)")

    with serve_health(0, check, is_live=lambda: False) as port:
        status, text = ask(port, "/ready")
        assert status == 503 and "redis://***@host:6379" in text and "secret" not in text
        assert ask(port, "/live")[0] == 503


def test_a_check_with_a_defect_is_a_no_too() -> None:
    def check() -> bool:
        raise RuntimeError("a defect at redis://me:secret@host:6379")

    with serve_health(0, check) as port:
        status, text = ask(port, "/ready")
        assert status == 503 and json.loads(text)["reason"] == "the check failed: a defect at redis://***@host:6379"
        assert ask(port, "/live")[0] == 200


def test_a_taken_port_is_a_clear_error() -> None:
    with (
        serve_health(0, lambda: True) as port,
        pytest.raises(UsageError, match=rf"127\.0\.0\.1, port {port} \(.*in use\).*--health-port"),
        serve_health(port, lambda: True),
    ):
        pass


@pytest.mark.parametrize(("host", "port"), [("203.0.113.7", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 99999)])
def test_a_host_or_port_that_cannot_be_is_a_clear_error(host: str, port: int) -> None:
    with pytest.raises(UsageError, match="cannot be served"), serve_health(port, lambda: True, host=host):
        pass


def test_nothing_is_served_without_a_port() -> None:
    with serve_health(None, lambda: True) as port:
        assert port is None


def test_only_this_machine_is_answered_unless_the_setting_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_address(port: int | None) -> str:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return next(row[1] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port)

    if not Path("/proc/net/tcp").exists():
        pytest.skip("where sockets can be listed, and that is not at hand here")
    with serve_health(0, lambda: True) as port:
        assert find_address(port).startswith("0100007F")
    monkeypatch.setenv("EMOTRACE_HEALTH_HOST", "0.0.0.0")
    with serve_health(0, lambda: True) as port:
        assert find_address(port).startswith("00000000")


def test_the_port_is_free_again_afterwards() -> None:
    with serve_health(0, lambda: True) as port:
        ask(port, "/live")
    with serve_health(port, lambda: True) as again:
        assert again == port


def test_a_child_that_outlives_a_killed_process_does_not_keep_its_port() -> None:
    program = (
        "import os, sys, time\nfrom contracts.health import serve_health\n"
        "with serve_health(0, lambda: True) as port:\n"
        "    child = os.fork()\n"
        "    if child == 0:\n        time.sleep(60)\n        os._exit(0)\n"
        "    print(port, child, flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    port, child = map(int, process.stdout.readline().split())
    try:
        process.kill()
        process.wait()
        process.stdout.close()
        os.kill(child, 0)  # it lives
        # The child lets go of the port as soon as it gets to run.
        for _ in range(100):
            with suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return
            time.sleep(0.1)
        pytest.fail(f"port {port} is still taken")
    finally:
        os.kill(child, signal.SIGKILL)
