"""All SQL that reads and writes rows. Each function takes a connection; the caller owns the transaction.

Writes are keyed upserts: repeating one changes nothing, which makes rows exactly once over a stream that delivers at
least once.
"""

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from contracts import ledger
from contracts.errors import UsageError
from contracts.model_card import ModelCard
from contracts.schema import coverage, emotions, models, rejections, sessions, sources, tracks

RUNNING, COMPLETE, INTERRUPTED, FAILED, INCOMPLETE = "running", "complete", "interrupted", "failed", "incomplete"
ENDED = "ended"  # a camera's connection is over, and some of its faces may still wait

_MAX_REASON_LENGTH = 1000
# Windows hold back up to 12 faces for those that follow; a face may be missed on some of the frames between.
_CUT_FRAMES = 120
EMOTION_COLUMNS = tuple(column.name for column in emotions.columns)
Row = Mapping[str, Any]
# Of a crop sequence: session, track, first pts to store.
SequenceKey = tuple[str, int, int]


def make_uuid7() -> str:
    """Return a new UUID of version 7 (RFC 9562): milliseconds, then random bits, so that ids sort by time."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows whose key is not there yet."""
    if rows:
        connection.execute(_dialect_insert(connection, table).on_conflict_do_nothing(), rows)


def _upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows, or replace the ones with the same key."""
    if not rows:
        return
    statement = _dialect_insert(connection, table)
    keys = [column.name for column in table.primary_key.columns]
    values = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), rows)


def _dialect_insert(connection: sa.Connection, table: sa.Table) -> Any:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def record_model(connection: sa.Connection, card: ModelCard) -> None:
    """Store the card of a model that rows will name."""
    row = {
        "model_id": card.model_id,
        "name": card.name,
        "card": msgspec.to_builtins(card),
        "created_at": time.time(),
    }
    insert_new(connection, models, [row])


def read_model_card(connection: sa.Connection, model_id: str) -> ModelCard:
    """Return the card of a model that sessions name.

    Raises:
        UsageError: the database has no such model.
    """
    card = connection.execute(sa.select(models.c.card).where(models.c.model_id == model_id)).scalar_one_or_none()
    if card is None:
        raise UsageError(f"The database has no model {model_id!r}. It is stored when its first session begins.")
    return msgspec.convert(card, ModelCard)


def record_session(
    connection: sa.Connection,
    *,
    session_id: str,
    url: str,
    name: str,
    model_id: str,
    fingerprint: str,
    settings: Row,
) -> None:
    """Store a new session of the file at ``url``, in the state ``running``."""
    insert_new(
        connection,
        sources,
        [{"source_id": make_uuid7(), "kind": "file", "url": url, "name": name, "created_at": time.time()}],
    )
    source_id = connection.execute(
        sa.select(sources.c.source_id).where(sources.c.kind == "file", sources.c.url == url)
    ).scalar_one()
    row = {
        "session_id": session_id,
        "source_id": source_id,
        "model_id": model_id,
        "status": RUNNING,
        "fingerprint": fingerprint,
        "settings": dict(settings),
        "facts": {},
        "started_at": time.time(),
    }
    insert_new(connection, sessions, [row])


def restart_session(connection: sa.Connection, session_id: str) -> None:
    """Prepare a session to be read again from the start: its rows stay but the last ones, its ledger begins anew."""
    forget_cut_rows(connection, emotions.c.session_id == session_id)
    for table in (coverage, tracks, rejections):
        connection.execute(sa.delete(table).where(table.c.session_id == session_id))
    update_session(connection, session_id, status=RUNNING, error=None, ended_at=None, num_packets=None, num_frames=None)


def forget_cut_rows(connection: sa.Connection, is_own: sa.ColumnElement[bool]) -> None:
    """Delete the rows of the last frames that a reading came to before it was stopped.

    Their faces went to inference without those that follow them. The next reading has them looked at again, as one
    that nothing happened to would.
    """
    newest = sa.select(emotions.c.pts).where(is_own).distinct().order_by(emotions.c.pts.desc()).limit(_CUT_FRAMES)
    first = sa.select(sa.func.min(newest.subquery().c.pts)).scalar_subquery()
    connection.execute(sa.delete(emotions).where(is_own, emotions.c.pts >= first))


def update_session(connection: sa.Connection, session_id: str, **values: Any) -> None:
    """Set columns of a session."""
    connection.execute(sa.update(sessions).where(sessions.c.session_id == session_id).values(**values))


def _select_sessions() -> sa.Select[Any]:
    return sa.select(sessions, sources.c.name.label("source"), sources.c.url.label("url")).join(sources)


def read_session(connection: sa.Connection, session_id: str) -> Row:
    """Return a session with its source's ``source`` (name) and ``url``. A unique beginning of the id will do.

    Raises:
        UsageError: no session, or more than one, has such an id.
    """
    begins = sessions.c.session_id.startswith(session_id.lower(), autoescape=True)
    rows = list(connection.execute(_select_sessions().where(begins).limit(2)).mappings()) if session_id else []
    if not rows:
        raise UsageError(f"There is no session {session_id!r}. List them with: emotrace sessions")
    if len(rows) > 1:
        raise UsageError(f"Several sessions begin with {session_id!r}. Give more of its id.")
    return dict(rows[0])


def list_sessions(connection: sa.Connection, limit: int = 1000) -> list[Row]:
    """Return the newest sessions first, each with its source's name and its number of rows."""
    num_rows = (
        sa.select(sa.func.count())
        .select_from(emotions)
        .where(emotions.c.session_id == sessions.c.session_id)
        .scalar_subquery()
    )
    query = _select_sessions().add_columns(num_rows.label("num_rows"))
    query = query.order_by(sessions.c.started_at.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def record_emotions(connection: sa.Connection, rows: Sequence[Row]) -> frozenset[str]:
    """Store rows of the emotions table; a row whose (session, track, pts) is there already is left as it is.

    Return the sessions whose rows were refused: a camera's that is sealed has its last account.
    """
    sealed = _list_sealed(connection, {row["session_id"] for row in rows})
    insert_new(connection, emotions, [row for row in rows if row["session_id"] not in sealed] if sealed else rows)
    return sealed


def _list_sealed(connection: sa.Connection, session_ids: Iterable[str]) -> frozenset[str]:
    """Return which of the sessions are sealed (see ``contracts.camera_sessions``), and keep the others from it."""
    query = sa.select(sessions.c.session_id, sessions.c.epoch, sessions.c.status)
    query = query.where(sessions.c.session_id.in_(session_ids)).with_for_update(read=True, key_share=True)
    found = connection.execute(query)
    return frozenset(row.session_id for row in found if row.epoch is not None and row.status not in (RUNNING, ENDED))


def record_coverage(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Store stretches of coverage; a longer version of a stretch replaces the shorter."""
    _upsert(connection, coverage, rows)


def record_tracks(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Store tracks; a longer version of a track replaces the shorter."""
    _upsert(connection, tracks, rows)


def record_rejection(
    connection: sa.Connection, session_id: str, track_id: int, first_pts: int, num_faces: int, reason: str
) -> None:
    """Store that a crop sequence was rejected.

    One that names no known session has no ledger to stand in, and a sealed one counts it as lost already; one whose
    rows are there already was stored before its worker died, so nothing of it is missing.
    """
    known = connection.execute(sa.select(sessions.c.session_id).where(sessions.c.session_id == session_id)).first()
    if _list_sealed(connection, [session_id]):
        return
    stored = connection.execute(
        sa.select(emotions.c.pts).where(
            emotions.c.session_id == session_id, emotions.c.track_id == track_id, emotions.c.pts == first_pts
        )
    ).first()
    if known is None or stored is not None:
        return
    row = {
        "session_id": session_id,
        "track_id": track_id,
        "first_pts": first_pts,
        "num_faces": num_faces,
        "reason": reason.replace("\0", "\ufffd")[:_MAX_REASON_LENGTH],  # may quote what a stranger wrote
    }
    insert_new(connection, rejections, [row])


def list_stored(connection: sa.Connection, keys: Sequence[SequenceKey]) -> set[SequenceKey]:
    """Return which crop sequences have their rows."""
    key = sa.tuple_(emotions.c.session_id, emotions.c.track_id, emotions.c.pts)
    query = sa.select(emotions.c.session_id, emotions.c.track_id, emotions.c.pts).where(key.in_(keys))
    return {(row.session_id, row.track_id, row.pts) for row in connection.execute(query)}


def remove_rejections(connection: sa.Connection, keys: Sequence[SequenceKey]) -> None:
    """Take back that crop sequences were rejected: they are not any more."""
    key = sa.tuple_(rejections.c.session_id, rejections.c.track_id, rejections.c.first_pts)
    connection.execute(sa.delete(rejections).where(key.in_(keys)))


def read_ledger(connection: sa.Connection, session_id: str, waiting: int = 0) -> ledger.Ledger:
    """Compute a session's ledger from its rows; ``waiting`` is what the stream still holds."""
    session = connection.execute(
        sa.select(sessions.c.num_packets, sessions.c.num_frames).where(sessions.c.session_id == session_id)
    ).one()
    per_state = connection.execute(
        sa.select(
            coverage.c.state,
            sa.func.sum(coverage.c.num_frames),
            sa.func.sum(coverage.c.num_not_sampled),
            sa.func.sum(coverage.c.num_faces),
            sa.func.sum(coverage.c.num_backpressure),
        )
        .where(coverage.c.session_id == session_id)
        .group_by(coverage.c.state)
    ).all()
    frames = {state: int(num_frames) for state, num_frames, _, _, _ in per_state}
    # Those that lie inside stretches of other states.
    frames[ledger.NOT_SAMPLED] = frames.get(ledger.NOT_SAMPLED, 0) + sum(int(row[2]) for row in per_state)
    frames[ledger.BACKPRESSURE] = frames.get(ledger.BACKPRESSURE, 0) + sum(int(row[4]) for row in per_state)
    skipped = {reason: frames[reason] for reason in ledger.SKIP_REASONS if frames.get(reason)}
    num_rows = connection.execute(
        sa.select(sa.func.count()).select_from(emotions).where(emotions.c.session_id == session_id)
    ).scalar_one()
    rejected = connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(rejections.c.num_faces), 0)).where(rejections.c.session_id == session_id)
    ).scalar_one()
    return ledger.Ledger(
        packets=session.num_packets or 0,
        undecodable=frames.get(ledger.UNDECODABLE, 0),
        decoded=session.num_frames or 0,
        analysed=frames.get(ledger.ANALYSED, 0),
        skipped=skipped,
        published=sum(int(row[3]) for row in per_state),
        rows=int(num_rows),
        rejected=int(rejected),
        waiting=waiting,
    )


