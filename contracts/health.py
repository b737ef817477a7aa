"""A process's health and metrics over HTTP: ``/live``, ``/ready`` and ``/metrics``, in a thread of their own.

``/live`` and ``/ready`` answer 200 or 503 and JSON such as ``{"ok": false, "reason": "Redis is out of reach"}``.
Whoever restarts processes asks the first (it hangs), whoever sends them work or rolls out a release the second.
"""

import json
import os
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, generate_latest
from prometheus_client.registry import CollectorRegistry

from contracts.errors import EmotraceError, UsageError
from contracts.logs import get_logger
from contracts.settings import hide_credentials, read_settings

# Whether it is so; where it is not, False, or a text that says why.
Check = Callable[[], bool | str]
_CLIENT_TIMEOUT_S = 10.0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    checks: dict[str, Check]
    registry: CollectorRegistry

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log a defect; a client that went away is none."""
        if not isinstance(sys.exception(), OSError):
            get_logger(__name__).exception("metrics could not be shown")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "emotrace"
    sys_version = ""
    timeout = _CLIENT_TIMEOUT_S

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.server.registry))
        elif path in self.server.checks:
            reason = _find_reason(self.server.checks[path])
            body = {"ok": reason is None} | ({"reason": reason} if reason is not None else {})
            self._answer(200 if reason is None else 503, "application/json", json.dumps(body).encode() + b"\n")
        else:
            self._answer(404, "text/plain", b"/live, /ready and /metrics are here.\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: every few seconds somebody asks."""


def _find_reason(check: Check) -> str | None:
    """Return why a check fails, or None where it does not."""
    try:
        found = check()
    except EmotraceError as error:
        found = str(error)
    except Exception as error:
        # Whoever asks must hear a no, whatever went wrong.
        found = f"the check failed: {error}"
    if found is True:
        return None
    return hide_credentials(found) if isinstance(found, str) else "no"


@contextmanager
def serve_health(
    port: int | None,
    is_ready: Check,
    is_live: Check = lambda: True,
    host: str | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> Iterator[int | None]:
    """Serve health and metrics while the context lasts, and yield the port: ``port``, or a free one where that is 0.

    ``None`` serves nothing. ``host`` is that of the settings by default. The checks are called in other threads and
    should answer within a second; an EmotraceError is a no, with its message as the reason.

    Raises:
        UsageError: the port is taken, or the host is not this machine's.
    """
    if port is None:
        yield None
        return
    server = _bind(host or read_settings().health_host, port)
    server.checks = {"/live": is_live, "/ready": is_ready}
    server.registry = registry
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.2}, name="health", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _bind(host: str, port: int) -> _Server:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        server = type("_FamilyServer", (_Server,), {"address_family": family})((host, port), _Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"Health and metrics cannot be served on {host}, port {port} ({reason}). Name a free port with "
            "--health-port, or an address of this machine in EMOTRACE_HEALTH_HOST."
        ) from None
    _sockets.add(server.socket)
    assert isinstance(server, _Server)
    return server


# A forked child that outlived its parent would keep the port, and nobody could take the parent's place.
_sockets: "weakref.WeakSet[socket.socket]" = weakref.WeakSet()


def _close_in_child() -> None:
    for one in list(_sockets):
        one.close()


os.register_at_fork(after_in_child=_close_in_child)
