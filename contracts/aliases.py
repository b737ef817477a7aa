"""Tracks that are one person's, as rows (``contracts.persons`` reads them). The caller owns the transaction."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.schema import track_aliases

AT_SEAMS = "seams"  # who made the aliases that join parts


def record_aliases(
    connection: sa.Connection, session_id: str, joins: Iterable[tuple[int, int, str]], made_by: str
) -> None:
    """Store that tracks are others' continuation: (track, joined track, reason). A track that has an alias keeps it."""
    rows = [
        {
            "session_id": session_id,
            "track_id": track_id,
            "joined_id": joined_id,
            "reason": reason,
            "made_by": made_by,
            "made_at": time.time(),
        }
        for track_id, joined_id, reason in joins
    ]
    store.insert_new(connection, track_aliases, rows)


def remove_aliases(connection: sa.Connection, session_id: str, made_by: str) -> None:
    """Remove the aliases that ``made_by`` made in a session."""
    of_session = track_aliases.c.session_id == session_id
    connection.execute(sa.delete(track_aliases).where(of_session, track_aliases.c.made_by == made_by))


def list_aliases(connection: sa.Connection, session_id: str) -> list[store.Row]:
    """Return a session's aliases in order of their tracks."""
    query = sa.select(track_aliases).where(track_aliases.c.session_id == session_id)
    return [dict(row) for row in connection.execute(query.order_by(track_aliases.c.track_id)).mappings()]


def join_persons(tracks: Iterable[store.Row], persons: Mapping[int, int]) -> list[store.Row]:
    """Return rows of the tracks table with one row for each person, in order of their ids."""
    joined: dict[int, dict[str, Any]] = {}
    for track in tracks:
        track_id = persons.get(track["track_id"], track["track_id"])
        person = joined.setdefault(track_id, {**track, "track_id": track_id, "num_faces": 0})
        for name, choose in (("start_pts", min), ("start_s", min), ("end_pts", max), ("end_s", max)):
            person[name] = choose(person[name], track[name])
        person["num_faces"] += track["num_faces"]
    return [joined[track_id] for track_id in sorted(joined)]


def follow_aliases(joined: Mapping[int, int], track_id: int) -> int:
    """Return the end of a track's chain of aliases: the track that its person goes by."""
    seen = {track_id}
    while track_id in joined and joined[track_id] not in seen:
        track_id = joined[track_id]
        seen.add(track_id)
    # Where aliases go round in a circle, all of it is one person.
    return track_id if track_id not in joined else min(seen)
