"""Who is who in a session: its tracks as they are split, joined and named, over rows whose keys never change.

A track that is **split** is two from a moment on: the rows from there go by an id of their own (``track_splits``).
Tracks, and such pieces of them, that are one person's are **joined** (``track_aliases``): the person goes by the track
at the end of the chain. A person may have a **name** (``track_names``). ``contracts.track_edits`` writes all three.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.aliases import follow_aliases, join_persons
from contracts.schema import emotions, track_aliases, track_names, track_splits, tracks

FIRST_SPLIT_ID = 2_000_000_000  # ids of pieces; those of tracks are lower
_LEAF = 8
Range = tuple[float, float]  # seconds of a session, both ends included
Cut = tuple[int, int]  # from this pts on, a track goes by this id


@dataclass(frozen=True)
class Persons:
    """Answers which person rows are of. ``joined`` has the pieces that go by another id, ``cuts`` by growing pts."""

    joined: Mapping[int, int] = field(default_factory=dict)
    cuts: Mapping[int, Sequence[Cut]] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)

    def find(self, track_id: int, pts: int) -> int:
        """Return the person that a track's row is of."""
        piece = track_id
        for at_pts, new_id in self.cuts.get(track_id, ()):
            if pts >= at_pts:
                piece = new_id
        return self.joined.get(piece, piece)

    def name(self, person_id: int) -> str:
        """Return what a person is called: ``Face 3``, or the name that an analyst gave."""
        return self.names.get(person_id) or self.name_by_number(person_id)

    def name_by_number(self, person_id: int) -> str:
        """Return what a person is called without a name; the pieces of face 3 are ``Face 3.2`` and so on."""
        for track_id, cuts in self.cuts.items():
            pieces = sorted(new_id for _, new_id in cuts)
            if person_id in pieces:
                return f"Face {track_id}.{pieces.index(person_id) + 2}"
        return f"Face {person_id}"

    def list_pieces(self, track_id: int) -> list[int]:
        """Return the ids that a track's rows go by, before they are joined to others'."""
        return [track_id, *(new_id for _, new_id in self.cuts.get(track_id, ()))]

    def find_tracks(self, person_ids: Iterable[int]) -> list[int]:
        """Return the tracks that may have rows of some persons."""
        asked = set(person_ids)
        known = {*asked, *self.joined, *self.cuts}
        return sorted(
            track_id
            for track_id in known
            if track_id < FIRST_SPLIT_ID
            and any(self.joined.get(piece, piece) in asked for piece in self.list_pieces(track_id))
        )

    def make_column(self, person_ids: Collection[int] | None = None) -> sa.ColumnElement[int]:
        """Return the SQL of the person that a row of ``emotions`` is of; where the asked ones are known, of theirs."""
        edited = sorted(track_id for track_id in {*self.joined, *self.cuts} if track_id < FIRST_SPLIT_ID)
        if person_ids is not None:
            kept = set(self.find_tracks(person_ids))
            edited = [track_id for track_id in edited if track_id in kept]
        return self._look_up(edited) if edited else emotions.c.track_id

    def _look_up(self, track_ids: Sequence[int]) -> sa.ColumnElement[int]:
        """Return the SQL that finds a row's track among thousands, in order of their ids, in few steps."""
        track = emotions.c.track_id
        if len(track_ids) <= _LEAF:
            return sa.case(*((track == one, self._tell_apart(one)) for one in track_ids), else_=track)
        middle = len(track_ids) // 2
        low, high = self._look_up(track_ids[:middle]), self._look_up(track_ids[middle:])
        return sa.case((track < track_ids[middle], low), else_=high)

    def _tell_apart(self, track_id: int) -> sa.ColumnElement[int]:
        """Return the SQL of the person that a row of a track is of."""
        person = sa.literal(self.joined.get(track_id, track_id))
        cuts = [
            (emotions.c.pts >= at_pts, self.joined.get(new_id, new_id))
            for at_pts, new_id in reversed(self.cuts.get(track_id, ()))
        ]
        return sa.case(*cuts, else_=person) if cuts else person

    def select(self, person_ids: Collection[int]) -> sa.ColumnElement[bool]:
        """Return the SQL condition for the rows of some persons."""
        of_tracks = emotions.c.track_id.in_(self.find_tracks(person_ids))
        if not any(track_id in self.cuts for track_id in self.find_tracks(person_ids)):
            return of_tracks
        return sa.and_(of_tracks, self.make_column(person_ids).in_(sorted(person_ids)))


NOBODY = Persons()  # no track is split, joined or named


def read_persons(connection: sa.Connection, session_id: str) -> Persons:
    """Return who is who in a session."""
    return read_all_persons(connection, [session_id])[session_id]


