"""``emotrace dashboard``: the pages, served by Streamlit in a process of its own."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from cli.children import end_with_parent
from cli.services import open_services
from cli.watching import catch_interrupts
from contracts.errors import UsageError

_POLL_S = 0.2
_STOP_TIMEOUT_S = 10.0


def run(host: str, port: int, redis_url: str | None, database_url: str | None) -> int:
    """Serve the pages until Ctrl-C or SIGTERM; return the exit code.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service cannot be used.
    """
    found = importlib.util.find_spec("dashboard")
    if found is None or found.origin is None:
        raise UsageError("The package dashboard is not installed. Install emotrace again.")
    app = Path(found.origin).parent / "app.py"
    _check_free(host, port)
    end_with_parent()
    with open_services(redis_url, database_url) as services, catch_interrupts() as interrupt:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "streamlit", "run", str(app)),
                *("--server.address", host, "--server.port", str(port)),
            ],
            env={**os.environ, **services.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        print(f"The dashboard is at http://{host}:{port} — Ctrl-C ends it.", flush=True)
        try:
            while process.poll() is None and not interrupt.is_asked:
                time.sleep(_POLL_S)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return 0 if interrupt.is_asked else process.returncode


def _check_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"The dashboard cannot be served on {host}, port {port} ({error.strerror or error}). Name a free port with "
            "--port, or an address of this machine with --host."
        ) from None
