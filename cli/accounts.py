"""What ``emotrace user`` does with the table of accounts. Nothing here prints a password."""

import getpass
import json
import sys
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import audit
from cli.messages import to_line
from cli.services import open_engine
from contracts import password_hashes, users
from contracts.database import read_transaction, write_transaction
from contracts.errors import UsageError
from contracts.passwords import read_password
from contracts.store import Row, make_uuid7

_MAX_LINE = 10_000


def add(name: str, role: str, oidc: bool, password_file: Path | None, *, database_url: str | None) -> None:
    name = users.check_name(name)
    if oidc and (password_file is not None or "@" not in name):
        raise UsageError(
            "--oidc takes an e-mail address, as the provider tells it, and no password: the provider asks for its own."
        )
    with open_engine(database_url) as (settings, engine, _):
        with read_transaction(engine) as connection:
            if users.find_user(connection, name) is not None:
                raise UsageError(f"There is an account {name!r} already. Choose another name, or change that one.")
        hashed, user_id = None if oidc else _ask_hash(name, password_file), make_uuid7()

        def write(connection: sa.Connection) -> Row:
            user = users.add_user(connection, user_id, name, role, hashed)
            audit.record(connection, "user.add", user_id, name=name, role=role)
            return user

        user = write_transaction(engine, write, settings.retry_s)
    print(f"Added {_describe(user)}.")


def list_all(*, database_url: str | None, as_json: bool) -> None:
    with open_engine(database_url) as (_, engine, _), read_transaction(engine) as connection:
        rows = users.list_users(connection)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print("No accounts: the dashboard is open, to this machine alone. Begin: emotrace user add NAME --role admin")
        return
    table = Table(box=None, header_style="bold")
    for column in ("name", "role", "logs in with", "state", "last login"):
        table.add_column(column, overflow="fold")
    for row in rows:
        at = row["last_login_at"]
        table.add_row(
            escape(row["name"]),
            row["role"],
            "password" if row["has_password"] else "OpenID Connect",
            _tell_state(row),
            f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}" if at is not None else "-",
        )
    # A pipe has no width of its own; lines are not to be broken for one.
    Console(highlight=False, width=None if sys.stdout.isatty() else 300).print(table)


def set_role(name: str, role: str, *, database_url: str | None) -> None:
    user = _change(name, "user.role", database_url, role=role)
    print(f"Changed {_describe(user)}.")


def set_password(name: str, password_file: Path | None, *, database_url: str | None) -> None:
    with open_engine(database_url) as (_, engine, _), read_transaction(engine) as connection:
        user = users.read_user(connection, name)
    if not user["has_password"]:
        raise UsageError(f"The account {user['name']!r} logs in through OpenID Connect and has no password of its own.")
    _change(name, "user.password", database_url, password_hash=_ask_hash(user["name"], password_file))
    print(f"The account {user['name']} has a new password; its browsers are logged out.")


def set_disabled(name: str, disabled: bool, *, database_url: str | None) -> None:
    user = _change(name, "user.disable" if disabled else "user.enable", database_url, disabled=disabled)
    print(f"The account {user['name']} is {_tell_state(user)}.")


def remove(name: str, *, yes: bool, database_url: str | None) -> None:
    with open_engine(database_url) as (settings, engine, _):
        with read_transaction(engine) as connection:
            user = users.read_user(connection, name)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(f"Removing {user['name']!r} asks first, and nobody can answer here. Give --yes.")
            typer.confirm(f"Remove {_describe(user)}?", abort=True)

        def write(connection: sa.Connection) -> bool:
            users.remove_user(connection, user["name"])
            audit.record(connection, "user.remove", user["user_id"], name=user["name"])
            return users.has_users(connection)

        are_left = write_transaction(engine, write, settings.retry_s)
    print(f"Removed the account {user['name']}.")
    if not are_left:
        print("It was the last one: the dashboard is open now, on this machine alone.")


def _change(
    name: str,
    action: str,
    database_url: str | None,
    *,
    role: str | None = None,
    disabled: bool | None = None,
    password_hash: str | None = None,
) -> Row:
    with open_engine(database_url) as (settings, engine, _):

        def write(connection: sa.Connection) -> Row:
            user = users.change_user(connection, name, role=role, disabled=disabled, password_hash=password_hash)
            details = {"name": user["name"]} | ({} if role is None else {"role": role})
            audit.record(connection, action, user["user_id"], **details)
            return user

        return write_transaction(engine, write, settings.retry_s)


def _ask_hash(name: str, password_file: Path | None) -> str:
    """Return the hash of a password from a file, from who sits there, or from standard input."""
    if password_file is not None:
        password = read_password(password_file)
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password of {name} (not shown): ")
        if getpass.getpass("Once more: ") != password:
            raise UsageError("The two passwords differ. Nothing was changed; try again.")
    else:
        try:
            password = sys.stdin.buffer.readline(_MAX_LINE).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("The password on standard input is not text in UTF-8.") from None
    return password_hashes.hash_password(password_hashes.check_password(password, name))


def _describe(user: Row) -> str:
    means = "a password" if user["has_password"] else "OpenID Connect"
    return to_line(f"the account {user['name']}: role {user['role']}, logs in with {means}, {_tell_state(user)}")


def _tell_state(user: Row) -> str:
    return "disabled" if user["disabled"] else "enabled"
