"""Timelines as the database gives them: a bounded number of points for any range, however many rows lie in it.

A range with few rows is given row by row. Else the database cuts it into buckets of equal time and tells each one's
lowest, mean and highest values, so that no peak is averaged away. Each function takes a connection.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from contracts.emotions import EMOTIONS, NEGATIVE_EMOTIONS, UNCERTAIN_BELOW
from contracts.persons import Persons, Range, list_persons_between, read_persons
from contracts.schema import coverage, emotions, rejections, sessions, sources, tracks
from contracts.store import Row

TOGETHER = 0  # the track id of points that stand for all faces; faces are counted from 1
MAX_POINTS = 1000
VALUES = (*EMOTIONS, "valence")
# A running session's rows may be so far ahead of what is written down of its tracks.
_UNSAVED_S = 300.0
_STEPS = (1.0, 2.0, 5.0, 10.0)
_SOURCE = (sources.c.source_id, sources.c.kind, sources.c.name, sources.c.created_at)


def list_sources(connection: sa.Connection, limit: int = 1000) -> list[Row]:
    """Return the sources that have sessions, the one with the newest session first."""
    newest = sa.func.max(sessions.c.started_at).label("newest_at")
    query = (
        sa.select(*_SOURCE, sa.func.count().label("num_sessions"), newest)
        .join_from(sources, sessions)
        .group_by(*_SOURCE)
        .order_by(newest.desc())
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def list_source_sessions(
    connection: sa.Connection, source_id: str, start_at: float = 0.0, end_at: float = math.inf, limit: int = 500
) -> list[Row]:
    """Return a source's sessions that overlap two moments (seconds since 1970), the newest first."""
    query = sa.select(sessions).where(sessions.c.source_id == source_id)
    if end_at < math.inf:
        query = query.where(sessions.c.started_at <= end_at)
    if start_at > 0:
        query = query.where(sa.or_(sessions.c.ended_at.is_(None), sessions.c.ended_at >= start_at))
    query = query.order_by(sessions.c.started_at.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def list_newest_sessions(
    connection: sa.Connection, kind: str, limit: int = 500, kept: Collection[str] = ()
) -> list[Row]:
    """Return the newest sessions of sources of a kind ("file" or "camera"), and those of ``kept``, however old.

    Rows have session_id, source_id, source (its name), kind, started_at and ended_at.
    """
    columns = (sessions.c.session_id, sessions.c.started_at, sessions.c.ended_at, sources.c.source_id, sources.c.kind)
    query = sa.select(*columns, sources.c.name.label("source")).join(sources).where(sources.c.kind == kind)
    newest = query.order_by(sessions.c.started_at.desc(), sessions.c.session_id).limit(limit)
    rows: list[Row] = [dict(row) for row in connection.execute(newest).mappings()]
    missing = set(kept) - {row["session_id"] for row in rows}
    if missing:
        rows += [dict(row) for row in connection.execute(query.where(sessions.c.session_id.in_(missing))).mappings()]
    return rows


def list_tracks_between(connection: sa.Connection, ranges: Mapping[str, Range]) -> list[Row]:
    """Return the persons who are there in sessions' ranges of seconds, those with the most faces first.

    They are rows of the tracks table with a ``name`` (``contracts.persons``).
    """
    rows = list_persons_between(connection, ranges)
    return sorted(rows, key=lambda row: (-row["num_faces"], row["session_id"], row["track_id"]))


def find_duration(connection: sa.Connection, session: Row) -> float:
    """Return the seconds from a session's first frame to the last moment that it knows of."""
    ends = [
        connection.execute(sa.select(sa.func.max(table.c.end_s)).where(table.c.session_id == session["session_id"]))
        for table in (coverage, tracks)
    ]
    return max(session["facts"].get("duration_s") or 0.0, *(end.scalar_one() or 0.0 for end in ends))


def list_coverage_between(connection: sa.Connection, session_id: str, start_s: float, end_s: float) -> list[Row]:
    """Return a session's stretches that overlap a range of seconds, and the next one, in order of time."""
    query = sa.select(coverage).where(coverage.c.session_id == session_id, coverage.c.end_s >= start_s)
    following = sa.select(sa.func.min(coverage.c.start_s)).where(
        coverage.c.session_id == session_id, coverage.c.start_s > end_s
    )
    until = sa.func.coalesce(following.scalar_subquery(), end_s)
    query = query.where(coverage.c.start_s <= until).order_by(coverage.c.start_pts)
    return [dict(row) for row in connection.execute(query).mappings()]


def read_points(
    connection: sa.Connection,
    session: Row,
    start_s: float,
    end_s: float,
    track_ids: Sequence[int] | None = None,
    max_points: int = MAX_POINTS,
    bucket_s: float | None = None,
) -> list[Row]:
    """Return the points of a session's timeline between two moments, both included, by track and time.

    ``track_ids`` gives each person (``contracts.persons``) points of their own, under the track that they go by; None
    puts all faces together, as ``TOGETHER``. No person has more than ``max_points``. Where there are more rows, a
    point stands for all rows in ``find_bucket_s`` seconds (or in ``bucket_s``, for several sessions in one picture):
    ``num_faces`` of them, ``num_uncertain`` with a confidence below ``UNCERTAIN_BELOW``, between ``first_s`` and
    ``last_s``, at ``time_s`` on average. For each emotion and ``valence`` it has the mean under its name, and ``_min``
    and ``_max``.
    """
    persons = read_persons(connection, session["session_id"])
    within = select_within(session, start_s, end_s, persons, track_ids)
    if bucket_s is None:
        # Counting stops as soon as there are too many.
        counted = sa.select(emotions.c.pts).where(within).limit(max_points + 1).subquery()
        is_few = connection.execute(sa.select(sa.func.count()).select_from(counted)).scalar_one() <= max_points
        bucket_s = 0.0 if is_few else find_bucket_s(end_s - start_s, max_points)
    key = _number_bucket(connection, bucket_s) if bucket_s else emotions.c.pts
    track = sa.literal(TOGETHER) if track_ids is None else persons.make_column(track_ids)
    # The database looks at each row once; the derived values are named below, so that they are computed once.
    rows = sa.select(
        track.label("track_id"), key.label("bucket"), emotions.c.time_s, *(emotions.c[name] for name in EMOTIONS),
        make_valence(connection).label("valence"), make_confidence(connection).label("confidence"),
    ).where(within).subquery()  # fmt: skip
    is_uncertain = sa.case((rows.c.confidence < UNCERTAIN_BELOW, 1), else_=0)
    query = (
        sa.select(
            rows.c.track_id,
            sa.func.count().label("num_faces"),
            sa.func.sum(is_uncertain).label("num_uncertain"),
            sa.func.min(rows.c.time_s).label("first_s"),
            sa.func.max(rows.c.time_s).label("last_s"),
            sa.func.avg(rows.c.time_s).label("time_s"),
            *(
                column
                for name in VALUES
                for column in (
                    sa.func.avg(rows.c[name]).label(name),
                    sa.func.min(rows.c[name]).label(f"{name}_min"),
                    sa.func.max(rows.c[name]).label(f"{name}_max"),
                )
            ),
        )
        .group_by(rows.c.track_id, rows.c.bucket)
        .order_by(rows.c.track_id, sa.func.min(rows.c.time_s))
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def read_recent_points(connection: sa.Connection, session_id: str, span_s: float, bucket_s: float) -> list[Row]:
    """Return the points of all faces together over the last ``span_s`` seconds that a session knows of."""
    newest = sa.select(sa.func.max(tracks.c.end_s)).where(tracks.c.session_id == session_id).scalar_subquery()
    row = connection.execute(
        sa.select(sessions, newest.label("newest_s")).where(sessions.c.session_id == session_id)
    ).mappings().one_or_none()  # fmt: skip
    if row is None or row["newest_s"] is None:
        return []
    # Rows may be there already of tracks that are written down a moment later.
    start_s, end_s = max(0.0, row["newest_s"] - span_s), row["newest_s"] + span_s
    return read_points(connection, dict(row), start_s, end_s, bucket_s=bucket_s)


def count_rejections(connection: sa.Connection, limit: int = 100) -> list[Row]:
    """Return how many sequences, faces and sessions each reason of rejection concerns, the most faces first."""
    faces = sa.func.sum(rejections.c.num_faces)
    query = sa.select(
        rejections.c.reason, sa.func.count().label("sequences"), faces.label("faces"),
        sa.func.count(sa.distinct(rejections.c.session_id)).label("sessions"),
    ).group_by(rejections.c.reason).order_by(faces.desc()).limit(limit)  # fmt: skip
    return [dict(row) for row in connection.execute(query).mappings()]


def find_bucket_s(duration_s: float, max_points: int = MAX_POINTS) -> float:
    """Return the shortest round number of seconds (1, 2 or 5 and zeros) that cuts a duration into few enough buckets.

    Buckets are counted from the session's start, so that the same moments fall together wherever a view begins; a view
    touches one more than its length holds.
    """
    least_s = duration_s / max(1, max_points - 1)
    if least_s <= 0:
        return 0.001
    power = 10.0 ** math.floor(math.log10(least_s))
    return next(step * power for step in _STEPS if step * power >= least_s * (1 - 1e-9))


def make_confidence(connection: sa.Connection) -> sa.ColumnElement[float]:
    """Return the SQL of a row's confidence: its highest probability."""
    return _find_greatest(connection, EMOTIONS)


def make_valence(connection: sa.Connection) -> sa.ColumnElement[float]:
    """Return the SQL of a row's valence, as ``contracts.emotions.compute_valence`` has it."""
    return emotions.c.happy - _find_greatest(connection, NEGATIVE_EMOTIONS)


def _find_greatest(connection: sa.Connection, names: Sequence[str]) -> sa.ColumnElement[float]:
    columns = [emotions.c[name] for name in names]
    function = sa.func.greatest if connection.dialect.name == "postgresql" else sa.func.max
    return function(*columns, type_=sa.Double)


def _number_bucket(connection: sa.Connection, bucket_s: float) -> sa.ColumnElement[int]:
    quotient = emotions.c.time_s / bucket_s
    # SQLite's cast cuts the fraction off, PostgreSQL's rounds; SQLite may lack floor. Times are not below zero.
    whole = sa.func.floor(quotient) if connection.dialect.name == "postgresql" else quotient
    return sa.cast(whole, sa.BigInteger)


def select_within(
    session: Row, start_s: float, end_s: float, persons: Persons, track_ids: Sequence[int] | None
) -> sa.ColumnElement[bool]:
    """Return the SQL condition for a session's rows between two moments, of all persons (None) or of some.

    The key finds them where pts are known.
    """
    conditions = [
        emotions.c.session_id == session["session_id"], emotions.c.time_s >= start_s, emotions.c.time_s <= end_s
    ]  # fmt: skip
    if session["time_base_num"] is not None and session["start_pts"] is not None:
        ticks_per_s = session["time_base_den"] / session["time_base_num"]
        bounds = (math.floor(start_s * ticks_per_s) - 1, math.ceil(end_s * ticks_per_s) + 1)
        conditions.append(emotions.c.pts.between(*(session["start_pts"] + bound for bound in bounds)))
    # Rows are kept by session, track and pts: without tracks, all of a session that runs for months would be looked at.
    if track_ids is None:
        conditions.append(emotions.c.track_id.in_(_select_tracks(session, start_s, end_s)))
    else:
        conditions.append(persons.select(track_ids))
    return sa.and_(*conditions)


def _select_tracks(session: Row, start_s: float, end_s: float) -> sa.CompoundSelect[int]:
    """Select the tracks that may have rows between two moments: also those that the run has not written down yet."""
    of_session = tracks.c.session_id == session["session_id"]
    known = sa.select(tracks.c.track_id).where(
        of_session, tracks.c.end_s >= start_s - _UNSAVED_S, tracks.c.start_s <= end_s
    )
    newest = sa.select(sa.func.coalesce(sa.func.max(tracks.c.track_id), 0)).where(of_session).scalar_subquery()
    unknown = sa.select(emotions.c.track_id).where(
        emotions.c.session_id == session["session_id"], emotions.c.track_id > newest
    )
    return sa.union(known, unknown)
