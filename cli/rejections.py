"""What ``emotrace rejected`` does."""

import json
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import redis
import sqlalchemy as sa
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import audit
from cli.messages import to_line
from cli.services import open_redis, open_services
from contracts import rejected
from contracts.database import write_transaction
from contracts.errors import MessageError, UsageError
from contracts.messages import decode
from contracts.rejected import Rejected


def list_all(lane: str | None, redis_url: str | None, as_json: bool) -> None:
    with open_redis(redis_url) as (settings, client):
        rows = [_describe(one) for one in rejected.iterate_rejected(client, settings.retry_s, lane)]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print("No rejected entries.")
        return
    table = Table(box=None, header_style="bold")
    columns = ("id", "lane", "session", "track", "first_pts", "faces", "rejected", "reason")
    for name in columns:
        is_number = name in ("track", "first_pts", "faces")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=name != "reason")
    for row in rows:
        cells = {**row, "rejected": f"{datetime.fromtimestamp(row['rejected_at']):%Y-%m-%d %H:%M}"}
        table.add_row(*(escape(to_line(str(cells[name]))) for name in columns))
    # A pipe has no width of its own; lines are not to be broken for one.
    Console(highlight=False, width=None if sys.stdout.isatty() else 300).print(table)


def show(entry_id: str, lane: str | None, redis_url: str | None, as_json: bool) -> None:
    with open_redis(redis_url) as (settings, client):
        one = rejected.find_rejected(client, entry_id, settings.retry_s, lane)
    shown = {**_describe(one), "bytes": len(one.entry.payload), "message": _read_header(one)}
    if as_json:
        print(json.dumps(shown, indent=2))
        return
    message = shown.pop("message")
    shown["rejected_at"] = f"{datetime.fromtimestamp(one.entry.added_at):%Y-%m-%d %H:%M:%S}"
    for name, value in {**shown, **{f"message.{name}": value for name, value in message.items()}}.items():
        print(f"{name}: {to_line(str(value))}")


def requeue_all(ids: list[str], every: bool, lane: str | None, redis_url: str | None, database_url: str | None) -> None:
    with open_services(redis_url, database_url) as services:
        chosen = _choose(services.client, services.settings.retry_s, ids, every, lane)
        for one in chosen:
            rejected.requeue(services.client, services.engine, one, _audit("rejected.requeue", one))
    print(f"Put back {_count(chosen)}.")


def discard_all(
    ids: list[str], every: bool, lane: str | None, yes: bool, redis_url: str | None, database_url: str | None
) -> None:
    with open_services(redis_url, database_url) as services:
        retry_s = services.settings.retry_s
        chosen = _choose(services.client, retry_s, ids, every, lane)
        if not yes and chosen:
            typer.confirm(f"Delete {_count(chosen)}? Their faces will have no rows", abort=True, err=True)
        for one in chosen:
            write_transaction(services.engine, partial(_discard, services.client, one), retry_s)
    print(f"Deleted {_count(chosen)}.")


def _discard(client: redis.Redis, one: Rejected, connection: sa.Connection) -> None:
    _audit("rejected.discard", one)(connection)
    rejected.discard(client, one, retry_s=0.0)


def _audit(action: str, one: Rejected) -> Callable[[sa.Connection], None]:
    details = {"lane": one.lane, "session": one.entry.session_id, "faces": one.entry.num_faces}
    return lambda connection: audit.record(connection, action, one.entry.entry_id, **details)


def _choose(client: redis.Redis, retry_s: float, ids: list[str], every: bool, lane: str | None) -> list[Rejected]:
    if bool(ids) == every:
        raise UsageError("Which entries? Give their ids (emotrace rejected list), or --all with or without --lane.")
    if every:
        return list(rejected.iterate_rejected(client, retry_s, lane))
    return [rejected.find_rejected(client, entry_id, retry_s, lane) for entry_id in dict.fromkeys(ids)]


def _count(chosen: Iterable[Rejected]) -> str:
    faces = [one.entry.num_faces for one in chosen]
    return f"{len(faces)} {'entry' if len(faces) == 1 else 'entries'} ({sum(faces)} faces)"


def _describe(one: Rejected) -> dict[str, Any]:
    return {
        "id": one.entry.entry_id,
        "lane": one.lane,
        "stream": one.stream,
        "session": one.entry.session_id,
        "track": one.entry.track_id,
        "first_pts": one.entry.first_pts,
        "faces": one.entry.num_faces,
        "rejected_at": one.entry.added_at,
        "reason": one.reason,
    }


def _read_header(one: Rejected) -> dict[str, Any]:
    """Return the message without its crops, or why it cannot be read."""
    try:
        fields: dict[str, Any] = msgspec.to_builtins(decode(one.entry.payload), builtin_types=(bytes,))
    except MessageError as error:
        return {"unreadable": str(error)}
    del fields["crops"]
    return fields
