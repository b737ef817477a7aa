"""What analysts change about markers and spans. Each change and its audit are stored together."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from contracts import audits, markers, store
from dashboard.changes import commit
from dashboard.identity import ANALYST, require


def add_marker(source_id: str, session_id: str | None, **values: Any) -> store.Row:
    """Store a marker of a recording's session, or (None) of a camera, and return it.

    ``values`` are start, end, name, colour and note, as in ``contracts.markers.check_marker``.

    Raises:
        NotAllowedError: the visitor is no analyst.
        UsageError: a value cannot be used.
        ServiceError: the database is out of reach.
    """
    visitor, marker_id = require(ANALYST), store.make_uuid7()

    def write(connection: sa.Connection) -> store.Row:
        return _add(connection, visitor.name, marker_id, source_id, session_id, values)

    return commit(write)


def change_marker(marker_id: str, version: int, **values: Any) -> store.Row:
    """Give a marker new values, if it is still as it was at ``version``, and return it.

    Raises:
        NotAllowedError, UsageError, ServiceError: as in ``add_marker``.
        ConflictError: somebody else changed or removed it meanwhile; nothing was overwritten.
    """
    visitor = require(ANALYST)

    def write(connection: sa.Connection) -> store.Row:
        before = markers.read_marker(connection, marker_id) or {}
        changed = markers.change_marker(connection, marker_id, version, **values)
        names = [name for name in ("start", "end", "name", "colour", "note") if changed[name] != before.get(name)]
        details = {name: changed[name] for name in names} | {f"old_{name}": before.get(name) for name in names}
        audits.record_change(connection, visitor.name, "marker.change", marker_id, **details)
        return changed

    return commit(write)


def remove_marker(marker_id: str, version: int) -> None:
    """Remove a marker, if it is still as it was at ``version``.

    Raises:
        NotAllowedError, ServiceError, ConflictError: as in ``change_marker``.
    """
    visitor = require(ANALYST)

    def write(connection: sa.Connection) -> None:
        before = markers.read_marker(connection, marker_id) or {}
        markers.remove_marker(connection, marker_id, version)
        details = {name: before.get(name) for name in ("start", "end", "name", "colour", "note", "author")}
        audits.record_change(connection, visitor.name, "marker.remove", marker_id, **details)

    commit(write)


def import_markers(source_id: str, session_id: str | None, rows: Sequence[store.Row]) -> tuple[int, int]:
    """Store all markers of a file, or none; return how many were new, and how many were there already.

    Raises:
        NotAllowedError, UsageError, ServiceError: as in ``add_marker``.
    """
    visitor = require(ANALYST)
    ids = [store.make_uuid7() for _ in rows]

    def write(connection: sa.Connection) -> tuple[int, int]:
        new = markers.find_new(markers.list_markers(connection, source_id, session_id), rows)
        for marker_id, row in zip(ids, new, strict=False):
            _add(connection, visitor.name, marker_id, source_id, session_id, row)
        return len(new), len(rows) - len(new)

    return commit(write)


def _add(
    connection: sa.Connection, who: str, marker_id: str, source_id: str, session_id: str | None, values: store.Row
) -> store.Row:
    row = markers.add_marker(
        connection, marker_id=marker_id, source_id=source_id, session_id=session_id, author=who, **values
    )
    about = {"source_id": source_id, "session_id": session_id}
    told = {name: row[name] for name in ("name", "start", "end", "colour", "note")}
    audits.record_change(connection, who, "marker.add", marker_id, **about, **told)
    return row
