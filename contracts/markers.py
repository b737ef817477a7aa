"""Markers: moments and spans that people name. The caller owns the transaction.

Those of a camera have no session, and ``start`` and ``end`` are Unix seconds; those of a recording belong to one of its
sessions, and stand in seconds from its start. A moment has no ``end``.
"""

import math
import time
import unicodedata
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.errors import ConflictError, UsageError
from contracts.schema import markers, sources

# Each stands out from white and from the dark pages alike (3 to 1 and better), and no emotion has it.
COLOURS = {
    "slate": "#6B7785",
    "blue": "#2F7BE0",
    "teal": "#0E8F86",
    "violet": "#8A5CF0",
    "pink": "#D6327F",
    "brown": "#A8652C",
}
DEFAULT_COLOUR = "slate"
MAX_NAME, MAX_NOTE = 200, 4000
_LAST = 32_503_680_000.0  # the year 3000, which every clock and calendar of the pages can tell
_VALUES = ("start", "end", "name", "colour", "note")


def check_marker(start: float, end: float | None, name: str, colour: str, note: str) -> dict[str, Any]:
    """Return a marker's values as they are stored.

    Raises:
        UsageError: one of them cannot be used.
    """
    name, note = _clean(name, keep="").strip(), _clean(note, keep="\n\t").strip()
    if not name:
        raise UsageError("The marker has no name. Give it one, such as: question 3.")
    for what, text, limit in (("name", name, MAX_NAME), ("note", note, MAX_NOTE)):
        if len(text) > limit:
            raise UsageError(f"The marker's {what} has {len(text):,} characters. It may have {limit:,} at most.")
    if colour not in COLOURS:
        raise UsageError(f"There is no marker colour {colour[:40]!r}. Use {', '.join(COLOURS)}.")
    if not math.isfinite(start) or start < 0:
        raise UsageError(f"The marker begins at {start:g} s. It must begin at 0 s or later.")
    if end is not None and not (math.isfinite(end) and end > start):
        raise UsageError(f"The span ends at {end:g} s, and begins at {start:g} s. It must end after it begins.")
    if max(start, end or 0.0) > _LAST:
        raise UsageError("The marker lies after the year 3000. Check its date and time.")
    # Files hold microseconds: what is taken out and in again is the same.
    start, end = round(start, 6), None if end is None else round(end, 6)
    return {"start": start, "end": end, "name": name, "colour": colour, "note": note}


def _clean(text: str, keep: str) -> str:
    """Return ``text`` without control characters, which no database, page or table needs; spaces stand for them."""
    return "".join(
        character if character in keep or unicodedata.category(character) not in ("Cc", "Cs") else " "
        for character in text
    )


def add_marker(
    connection: sa.Connection,
    *,
    marker_id: str,
    source_id: str,
    session_id: str | None,
    author: str,
    **values: Any,
) -> store.Row:
    """Store a new marker and return it; ``values`` are those of ``check_marker``.

    Raises:
        UsageError: a value cannot be used.
    """
    row = {
        "marker_id": marker_id,
        "source_id": source_id,
        "session_id": session_id,
        "author": author,
        "made_at": time.time(),
        "version": 1,
        **check_marker(**values),
    }
    store.insert_new(connection, markers, [row])
    return row


def change_marker(connection: sa.Connection, marker_id: str, version: int, **values: Any) -> store.Row:
    """Give a marker new ``values`` (all of ``check_marker``), if it is still as it was at ``version``; return it.

    Raises:
        UsageError: a value cannot be used.
        ConflictError: somebody else changed or removed it meanwhile.
    """
    changed = {**check_marker(**values), "version": version + 1}
    is_it = sa.and_(markers.c.marker_id == marker_id, markers.c.version == version)
    if not connection.execute(sa.update(markers).where(is_it).values(changed)).rowcount:
        raise _explain(connection, marker_id)
    found = read_marker(connection, marker_id)
    assert found is not None
    return found


def remove_marker(connection: sa.Connection, marker_id: str, version: int) -> None:
    """Remove a marker, if it is still as it was at ``version``.

    Raises:
        ConflictError: somebody else changed or removed it meanwhile.
    """
    is_it = sa.and_(markers.c.marker_id == marker_id, markers.c.version == version)
    if not connection.execute(sa.delete(markers).where(is_it)).rowcount:
        raise _explain(connection, marker_id)


def _explain(connection: sa.Connection, marker_id: str) -> ConflictError:
    now = read_marker(connection, marker_id)
    if now is None:
        return ConflictError("Somebody else removed this marker meanwhile. Add it anew, if it is to stay.")
    return ConflictError(
        f"Somebody else changed this marker meanwhile: it is called {now['name'][:80]!r} now. Nothing was overwritten: "
        "look at what it says now, and save again if yours is to take its place."
    )


def read_marker(connection: sa.Connection, marker_id: str) -> store.Row | None:
    """Return a marker, or None where there is none with this id."""
    row = connection.execute(sa.select(markers).where(markers.c.marker_id == marker_id)).mappings().one_or_none()
    return None if row is None else dict(row)


def list_markers(
    connection: sa.Connection,
    source_id: str,
    session_id: str | None,
    start: float = 0.0,
    end: float = math.inf,
    limit: int = 2000,
) -> list[store.Row]:
    """Return the markers of a recording's session, or of a camera, that overlap ``start`` to ``end``, by time."""
    query = sa.select(markers).where(markers.c.source_id == source_id)
    query = query.where(markers.c.session_id.is_(None) if session_id is None else markers.c.session_id == session_id)
    query = query.where(sa.func.coalesce(markers.c.end, markers.c.start) >= start)
    if end < math.inf:
        query = query.where(markers.c.start <= end)
    query = query.order_by(markers.c.start, markers.c.marker_id).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def list_all_markers(connection: sa.Connection, limit: int = 2000) -> list[store.Row]:
    """Return the newest markers of all sources, each with its source's ``source`` (name) and ``kind``."""
    query = (
        sa.select(markers, sources.c.name.label("source"), sources.c.kind.label("kind"))
        .join_from(markers, sources)
        .order_by(markers.c.made_at.desc(), markers.c.marker_id)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def find_new(known: Sequence[store.Row], asked: Sequence[store.Row]) -> list[store.Row]:
    """Return which of the values ``asked`` for no known marker has, each once."""
    keys = {tuple(row[name] for name in _VALUES) for row in known}
    found = []
    for row in asked:
        key = tuple(row[name] for name in _VALUES)
        if key not in keys:
            found.append(row)
            keys.add(key)
    return found
