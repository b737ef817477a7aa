"""``emotrace dashboard``: the pages, served by Streamlit in a process of its own."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import sqlalchemy as sa

from cli.children import end_with_parent
from cli.services import open_services
from cli.watching import catch_interrupts
from contracts.database import read_transaction
from contracts.errors import UsageError
from contracts.users import has_users, is_loopback

_POLL_S = 0.2
_MIN_SECRET_LENGTH = 32
_STOP_TIMEOUT_S = 10.0


def run(host: str, port: int, redis_url: str | None, database_url: str | None) -> int:
    """Serve the pages until Ctrl-C or SIGTERM; return the exit code.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service cannot be used.
    """
    found = importlib.util.find_spec("dashboard")
    if found is None or found.origin is None:
        raise UsageError("The package dashboard is not installed. Install emotrace again.")
    server = Path(found.origin).parent / "server.py"
    _check_free(host, port)
    end_with_parent()
    with open_services(redis_url, database_url) as services, catch_interrupts() as interrupt:
        check_accounts(services.engine, host)
        secrets = services.settings.oidc_secrets_file
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "streamlit", "run", str(server)),
                *("--server.address", host, "--server.port", str(port)),
                *(() if secrets is None else ("--secrets.files", str(check_oidc_secrets(secrets)))),
            ],
            env={**os.environ, **services.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        print(f"The dashboard is at http://{host}:{port} — Ctrl-C ends it.", flush=True)
        try:
            while process.poll() is None and not interrupt.is_asked:
                time.sleep(_POLL_S)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return 0 if interrupt.is_asked else process.returncode


def check_oidc_secrets(path: Path) -> Path:
    """Return ``path`` if Streamlit can let people log in with what the file says.

    Raises:
        UsageError: it cannot be read, or lacks something.
    """
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8")).get("auth", {})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no TOML"  # what it holds is shown to nobody
        raise UsageError(f"The file {path} of EMOTRACE_OIDC_SECRETS_FILE cannot be read ({reason}).") from None
    named = [value for value in section.values() if isinstance(value, dict) and "client_id" in value]
    providers = named + ([section] if "client_id" in section else [])
    missing = [name for name in ("redirect_uri", "cookie_secret") if not section.get(name)]
    for provider in providers or [{}]:
        missing += [name for name in ("client_id", "client_secret", "server_metadata_url") if not provider.get(name)]
    if missing:
        raise UsageError(
            f"The section [auth] of {path} lacks {', '.join(missing)}. docs/operations.md shows a whole one."
        )
    if len(section["cookie_secret"]) < _MIN_SECRET_LENGTH:
        raise UsageError(
            f"cookie_secret in {path} is shorter than {_MIN_SECRET_LENGTH} characters, and whoever guesses it is let "
            "in. Make one: openssl rand -hex 32"
        )
    return path


def check_accounts(engine: sa.Engine, host: str) -> None:
    """Check that others are let in only where they have to log in.

    Raises:
        UsageError: ``host`` is open to others, and there are no accounts.
        ServiceError: the database is out of reach.
    """
    with read_transaction(engine) as connection:
        if is_loopback(host) or has_users(connection):
            return
    raise UsageError(
        f"On the address {host}, others could do everything, for there are no accounts yet. Add the first one "
        "(emotrace user add NAME --role admin), or serve this machine alone: leave --host out."
    )


def _check_free(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((host, port))
    except OSError as error:
        raise UsageError(
            f"The dashboard cannot be served on {host}, port {port} ({error.strerror or error}). Name a free port with "
            "--port, or an address of this machine with --host."
        ) from None