def list_coverage(connection: sa.Connection, session_id: str) -> list[Row]:
    """Return a session's stretches in order of time."""
    query = sa.select(coverage).where(coverage.c.session_id == session_id).order_by(coverage.c.start_pts)
    return [dict(row) for row in connection.execute(query).mappings()]


def list_tracks(connection: sa.Connection, session_id: str) -> list[Row]:
    """Return a session's tracks in order of their ids."""
    query = sa.select(tracks).where(tracks.c.session_id == session_id).order_by(tracks.c.track_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def list_rejections(connection: sa.Connection, session_id: str) -> list[Row]:
    """Return a session's rejected crop sequences."""
    query = sa.select(rejections).where(rejections.c.session_id == session_id)
    return [dict(row) for row in connection.execute(query).mappings()]


def iterate_emotions(
    connection: sa.Connection, session_id: str, columns: Iterable[str] = EMOTION_COLUMNS, chunk: int = 2000
) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield a session's emotion rows in order of time and track, in chunks, so that memory stays flat."""
    query = (
        sa.select(*(emotions.c[name] for name in columns))
        .where(emotions.c.session_id == session_id)
        .order_by(emotions.c.pts, emotions.c.track_id)
    )
    yield from connection.execute(query, execution_options={"yield_per": chunk}).partitions()
