"""The embedded Valkey: shared by concurrent runs, found again after crashes, and never in anybody's way."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
import sqlalchemy as sa
from valkey_process import run_own_valkey

from contracts import embedded
from contracts.database import migrate, open_database
from contracts.embedded import find_database_url, find_socket_path, run_valkey
from contracts.errors import ServiceError

# A user of the server: prints the server's process id, then leaves when it reads a line.
_USER = """
import sys
from pathlib import Path
import redis
from contracts.embedded import run_valkey
with run_valkey(Path(sys.argv[1])) as url:
    client = redis.Redis.from_url(url)
    print(client.info("server")["process_id"], flush=True)
    sys.stdin.readline()
    client.incr("users")
    client.close()
print("left", flush=True)
"""


class User:
    """Another process that uses the embedded server of ``data_dir``."""

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _USER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **variables},
        )
        self._server: int | None = None

    @property
    def server_pid(self) -> int:
        if self._server is None:
            assert self.process.stdout is not None
            self._server = int(self.process.stdout.readline())
        return self._server

    def leave(self) -> None:
        output, _ = self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0 and "left" in output

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def own_runtime_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    runtime = Path(f"/tmp/er-{os.getpid()}")
    runtime.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    yield
    for path in sorted(runtime.rglob("*"), reverse=True):
        path.unlink() if not path.is_dir() or path.is_symlink() else path.rmdir()
    runtime.rmdir()


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def find_servers(data_dir: Path) -> list[int]:
    """The Valkey processes that work in ``data_dir``."""
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["cwd"] == str(data_dir / "valkey") and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def test_two_runs_share_one_server_and_the_last_one_out_stops_it(tmp_path: Path) -> None:
    first, second = User(tmp_path), User(tmp_path)
    server = first.server_pid
    assert second.server_pid == server
    first.leave()
    assert is_running(server), "the second run still uses it"
    second.leave()
    assert not is_running(server)


def test_a_run_goes_on_when_the_run_that_started_the_server_is_killed(tmp_path: Path) -> None:
    first = User(tmp_path)
    server = first.server_pid
    second = User(tmp_path)
    assert second.server_pid == server
    first.kill()
    assert is_running(server)
    second.leave()
    assert not is_running(server)


def test_the_server_that_a_killed_run_left_behind_is_found_used_and_stopped_by_the_next(tmp_path: Path) -> None:
    first = User(tmp_path)
    server = first.server_pid
    first.kill()
    assert is_running(server)
    second = User(tmp_path)
    assert second.server_pid == server
    second.leave()
    assert not is_running(server)


def test_four_runs_that_start_at_once_get_one_server(tmp_path: Path) -> None:
    users = [User(tmp_path) for _ in range(4)]
    assert len({user.server_pid for user in users}) == 1
    assert len(find_servers(tmp_path)) == 1
    for user in users:
        user.leave()
    assert find_servers(tmp_path) == []
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.get("users") == b"4", "what one run wrote is there for the next"


def test_runs_with_different_runtime_directories_share_one_server_too(tmp_path: Path) -> None:
    """A login shell has XDG_RUNTIME_DIR, a cron job has not; two servers would ruin each other's file."""
    other = tmp_path / "r"
    other.mkdir(mode=0o700)
    first = User(tmp_path / "data")
    server = first.server_pid
    second = User(tmp_path / "data", XDG_RUNTIME_DIR="", TMPDIR=str(other))
    assert second.server_pid == server
    first.leave()
    second.leave()
    assert not is_running(server)


def test_a_socket_left_by_a_killed_server_does_not_block_the_next(tmp_path: Path) -> None:
    with run_own_valkey(tmp_path) as server:
        server.kill()
        assert find_socket_path(tmp_path).exists()
    with run_own_valkey(tmp_path) as next_server:
        assert next_server.pid != server.pid


def test_a_server_whose_socket_was_cleaned_away_is_replaced(tmp_path: Path) -> None:
    first = User(tmp_path)
    server = first.server_pid
    first.kill()
    find_socket_path(tmp_path).unlink()
    second = User(tmp_path)
    assert second.server_pid != server
    assert not is_running(server) and find_servers(tmp_path) == [second.server_pid]
    second.leave()


def test_a_server_that_others_use_is_not_ended_for_want_of_its_socket(tmp_path: Path) -> None:
    first = User(tmp_path)
    server = first.server_pid
    find_socket_path(tmp_path).unlink()
    with pytest.raises(ServiceError, match=rf"process {server}.*Wait for the other runs"), run_valkey(tmp_path):
        pass
    assert is_running(server)
    first.kill()
    os.kill(server, signal.SIGTERM)


def test_a_server_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = User(tmp_path)
    server = first.server_pid
    first.kill()
    os.kill(server, signal.SIGSTOP)
    monkeypatch.setattr(embedded, "_STOP_TIMEOUT_S", 1.0)
    original = redis.Redis.__init__

    def impatient(self: redis.Redis, **options: object) -> None:
        original(self, **{**options, "socket_timeout": 1})  # type: ignore[arg-type]

    monkeypatch.setattr(redis.Redis, "__init__", impatient)
    with run_own_valkey(tmp_path) as next_server:
        assert next_server.pid != server and not is_running(server)


