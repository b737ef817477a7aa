"""Batches: the recordings that one `emotrace batch submit` named. The caller owns the transaction."""

import time
from typing import Any

import sqlalchemy as sa

from contracts import parts, store
from contracts.errors import UsageError
from contracts.schema import batch_files, sessions, sources
from contracts.schema import parts as parts_table

# Ids begin with the time at which they were made: a shorter beginning may name whichever there is.
_MIN_ID_CHARS = 8


def record_file(connection: sa.Connection, batch_id: str, session_id: str, priority: str) -> None:
    """Store that a session's recording belongs to a batch."""
    row = {"session_id": session_id, "batch_id": batch_id, "priority": priority, "created_at": time.time()}
    store.insert_new(connection, batch_files, [row])


def list_files(connection: sa.Connection, batch_or_session: str | None = None, limit: int = 1000) -> list[store.Row]:
    """Return the files of batches, the newest batch first, with how far each is: all, or those of one id.

    ``num_parts`` counts its parts, ``num_done``, ``num_failed`` and ``num_cancelled`` those that are over so;
    ``done_s`` of ``total_s`` seconds have been read, by readers that took ``reading_s`` together.

    Raises:
        UsageError: no batch or session, or several batches, have an id that begins so.
    """
    query = (
        sa.select(
            batch_files, sessions.c.status, sessions.c.error, sessions.c.model_id, sessions.c.source_id,
            sources.c.name.label("source"),
        )
        .join(sessions, sessions.c.session_id == batch_files.c.session_id)
        .join(sources, sources.c.source_id == sessions.c.source_id)
        .order_by(batch_files.c.batch_id.desc(), batch_files.c.session_id)
    )  # fmt: skip
    if batch_or_session is not None:
        query = query.where(_match(connection, batch_or_session))
    files = [dict(row) for row in connection.execute(query.limit(limit)).mappings()]
    progress = _measure_progress(connection, [row["session_id"] for row in files])
    return [{**row, **progress[row["session_id"]]} for row in files]


def _match(connection: sa.Connection, batch_or_session: str) -> sa.ColumnElement[bool]:
    columns: tuple[sa.Column[str], ...] = (batch_files.c.batch_id, batch_files.c.session_id)
    for column in columns:
        begins = column.startswith(batch_or_session.lower(), autoescape=True)
        found = connection.execute(sa.select(column).where(begins).distinct().limit(2)).scalars().all()
        if len(found) > 1:
            raise UsageError(f"Several ids begin with {batch_or_session!r}. Give more of it.")
        if found and len(batch_or_session) >= _MIN_ID_CHARS:
            return column.in_(found)
    raise UsageError(f"There is no batch or session {batch_or_session!r} in batches. List them: emotrace batch list")


def _measure_progress(connection: sa.Connection, session_ids: list[str]) -> dict[str, dict[str, Any]]:
    table = parts_table
    length = table.c.end_s - table.c.start_s
    reached = sa.case((table.c.status == parts.DONE, length), else_=table.c.done_s - table.c.start_s)
    elapsed = sa.func.coalesce(table.c.ended_at, table.c.updated_at) - table.c.started_at
    reading = sa.case((table.c.status.in_((parts.RUNNING, parts.DONE)), elapsed), else_=0.0)
    counts = [
        sa.func.coalesce(sa.func.sum(sa.case((table.c.status == status, 1), else_=0)), 0).label(f"num_{status}")
        for status in (parts.DONE, parts.FAILED, parts.CANCELLED, parts.RUNNING)
    ]
    query = sa.select(
        table.c.session_id,
        sa.func.count().label("num_parts"),
        *counts,
        sa.func.sum(reached).label("done_s"),
        sa.func.sum(length).label("total_s"),
        sa.func.coalesce(sa.func.sum(reading), 0.0).label("reading_s"),
    ).where(table.c.session_id.in_(session_ids))
    rows = connection.execute(query.group_by(table.c.session_id)).mappings()
    return {
        row["session_id"]: {
            **{name: int(row[name]) for name in row if name.startswith("num_")},
            "done_s": float(row["done_s"]),
            "total_s": float(row["total_s"]),
            "reading_s": float(row["reading_s"]),
        }
        for row in rows
    }
