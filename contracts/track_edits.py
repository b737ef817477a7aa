"""What analysts do to a session's tracks: give a person a name, join and split persons, and put back what they did.

All of it is an overlay (``contracts.persons``). Each edit keeps what stood in the rows that it wrote, so the newest one
can be undone, and then the one before it. Edits are counted, and the newest number is the session's version: who
decided on an older one is told what was done since, and nothing is changed. The caller owns the transaction.
"""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.aliases import AT_SEAMS
from contracts.errors import UsageError
from contracts.persons import FIRST_SPLIT_ID, Persons, list_persons
from contracts.schema import emotions, track_edits, track_splits
from contracts.track_history import MERGE, RENAME, SPLIT, UNDO, Changes, begin_edit, find_undoable, record_edit

MAX_NAME = 80


def rename_person(
    connection: sa.Connection, session_id: str, version: int, person_id: int, name: str, made_by: str
) -> str:
    """Give a person a name; an empty one takes it back. Return what was done, in words.

    Raises:
        UsageError: the name cannot be used, or another person of the session has it.
        ConflictError: the tracks were edited since ``version``.
    """
    persons = begin_edit(connection, session_id, version)
    name = " ".join(name.split())
    _check_name(connection, session_id, person_id, name)
    text = f"{persons.name(person_id)} is called {name or persons.name_by_number(person_id)}"
    changes: Changes = {"names": {person_id: {"name": name} if name else None}}
    return record_edit(connection, session_id, version, RENAME, text, changes, made_by)


def _check_name(connection: sa.Connection, session_id: str, person_id: int, name: str) -> None:
    known = {row["track_id"]: row["name"] for row in list_persons(connection, session_id)}
    if person_id not in known:
        raise UsageError(f"There is no face {person_id} in this session any more. Look at its faces again.")
    if len(name) > MAX_NAME:
        raise UsageError(f"The face's name has {len(name):,} characters. It may have {MAX_NAME} at most.")
    if not name.replace("\u200d", "").isprintable():  # which joins emoji
        raise UsageError("The face's name has characters that are not seen. Type it anew.")
    if name.casefold() == "all faces" or (name.casefold().startswith("face ") and name[5:6].isdigit()):
        raise UsageError(f"Faces without a name are called like {name!r}. Choose another name.")
    if any(other.casefold() == name.casefold() for one, other in known.items() if one != person_id):
        raise UsageError(f"Another face of this session is called {name!r}. Merge the two, if they are one person.")


def merge_persons(
    connection: sa.Connection, session_id: str, version: int, person_ids: Sequence[int], made_by: str
) -> str:
    """Join persons to the first of them, which keeps its id and its name (or takes the first name there is).

    Raises:
        UsageError: there are fewer than two, or one of them is not there.
        ConflictError: the tracks were edited since ``version``.
    """
    persons = begin_edit(connection, session_id, version)
    known = {row["track_id"] for row in list_persons(connection, session_id)}
    kept, *others = dict.fromkeys(person_ids) or [0]
    if not others or not known.issuperset(person_ids):
        raise UsageError("Merging takes two faces of this session, or more. Look at its faces again, and choose them.")
    alias = _make_alias(kept, "one person", made_by)
    names: dict[int, Mapping[str, Any] | None] = {one: None for one in others if one in persons.names}
    if names and kept not in persons.names:
        names[kept] = {"name": persons.names[next(iter(names))]}
    text = f"{', '.join(persons.name(one) for one in others)} merged into {persons.name(kept)}"
    aliases: dict[int, Mapping[str, Any] | None] = dict.fromkeys(others, alias)
    if kept in persons.joined:  # to itself, or in a circle
        aliases[kept] = alias
    changes: Changes = {"aliases": aliases, "names": names}
    return record_edit(connection, session_id, version, MERGE, text, changes, made_by)


