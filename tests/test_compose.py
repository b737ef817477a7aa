"""The compose file and the image: valid, hardened, without secrets in sight, and made of commands that exist."""

import json
import re
import shlex
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import redis
import yaml
from compose_file import COMPOSE, ROOT, SERVICES, check_command, fill_in, start_valkey

from contracts.health import serve_health
from contracts.settings import Settings

OURS = [name for name, service in SERVICES.items() if "emotrace" in service["image"]]


@pytest.mark.parametrize("name", ["docker-compose.yml", "deploy/compose.hosts.yml"])
def test_a_file_keeps_the_compose_specification(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", OURS)
def test_a_service_runs_a_command_of_emotrace(name: str) -> None:
    check_command([fill_in(word) for word in SERVICES[name]["command"]])


@pytest.mark.parametrize("name", OURS)
def test_a_service_is_given_settings_that_exist(name: str) -> None:
    for variable in SERVICES[name]["environment"]:
        if variable.startswith("EMOTRACE_"):
            assert variable.removeprefix("EMOTRACE_").lower() in Settings.model_fields


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_hardened_and_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert name in ("migrate", "dashboard") or name in OURS or service["healthcheck"]["test"]
    assert "privileged" not in service and service.get("network_mode") is None
    assert name in OURS or name == "prometheus" or service["user"] not in ("root", "0")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_passwords_stand_in_files_only(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        is_file = variable.endswith("_FILE") and value.startswith("/run/secrets/")
        assert is_file or not re.search(r"PASSWORD|SECRET|TOKEN|KEY", variable)
        assert not is_file or value.removeprefix("/run/secrets/") in service["secrets"]
        assert not re.search(r"://[^/@]*:[^/@]*@", str(value))
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])


def test_what_services_name_is_declared_and_there() -> None:
    for service in SERVICES.values():
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for volume in service.get("volumes", []):
            source = fill_in(volume).split(":")[0]
            assert source in COMPOSE["volumes"] or source == "./recordings" or (ROOT / source).exists()
    assert COMPOSE["networks"]["backend"]["internal"] is True
    reach_out = {name for name, service in SERVICES.items() if set(service["networks"]) - {"backend"}}
    assert reach_out == {"ingest", "dashboard", "prometheus"}


def test_the_file_for_more_hosts_changes_what_is_there() -> None:
    hosts = yaml.safe_load((ROOT / "deploy" / "compose.hosts.yml").read_text())
    assert set(hosts["services"]) <= set(SERVICES) and set(hosts["networks"]) <= set(COMPOSE["networks"])
    for name, service in hosts["services"].items():
        assert set(service.get("environment", {})) <= set(SERVICES[name]["environment"])
        assert all(port.startswith("${SERVERS:?}:") for port in service.get("ports", []))
    using = {name for name in OURS if "EMOTRACE_REDIS_URL" in SERVICES[name]["environment"]} - {"dashboard"}
    assert using == set(hosts["services"]) - {"valkey", "postgres"}


def test_valkey_starts_with_a_password_that_nobody_sees(tmp_path: Path) -> None:
    password = r'a"b\c $x&/*'
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "redis_password").write_text(password + "\n")
    socket = tmp_path / "s"
    process = start_valkey(tmp_path, f"--port 0 --unixsocket {socket}")
    try:
        deadline = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        with redis.Redis(unix_socket_path=str(socket)) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        with redis.Redis(unix_socket_path=str(socket), password=password) as client:
            found = client.config_get("*")
            assert found["maxmemory-policy"] == "noeviction" and found["maxmemory"] == str(256 * 2**20)
            assert found["appendonly"] == "yes" and found["save"] == ""
        assert not any('a"b' in word for word in process.cmdline())
        assert (tmp_path / "tmp" / "valkey.conf").stat().st_mode & 0o077 == 0
    finally:
        process.terminate()
        process.wait(20)


def test_the_image_holds_every_package_and_runs_as_nobody_special() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert "*" in ignored
    assert {f"!{package}/" for package in packages if "." not in package} <= set(ignored)
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert dockerfile.index("USER ") < dockerfile.index("ENTRYPOINT")
    for variable in re.findall(r"\bEMOTRACE_(\w+)=", dockerfile):
        assert variable.lower() in Settings.model_fields


@pytest.mark.parametrize("is_ready", [True, False])
def test_the_image_s_health_check_tells_a_ready_process_from_another(is_ready: bool) -> None:
    (found,) = re.findall(r"CMD (\[\"python\".*\])$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    with serve_health(0, lambda: is_ready) as port:
        command = [word.replace(":9400/", f":{port}/") for word in json.loads(found)]
        done = subprocess.run([sys.executable, *command[1:]], capture_output=True, check=False)
    assert (done.returncode == 0) is is_ready, shlex.join(command)
