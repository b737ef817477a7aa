"""The edits of a session's tracks as they are kept: each with what stood in the rows that it wrote.

``contracts.track_edits`` says what edits there are. The caller owns the transaction.
"""

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.errors import ConflictError, UsageError
from contracts.persons import Persons, read_persons
from contracts.schema import sessions, track_aliases, track_edits, track_names, track_splits

RENAME, MERGE, SPLIT, UNDO = "rename", "merge", "split", "undo"
_TABLES = {
    "aliases": (track_aliases, "track_id"),
    "splits": (track_splits, "new_id"),
    "names": (track_names, "track_id"),
}
# Rows to write: of a table, for a key, the other columns' values; None removes the row.
Changes = Mapping[str, Mapping[int, Mapping[str, Any] | None]]


def list_edits(connection: sa.Connection, session_id: str, limit: int = 100) -> list[store.Row]:
    """Return what was done to a session's tracks, the newest first."""
    query = sa.select(track_edits).where(track_edits.c.session_id == session_id)
    query = query.order_by(track_edits.c.number.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def find_undoable(connection: sa.Connection, session_id: str) -> store.Row | None:
    """Return the newest edit that still stands, or None where all is as it was found."""
    query = sa.select(track_edits).where(
        track_edits.c.session_id == session_id, track_edits.c.action != UNDO, track_edits.c.undone_by.is_(None)
    )
    row = connection.execute(query.order_by(track_edits.c.number.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else dict(row)


def read_version(connection: sa.Connection, session_id: str) -> int:
    """Return the number of a session's newest edit, 0 where there is none."""
    query = sa.select(sa.func.max(track_edits.c.number)).where(track_edits.c.session_id == session_id)
    return connection.execute(query).scalar_one() or 0


def begin_edit(connection: sa.Connection, session_id: str, version: int) -> Persons:
    """Return who is who at this version, and keep others from editing until the transaction is over.

    Raises:
        UsageError: there is no such session.
        ConflictError: its tracks were edited since ``version``.
    """
    # Rows of emotions go on being stored meanwhile.
    query = sa.select(sessions.c.session_id).where(sessions.c.session_id == session_id)
    if connection.execute(query.with_for_update(key_share=True)).first() is None:
        raise UsageError(f"There is no session {session_id!r}. List them with: emotrace sessions")
    since = [row for row in list_edits(connection, session_id) if row["number"] > version]
    if since:
        told = "; ".join(f"{row['text']} (by {row['made_by'][:80]})" for row in reversed(since[:3]))
        raise ConflictError(
            f"The faces were edited meanwhile: {told}. Nothing was overwritten: look at the faces as they are now, and "
            "do it again if it still holds."
        )
    return read_persons(connection, session_id)


def record_edit(
    connection: sa.Connection, session_id: str, version: int, action: str, text: str, changes: Changes, made_by: str
) -> str:
    """Write ``changes`` and the edit, with what stood there before; return its ``text``."""
    before = {name: _write(connection, session_id, name, rows) for name, rows in changes.items()}
    edit = {
        "session_id": session_id, "number": version + 1, "action": action, "text": text, "before": before,
        "undone_by": None, "made_by": made_by, "made_at": time.time(),
    }  # fmt: skip
    connection.execute(sa.insert(track_edits), edit)
    return text


def _write(
    connection: sa.Connection, session_id: str, name: str, rows: Mapping[int, Mapping[str, Any] | None]
) -> list[tuple[int, Mapping[str, Any] | None]]:
    """Put rows in the place of those with their keys; return the keys with what stood there."""
    table, key = _TABLES[name]
    is_asked = sa.and_(table.c.session_id == session_id, table.c[key].in_(rows))
    stood = {row[key]: dict(row) for row in connection.execute(sa.select(table).where(is_asked)).mappings()}
    connection.execute(sa.delete(table).where(is_asked))
    new = [{**row, "session_id": session_id, key: number} for number, row in rows.items() if row is not None]
    if new:
        connection.execute(sa.insert(table), new)
    return [(number, stood.get(number)) for number in rows]