def split_person(
    connection: sa.Connection, session_id: str, version: int, person_id: int, at_s: float, made_by: str
) -> str:
    """Make two of a person: from ``at_s`` (seconds of the session) on, what was theirs is another's.

    The one that has the person's track keeps its name; the other one has none yet.

    Raises:
        UsageError: there is no such person, or nothing of them before the moment or from it on.
        ConflictError: the tracks were edited since ``version``.
    """
    persons = begin_edit(connection, session_id, version)
    at_pts = _find_pts(connection, session_id, at_s)
    pieces = _list_pieces_of(connection, session_id, persons, person_id)
    before = [piece for piece, start_pts, _, _ in pieces if start_pts < at_pts]
    after = [piece for piece, start_pts, _, _ in pieces if start_pts >= at_pts]
    free = connection.execute(
        sa.select(sa.func.max(track_splits.c.new_id)).where(track_splits.c.session_id == session_id)
    ).scalar_one()
    new_id = max((free or 0) + 1, FIRST_SPLIT_ID + 1)
    splits: dict[int, Mapping[str, Any] | None] = {}
    for _, start_pts, end_pts, track_id in pieces:
        if start_pts < at_pts <= end_pts:
            splits[new_id] = {"track_id": track_id, "at_pts": at_pts}
            after.append(new_id)
            new_id += 1
    if not before or not after:
        raise UsageError(
            f"{persons.name(person_id)} is not there both before and after {at_s:.2f} s, so there is nothing to split."
        )
    aliases: dict[int, Mapping[str, Any] | None] = {}
    for side in (before, after):
        root = person_id if person_id in side else min(side)
        # A track that is joined to itself is one of its own, whatever the seams say.
        aliases |= {piece: _make_alias(root, "split", made_by) for piece in side if piece != root or len(pieces) > 1}
    text = f"{persons.name(person_id)} split at {at_s:.2f} s"
    return record_edit(connection, session_id, version, SPLIT, text, {"splits": splits, "aliases": aliases}, made_by)


def _list_pieces_of(
    connection: sa.Connection, session_id: str, persons: Persons, person_id: int
) -> list[tuple[int, int, int, int]]:
    """Return a person's pieces with their first and last pts, and the track that each is a piece of."""
    piece = Persons(cuts=persons.cuts).make_column()
    rows = (
        sa.select(piece.label("piece"), emotions.c.track_id, emotions.c.pts)
        .where(emotions.c.session_id == session_id, persons.select([person_id]))
        .subquery()
    )
    query = sa.select(rows.c.piece, sa.func.min(rows.c.pts), sa.func.max(rows.c.pts), rows.c.track_id)
    found = connection.execute(query.group_by(rows.c.piece, rows.c.track_id))
    return [(int(row[0]), int(row[1]), int(row[2]), int(row[3])) for row in found]


def _find_pts(connection: sa.Connection, session_id: str, at_s: float) -> int:
    session = store.read_session(connection, session_id)
    if session["time_base_num"] is None or session["start_pts"] is None:
        raise UsageError("This session has only begun: its times are not known yet. Try again in a few seconds.")
    ticks = at_s * session["time_base_den"] / session["time_base_num"]
    return int(session["start_pts"] + math.ceil(ticks - 1e-6))


def undo_edit(connection: sa.Connection, session_id: str, version: int, made_by: str) -> str:
    """Put back what the newest edit that is not undone changed. Return what was done, in words.

    Raises:
        UsageError: there is nothing to undo.
        ConflictError: the tracks were edited since ``version``.
    """
    begin_edit(connection, session_id, version)
    undoable = find_undoable(connection, session_id)
    if undoable is None:
        raise UsageError("There is nothing to undo: the faces are as they were found.")
    of_edit = sa.and_(track_edits.c.session_id == session_id, track_edits.c.number == undoable["number"])
    connection.execute(sa.update(track_edits).where(of_edit).values(undone_by=version + 1))
    before = {table: {int(key): row for key, row in rows} for table, rows in undoable["before"].items()}
    return record_edit(connection, session_id, version, UNDO, f"undone: {undoable['text']}", before, made_by)


def _make_alias(joined_id: int, reason: str, made_by: str) -> dict[str, Any]:
    # Seams are joined anew when a part is read again, and take their own aliases away before.
    made_by = f"{made_by} (analyst)" if made_by == AT_SEAMS else made_by
    return {"joined_id": joined_id, "reason": reason, "made_by": made_by, "made_at": time.time()}