@pytest.mark.parametrize(
    "name",
    [
        "with spaces in it",
        "ümläut-日本語-🎬",
        "quotes'and\"backslash\\",
        "per%41cent?mark#hash@at",
        "/".join(["a-very-long-folder-name-that-goes-on-and-on"] * 9),
    ],
    ids=["spaces", "unicode", "quotes", "url characters", "long"],
)
def test_any_data_directory_will_do(name: str, tmp_path: Path) -> None:
    data_dir = tmp_path / name
    with run_valkey(data_dir) as url, redis.Redis.from_url(url) as client:
        client.set("key", "value")
        assert client.config_get("dir")["dir"] == str(data_dir / "valkey")
    assert (data_dir / "valkey" / "appendonlydir").is_dir()
    engine = open_database(find_database_url(data_dir))
    migrate(engine)
    with engine.connect() as connection:
        assert sa.inspect(connection).has_table("emotions")
    engine.dispose()
    assert (data_dir / "emotrace.db").is_file()


def test_a_relative_data_directory_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_valkey(Path("here")) as url, redis.Redis.from_url(url) as client:
        client.set("key", "value")
    assert (tmp_path / "here" / "valkey" / "appendonlydir").is_dir()


def test_only_the_user_may_enter_the_directories(tmp_path: Path) -> None:
    old_mask = os.umask(0)
    try:
        with run_valkey(tmp_path / "data"):
            socket_path = find_socket_path(tmp_path / "data")
            for path in (tmp_path / "data", tmp_path / "data" / "valkey", socket_path.parent, socket_path):
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    finally:
        os.umask(old_mask)


def test_a_socket_directory_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    directory = find_socket_path(tmp_path).parent
    directory.chmod(0o755)
    with pytest.raises(ServiceError, match=r"open to others.*XDG_RUNTIME_DIR"), run_valkey(tmp_path):
        pass


def test_a_socket_directory_that_is_a_link_is_refused(tmp_path: Path) -> None:
    directory = find_socket_path(tmp_path).parent
    directory.rmdir()
    (tmp_path / "mine").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "mine")
    with pytest.raises(ServiceError, match="no directory"), run_valkey(tmp_path):
        pass


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_socket_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    directory = find_socket_path(tmp_path).parent
    os.chown(directory, 12345, 12345)
    with pytest.raises(ServiceError, match="belongs to another user"), run_valkey(tmp_path):
        pass


def test_a_data_directory_that_is_a_file_is_refused_clearly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ServiceError, match=r"cannot be made .*EMOTRACE_DATA_DIR"), run_valkey(tmp_path / "file"):
        pass
    with pytest.raises(ServiceError, match=r"cannot be made .*EMOTRACE_DATA_DIR"):
        find_database_url(tmp_path / "file" / "below")


def test_the_server_keeps_a_file_and_never_evicts(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.config_get("appendonly")["appendonly"] == "yes"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert int(client.config_get("maxmemory")["maxmemory"]) == 512 * 2**20
        assert client.config_get("port")["port"] == "0", "it must not be reachable over the network"


def find_append_only_file(data_dir: Path) -> Path:
    (found,) = (data_dir / "valkey" / "appendonlydir").glob("*.incr.aof")
    return found


def test_what_was_written_survives_a_server_killed_while_it_writes(tmp_path: Path) -> None:
    with run_own_valkey(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        client.config_set("appendfsync", "always")
        for _ in range(200):
            client.xadd("stream", {"payload": os.urandom(10_000)})
        os.kill(server.pid, signal.SIGKILL)
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.xlen("stream") == 200


def test_a_file_with_a_torn_end_loses_the_torn_entry_alone(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        for _ in range(10):
            client.xadd("stream", {"payload": bytes(1000)})
    file = find_append_only_file(tmp_path)
    os.truncate(file, file.stat().st_size - 500)
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.xlen("stream") == 9


def test_a_file_that_is_damaged_in_its_middle_is_named_with_what_to_do(tmp_path: Path) -> None:
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        for _ in range(10):
            client.xadd("stream", {"payload": bytes(1000)})
    file = find_append_only_file(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"XADD", b"NOPE", 5).replace(b"*5", b"xx", 5))
    begin = time.monotonic()
    message = r"did not start: .*append only file.* move .*appendonlydir away"
    with pytest.raises(ServiceError, match=message), run_valkey(tmp_path):
        pass
    assert time.monotonic() - begin < 10
    (tmp_path / "valkey" / "appendonlydir").rename(tmp_path / "away")
    with run_valkey(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.xlen("stream") == 0


def test_locks_are_released_when_the_run_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), run_own_valkey(tmp_path) as server:
        raise RuntimeError
    assert not is_running(server.pid)
