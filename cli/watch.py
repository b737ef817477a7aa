"""``emotrace watch``: one source live in the dashboard, with everything that it needs, ended by one Ctrl-C."""

import os
import re
import socket
import sys
import threading
import time
import urllib.request
import webbrowser
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from rich.console import Console

from cli import audit
from cli.registry import read_source, tell_changes
from cli.services import Services, open_services
from cli.up import Part, run_parts
from cli.watching import catch_interrupts
from contracts import cameras
from contracts.database import read_transaction, write_transaction
from contracts.encryption import SecretKey, find_secret_key
from contracts.errors import EmotraceError, UsageError
from contracts.sources import FILE, WEBCAM, Source
from contracts.store import Row, make_uuid7

_HOST, _FIRST_PORT, _NUM_PORTS = "127.0.0.1", 8501, 50
_READY_S = 120.0


def run(
    source: str, fps: float, port: int | None, is_opened: bool, redis_url: str | None, database_url: str | None
) -> int:
    """Run a camera, inference, a scheduler and the dashboard until Ctrl-C or SIGTERM; return the exit code.

    A source that is no stream yet becomes one, which is disabled at the end; its sessions stay. Of one that is, what
    had to be turned on for it is turned off again.

    Raises:
        UsageError, ServiceError, SecretKeyError: the source, the settings or a service cannot be used.
    """
    port = port or _find_port()
    with open_services(redis_url, database_url) as services, catch_interrupts() as interrupt:
        before = _prepare(services, source, fps)
        stream_id = before["stream_id"]
        address = f"http://{_HOST}:{port}/live?camera={stream_id}&look=on"
        print(f"Watching {before['name']} at {address} — Ctrl-C ends it.", flush=True)
        if is_opened and _has_browser():
            threading.Thread(target=_open_when_ready, args=(address, port), daemon=True).start()
        known = [
            Part("dashboard", ["dashboard", "--port", str(port)]),
            Part("scheduler", ["scheduler"]),
            Part("inference", ["inference", "--lanes", "live"]),
            Part("camera", ["run-camera", stream_id]),
        ]
        try:
            run_parts(known, services, interrupt, f"emotrace watch {before['name']}")
        finally:
            _restore(services, before)
    return 0


def _prepare(services: Services, text: str, fps: float) -> Row:
    """Have a stream of the source run with its live view on; return its row as it was before."""
    key = find_secret_key(services.settings)
    with read_transaction(services.engine) as connection:
        found = next((row for row in cameras.list_streams(connection) if row["name"] == text), None)
    source = read_source(text) if found is None else None
    if source is not None:
        _check_at_hand(source)

    def write(connection: sa.Connection) -> Row:
        stream = found
        if source is not None:
            stream = _find_stream(connection, key, source) or _add_stream(connection, key, source, fps)
        assert stream is not None
        _change(connection, key, stream["stream_id"], {"enabled": True, "preview": True})
        return stream

    return write_transaction(services.engine, write, services.settings.retry_s)


def _find_stream(connection: sa.Connection, key: SecretKey, source: Source) -> Row | None:
    for row in cameras.list_streams(connection):
        is_alike = (row["kind"], row["url"]) == (source.kind, source.url)
        if is_alike and cameras.read_source(connection, key, row["stream_id"]).location == source.location:
            return row
    return None


def _add_stream(connection: sa.Connection, key: SecretKey, source: Source, fps: float) -> Row:
    taken = {row["name"] for row in cameras.list_streams(connection)}
    name = name_source(source)
    numbered = (f"{name} {number}" for number in range(2, len(taken) + 3))
    settings: dict[str, Any] = {
        "name": name if name not in taken else next(one for one in numbered if one not in taken),
        "profile": "live", "fps": fps, "transport": None, "enabled": False,
    }  # fmt: skip
    stream_id = make_uuid7()
    audit.record(connection, "camera.add", stream_id, **settings)
    return cameras.add_stream(connection, key, stream_id=stream_id, source=source, **settings)


def name_source(source: Source) -> str:
    """Return a name for a stream of a source: its file's, its device's or its host's."""
    words = Path(source.url).stem if source.kind in (FILE, WEBCAM) else urlsplit(source.url).hostname or source.kind
    plain = re.sub(r"[^\w.-]+", " ", words)[:60]
    return f"watch {plain}".strip()


def _change(connection: sa.Connection, key: SecretKey, stream_id: str, changes: Mapping[str, Any]) -> None:
    audit.record(connection, "camera.change", stream_id, **tell_changes(changes))
    cameras.change_stream(connection, key, stream_id, **changes)


def _restore(services: Services, before: Row) -> None:
    """Turn off again what was off before; a stream that somebody removed meanwhile stays removed."""
    key = find_secret_key(services.settings)
    changes = {name: False for name in ("enabled", "preview") if not before[name]}
    with suppress(EmotraceError):
        if changes:
            write_transaction(
                services.engine, lambda connection: _change(connection, key, before["stream_id"], changes), 5.0
            )


def _check_at_hand(source: Source) -> None:
    if source.kind in (FILE, WEBCAM) and not Path(source.location).exists():
        raise UsageError(
            f"There is neither a stream, a file nor a webcam {source.url!r} on this machine. Give a webcam (0 or "
            "/dev/video0), an rtsp:// or http:// URL, a file's path, or a name that `emotrace stream list` shows."
        )


def _find_port() -> int:
    for port in range(_FIRST_PORT, _FIRST_PORT + _NUM_PORTS):
        with suppress(OSError), socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((_HOST, port))
            return port
    raise UsageError(f"No port from {_FIRST_PORT} to {_FIRST_PORT + _NUM_PORTS - 1} is free. Name one with --port.")


def _has_browser() -> bool:
    """Tell whether a browser would open a window of its own, and not take over this terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_when_ready(address: str, port: int) -> None:
    end_s = time.monotonic() + _READY_S
    while time.monotonic() < end_s:
        with suppress(OSError), urllib.request.urlopen(f"http://{_HOST}:{port}/_stcore/health", timeout=5):
            if not webbrowser.open(address):
                Console(stderr=True).print("No browser could be opened.")
            return
        time.sleep(0.3)