def read_all_persons(connection: sa.Connection, session_ids: Sequence[str]) -> dict[str, Persons]:
    """Return who is who in each of some sessions."""
    aliases, splits, names = (
        _group(connection, table, session_ids) for table in (track_aliases, track_splits, track_names)
    )
    found = {}
    for session_id in session_ids:
        joined = {row["track_id"]: row["joined_id"] for row in aliases.get(session_id, ())}
        cuts: dict[int, list[Cut]] = {}
        for row in splits.get(session_id, ()):
            cuts.setdefault(row["track_id"], []).append((row["at_pts"], row["new_id"]))
        found[session_id] = Persons(
            {track_id: follow_aliases(joined, track_id) for track_id in joined},
            {track_id: sorted(of_track) for track_id, of_track in cuts.items()},
            {row["track_id"]: row["name"] for row in names.get(session_id, ())},
        )
    return found


def _group(connection: sa.Connection, table: sa.Table, session_ids: Sequence[str]) -> dict[str, list[store.Row]]:
    rows: dict[str, list[store.Row]] = {}
    query = sa.select(table).where(table.c.session_id.in_(session_ids))
    for row in connection.execute(query).mappings():
        rows.setdefault(row["session_id"], []).append(dict(row))
    return rows


def list_persons(connection: sa.Connection, session_id: str) -> list[store.Row]:
    """Return a session's tracks, those of one person as one row with its ``name``, in order of their ids."""
    return list_persons_between(connection, {session_id: (0.0, math.inf)})


def list_persons_between(connection: sa.Connection, ranges: Mapping[str, Range]) -> list[store.Row]:
    """Return the persons of sessions who are there in each session's range of seconds, by session and id.

    They are rows of the tracks table with a ``name``; their times and faces are those of the whole session.
    """
    of_session: dict[str, list[store.Row]] = {}
    for row in connection.execute(_select_tracks(ranges)).mappings():
        of_session.setdefault(row["session_id"], []).append(dict(row))
    found: list[store.Row] = []
    for session_id, persons in read_all_persons(connection, list(ranges)).items():
        rows = of_session.get(session_id, [])
        if persons.cuts:
            rows = [row for row in rows if row["track_id"] not in persons.cuts]
            rows += _list_pieces(connection, session_id, persons.cuts)
        start_s, end_s = ranges[session_id]
        found += [
            {**row, "name": persons.name(row["track_id"])}
            for row in join_persons(rows, persons.joined)
            if row["end_s"] >= start_s and row["start_s"] <= end_s
        ]
    return found


def _select_tracks(ranges: Mapping[str, Range]) -> sa.Select[Any]:
    """Select the tracks in ranges: a session of months has very many others. All that were edited are among them."""
    whole = [session_id for session_id, (start_s, end_s) in ranges.items() if start_s <= 0 and end_s == math.inf]
    parts = [
        sa.and_(tracks.c.session_id == session_id, tracks.c.end_s >= start_s, tracks.c.start_s <= end_s)
        for session_id, (start_s, end_s) in ranges.items()
        if session_id not in whole
    ]
    cut = [session_id for session_id in ranges if session_id not in whole]
    edited = sa.union(
        *(
            sa.select(table.c.session_id, column).where(table.c.session_id.in_(cut))
            for table, column in (
                (track_aliases, track_aliases.c.track_id),
                (track_aliases, track_aliases.c.joined_id),
                (track_splits, track_splits.c.track_id),
            )
        )
    )
    is_edited = sa.tuple_(tracks.c.session_id, tracks.c.track_id).in_(edited)
    return sa.select(tracks).where(sa.or_(tracks.c.session_id.in_(whole), *parts, *([is_edited] if cut else [])))


def _list_pieces(connection: sa.Connection, session_id: str, cuts: Mapping[int, Sequence[Cut]]) -> list[dict[str, Any]]:
    """Return rows of the tracks table for the pieces of split tracks, as their rows say; ``num_faces`` counts rows."""
    piece = Persons(cuts=cuts).make_column()
    rows = (
        sa.select(piece.label("track_id"), emotions.c.pts, emotions.c.time_s)
        .where(emotions.c.session_id == session_id, emotions.c.track_id.in_(cuts))
        .subquery()
    )
    query = sa.select(
        rows.c.track_id, sa.func.min(rows.c.pts).label("start_pts"), sa.func.max(rows.c.pts).label("end_pts"),
        sa.func.min(rows.c.time_s).label("start_s"), sa.func.max(rows.c.time_s).label("end_s"),
        sa.func.count().label("num_faces"),
    ).group_by(rows.c.track_id)  # fmt: skip
    return [{"session_id": session_id, **row} for row in connection.execute(query).mappings()]
