"""What ``emotrace stream`` does with the table of streams. Nothing here prints credentials."""

import getpass
import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import audit
from cli.messages import print_error, to_line
from cli.services import open_engine
from contracts import cameras
from contracts.database import read_transaction, write_transaction
from contracts.encryption import find_secret_key
from contracts.errors import UsageError
from contracts.sources import FILE, Source, parse_source
from contracts.store import Row, make_uuid7


def add(
    name: str,
    url: str,
    *,
    profile: str,
    fps: float,
    transport: str | None,
    enabled: bool,
    preview: bool,
    database_url: str | None,
) -> None:
    source, stream_id = read_source(url), make_uuid7()
    with open_engine(database_url) as (settings, engine, _):
        key = find_secret_key(settings)
        values: dict[str, Any] = {
            "profile": profile, "fps": fps, "transport": transport, "enabled": enabled, "preview": preview
        }  # fmt: skip

        def write(connection: sa.Connection) -> Row:
            added = cameras.add_stream(connection, key, stream_id=stream_id, name=name, source=source, **values)
            audit.record(connection, "camera.add", stream_id, name=added["name"], **values)
            return added

        stream = write_transaction(engine, write, settings.retry_s)
    print(f"Added {_describe(stream)}.")


def list_all(*, database_url: str | None, as_json: bool) -> None:
    with open_engine(database_url) as (_, engine, _), read_transaction(engine) as connection:
        rows = cameras.list_streams(connection)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print("No streams yet. Begin with: emotrace stream add NAME URL")
        return
    table = Table(box=None, header_style="bold")
    for column in ("name", "state", "profile", "fps", "transport", "url"):
        table.add_column(column, justify="right" if column == "fps" else "left", overflow="fold")
    for row in rows:
        name, url = escape(row["name"]), escape(to_line(row["url"]))
        table.add_row(name, _tell_state(row), row["profile"], f"{row['fps']:g}", row["transport"] or "-", url)
    # A pipe has no width of its own; lines are not to be broken for one.
    Console(highlight=False, width=None if sys.stdout.isatty() else 400).print(table)


def show(name: str, *, database_url: str | None, as_json: bool) -> None:
    with open_engine(database_url) as (_, engine, _), read_transaction(engine) as connection:
        stream = cameras.read_stream(connection, name)
        num_sessions = cameras.count_sessions(connection, stream["stream_id"])
    if as_json:
        print(json.dumps({**stream, "num_sessions": num_sessions}, indent=2))
        return
    shown = {
        "name": stream["name"],
        "id": stream["stream_id"],
        "state": _tell_state(stream),
        "url": to_line(stream["url"]),
        "profile": stream["profile"],
        "fps": f"{stream['fps']:g}",
        "transport": stream["transport"] or "-",
        "live view": "on" if stream["preview"] else "off",
        "sessions": num_sessions,
        **{
            what: datetime.fromtimestamp(stream[f"{what}_at"]).strftime("%Y-%m-%d %H:%M")
            for what in ("created", "updated")
        },
    }
    for label, value in shown.items():
        print(f"{label:<10} {value}")


def edit(
    name: str,
    *,
    url: str | None,
    new_name: str | None,
    profile: str | None,
    fps: float | None,
    transport: str | None,
    preview: bool | None,
    database_url: str | None,
) -> None:
    if all(value is None for value in (url, new_name, profile, fps, transport, preview)):
        raise UsageError("There is nothing to change. Give --url, --name, --profile, --fps, --transport or --preview.")
    source = read_source(url) if url is not None else None
    changes = {
        "name": new_name, "source": source, "profile": profile, "fps": fps, "transport": transport, "preview": preview
    }  # fmt: skip
    stream = _change(name, "camera.change", changes, database_url)
    print(f"Changed {_describe(stream)}.")


def set_enabled(name: str, enabled: bool, *, database_url: str | None) -> None:
    stream = _change(name, "camera.enable" if enabled else "camera.disable", {"enabled": enabled}, database_url)
    print(f"The stream {stream['name']} is {_tell_state(stream)}.")


def remove(name: str, *, yes: bool, database_url: str | None) -> None:
    with open_engine(database_url) as (settings, engine, _):
        with read_transaction(engine) as connection:
            stream = cameras.read_stream(connection, name)
            num_sessions = cameras.count_sessions(connection, stream["stream_id"])
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError(f"Removing {stream['name']!r} asks first, and nobody can answer here. Give --yes.")
            typer.confirm(f"Remove {_describe(stream)}?", abort=True)

        def write(connection: sa.Connection) -> None:
            audit.record(connection, "camera.remove", stream["stream_id"], name=stream["name"])
            cameras.remove_stream(connection, stream["stream_id"])

        write_transaction(engine, write, settings.retry_s)
    kept = f" Its sessions stay ({num_sessions}): emotrace sessions" if num_sessions else ""
    print(f"Removed the stream {stream['name']}.{kept}")


def rekey(*, database_url: str | None) -> None:
    with open_engine(database_url) as (settings, engine, _):
        key = find_secret_key(settings)
        number = write_transaction(engine, lambda connection: cameras.reencrypt_urls(connection, key), settings.retry_s)
    print(f"Streams whose credentials are encrypted with the first key of {key.path} now: {number}.")


def _change(name: str, action: str, changes: Mapping[str, Any], database_url: str | None) -> Row:
    with open_engine(database_url) as (settings, engine, _):
        key = find_secret_key(settings)

        def write(connection: sa.Connection) -> Row:
            stream = cameras.read_stream(connection, name)
            changed = cameras.change_stream(connection, key, stream["stream_id"], **changes)
            audit.record(connection, action, stream["stream_id"], **tell_changes(changes))
            return changed

        return write_transaction(engine, write, settings.retry_s)


def tell_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what audits tell of a stream's changes: of its URL only that it is another one."""
    told = {what: value for what, value in changes.items() if value is not None and what != "source"}
    return told if changes.get("source") is None else {**told, "url": "new"}


def read_source(url: str) -> Source:
    """Return the source that a command line names, or standard input where it says ``-``."""
    is_hidden = url == "-"
    if is_hidden:
        is_typed = sys.stdin.isatty()
        url = getpass.getpass("URL (not shown): ") if is_typed else os.fsdecode(sys.stdin.buffer.read())
    source = parse_source(url)
    if source.has_credentials and not is_hidden:
        print_error(
            "the URL's credentials stand in the shell's history now; write - in its place to give it on standard input"
        )
    if source.kind == FILE and not Path(source.location).exists():
        print_error(f"there is no file {source.url} on this machine, yet")
    return source


def _describe(stream: Row) -> str:
    transport = f" over {stream['transport']}" if stream["transport"] else ""
    return (
        f"the stream {stream['name']}: {to_line(stream['url'])}{transport}, profile {stream['profile']}, "
        f"{stream['fps']:g} frames per second, {_tell_state(stream)}"
    )


def _tell_state(stream: Row) -> str:
    return "enabled" if stream["enabled"] else "disabled"
