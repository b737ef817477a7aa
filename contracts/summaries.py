"""What a stretch of a session comes to: time per emotion, transitions, episodes, quality. Counted by the database.

A row's emotion is its most probable one (``contracts.emotions.find_label``). It holds until the face's next row, unless
that is more than ``MAX_GAP_S`` away: nothing is said about the time between. Each function takes a connection;
``track_ids`` are persons' (``contracts.persons``), and None puts all faces together, as ``timelines.TOGETHER``.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW
from contracts.persons import read_persons
from contracts.schema import emotions
from contracts.store import Row
from contracts.timelines import TOGETHER, make_confidence, make_valence, select_within

MAX_GAP_S = 1.0  # as long as windows may span


def read_shares(
    connection: sa.Connection, session: Row, start_s: float, end_s: float, track_ids: Sequence[int] | None = None
) -> list[Row]:
    """Return ``num_rows`` and ``seconds`` for each face (``track_id``) and emotion (``label``) that there is."""
    rows = _select_labelled(connection, session, start_s, end_s, track_ids).subquery()
    held = sa.case((rows.c.next_s - rows.c.time_s <= MAX_GAP_S, rows.c.next_s - rows.c.time_s), else_=0.0)
    query = sa.select(
        rows.c.face.label("track_id"), rows.c.label, sa.func.count().label("num_rows"),
        sa.func.sum(held).label("seconds"),
    ).group_by(rows.c.face, rows.c.label).order_by(rows.c.face, rows.c.label)  # fmt: skip
    return [dict(row) for row in connection.execute(query).mappings()]


def read_transitions(
    connection: sa.Connection, session: Row, start_s: float, end_s: float, track_ids: Sequence[int] | None = None
) -> list[Row]:
    """Return how often (``number``) the emotion of a face went ``from_label`` to another, ``to_label``."""
    rows = _select_labelled(connection, session, start_s, end_s, track_ids).subquery()
    query = (
        sa.select(
            rows.c.face.label("track_id"),
            rows.c.last_label.label("from_label"),
            rows.c.label.label("to_label"),
            sa.func.count().label("number"),
        )
        .where(rows.c.last_label != rows.c.label, rows.c.time_s - rows.c.last_s <= MAX_GAP_S)
        .group_by(rows.c.face, rows.c.last_label, rows.c.label)
        .order_by(rows.c.face, rows.c.last_label, rows.c.label)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def read_episodes(
    connection: sa.Connection,
    session: Row,
    start_s: float,
    end_s: float,
    track_ids: Sequence[int] | None = None,
    min_s: float = 0.5,
    limit: int = 1000,
) -> list[Row]:
    """Return the longest stretches over which one emotion led a face, in order of time, ``min_s`` and longer.

    ``track_id``, ``label``, ``start_s`` and ``end_s`` (of its first and last row), ``num_rows``, ``peak`` (its highest
    probability) and ``mean``. Each face has episodes of its own, also where all are put together.
    """
    rows = _select_labelled(connection, session, start_s, end_s, track_ids).subquery()
    is_new = sa.or_(rows.c.last_label.is_(None), rows.c.last_label != rows.c.label)
    begins = sa.case((sa.or_(is_new, rows.c.time_s - rows.c.last_s > MAX_GAP_S), 1), else_=0)
    number = sa.func.sum(begins).over(partition_by=rows.c.track_id, order_by=rows.c.time_s)
    numbered = sa.select(rows, number.label("episode")).subquery()
    length = sa.func.max(numbered.c.time_s) - sa.func.min(numbered.c.time_s)
    query = (
        sa.select(
            numbered.c.track_id,
            numbered.c.label,
            sa.func.min(numbered.c.time_s).label("start_s"),
            sa.func.max(numbered.c.time_s).label("end_s"),
            sa.func.count().label("num_rows"),
            sa.func.max(numbered.c.confidence).label("peak"),
            sa.func.avg(numbered.c.confidence).label("mean"),
        )
        .group_by(numbered.c.track_id, numbered.c.episode, numbered.c.label)
        .having(length >= min_s)
        .order_by(length.desc(), numbered.c.track_id, sa.func.min(numbered.c.time_s))
        .limit(limit)
    )
    found = [dict(row) for row in connection.execute(query).mappings()]
    return sorted(found, key=lambda episode: (episode["start_s"], episode["track_id"]))


def read_quality(
    connection: sa.Connection, session: Row, start_s: float, end_s: float, track_ids: Sequence[int] | None = None
) -> list[Row]:
    """Return each face's number of rows, and the means of its confidence, valence, quality and detection score.

    ``uncertain`` is the share of rows with a confidence below ``contracts.emotions.UNCERTAIN_BELOW``.
    """
    confidence, persons = make_confidence(connection), read_persons(connection, session["session_id"])
    face = sa.literal(TOGETHER) if track_ids is None else persons.make_column(track_ids)
    rows = (
        sa.select(
            face.label("track_id"), confidence.label("confidence"), make_valence(connection).label("valence"),
            emotions.c.quality, emotions.c.detection_score,
        ).where(select_within(session, start_s, end_s, persons, track_ids)).subquery()
    )  # fmt: skip
    query = (
        sa.select(
            rows.c.track_id,
            sa.func.count().label("num_rows"),
            sa.func.avg(sa.case((rows.c.confidence < UNCERTAIN_BELOW, 1.0), else_=0.0)).label("uncertain"),
            *(
                sa.func.avg(rows.c[name]).label(name)
                for name in ("confidence", "valence", "quality", "detection_score")
            ),
        )
        .group_by(rows.c.track_id)
        .order_by(rows.c.track_id)
    )
    return [{**row, "uncertain": float(row["uncertain"])} for row in connection.execute(query).mappings()]


def _select_labelled(
    connection: sa.Connection, session: Row, start_s: float, end_s: float, track_ids: Sequence[int] | None
) -> sa.Select[tuple[object, ...]]:
    """Return the SQL of rows with their emotion, and with the emotion and time of the rows beside them."""
    confidence, persons = make_confidence(connection), read_persons(connection, session["session_id"])
    rows = (
        sa.select(
            persons.make_column(track_ids).label("track_id"), emotions.c.pts, emotions.c.time_s,
            confidence.label("confidence"),
            *(emotions.c[name] for name in EMOTIONS),
        ).where(select_within(session, start_s, end_s, persons, track_ids)).subquery()
    )  # fmt: skip
    # The first of a tie wins, as in find_label.
    label = sa.case(*((rows.c[name] == rows.c.confidence, name) for name in EMOTIONS), else_=EMOTIONS[-1])
    named = sa.select(
        rows.c.track_id, rows.c.pts, rows.c.time_s, rows.c.confidence, label.label("label")
    ).subquery()  # fmt: skip
    track, pts = named.c.track_id, named.c.pts
    return sa.select(
        named,
        (sa.literal(TOGETHER) if track_ids is None else track).label("face"),
        sa.func.lag(named.c.label).over(partition_by=track, order_by=pts).label("last_label"),
        sa.func.lag(named.c.time_s).over(partition_by=track, order_by=pts).label("last_s"),
        sa.func.lead(named.c.time_s).over(partition_by=track, order_by=pts).label("next_s"),
    )
