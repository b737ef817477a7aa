"""A database of millions of seeded rows for ``page_speed.py``: a hundred cameras, three faces each, five rows a second.

The first camera has run without an end for as long as a fifth of all rows takes; the others share the rest. All run
until now. Rows go in by the database's own quickest way, since what is measured is reading them.
"""

import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import sqlalchemy as sa

from contracts import cameras, store
from contracts.emotions import EMOTIONS
from contracts.encryption import find_secret_key
from contracts.model_card import DEFAULT_MODEL, read_card
from contracts.schema import coverage, emotions, sessions, tracks
from contracts.settings import read_settings
from contracts.sources import parse_source

NUM_CAMERAS, NUM_FACES, FPS = 100, 3, 5
_TICKS_PER_S = 1000
_SHARE_OF_FIRST = 0.2
_ROWS_A_TRACK = FPS * 120  # people come and go every two minutes
_COLUMNS = [column.name for column in emotions.columns]


def fill_database(engine: sa.Engine, num_rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Fill a database with about ``num_rows`` rows; return (stream, running session) of each camera."""
    now, made = time.time(), []
    values = _make_values(seed)
    for number in range(NUM_CAMERAS):
        share = _SHARE_OF_FIRST if number == 0 else (1 - _SHARE_OF_FIRST) / (NUM_CAMERAS - 1)
        duration_s = num_rows * share / (NUM_FACES * FPS)
        made.append(_add_camera(engine, number, now - duration_s))
        _add_rows(engine, made[-1][1], duration_s, values)
    # As autovacuum and the embedded database's own upkeep would have done long ago.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if engine.dialect.name == "postgresql" else "PRAGMA optimize")
    return made


def _add_camera(engine: sa.Engine, number: int, started_at: float) -> tuple[str, str]:
    card, stream_id, session_id = read_card(DEFAULT_MODEL), store.make_uuid7(), store.make_uuid7()
    with engine.begin() as connection:
        store.record_model(connection, card)
        stream = cameras.add_stream(
            connection, find_secret_key(read_settings()), stream_id=stream_id, name=f"camera {number + 1:03}",
            source=parse_source("rtsp://192.0.2.1/live"), profile="live", fps=float(FPS), transport=None, enabled=True,
        )  # fmt: skip
        row = {
            "session_id": session_id, "source_id": cameras.record_source(connection, stream),
            "model_id": card.model_id, "status": store.RUNNING, "started_at": started_at, "epoch": 1,
            "settings": {"fps": FPS, "profile": "live"}, "facts": {}, "fingerprint": "", "time_base_num": 1,
            "time_base_den": _TICKS_PER_S, "start_pts": 0,
        }  # fmt: skip
        connection.execute(sa.insert(sessions), row)
    return stream_id, session_id


def _add_rows(engine: sa.Engine, session_id: str, duration_s: float, values: np.ndarray) -> None:
    num_pictures, seen = int(duration_s * FPS), []
    for place, first in enumerate(range(0, num_pictures, _ROWS_A_TRACK)):
        ticks = np.arange(first, min(first + _ROWS_A_TRACK, num_pictures)) * (_TICKS_PER_S // FPS)
        seen += [(place * NUM_FACES + face + 1, ticks.tolist()) for face in range(NUM_FACES)]
    _insert(engine, (row for track_id, ticks in seen for row in _make_rows(session_id, track_id, ticks, values)))
    stretch = {
        "session_id": session_id, "start_pts": 0, "state": "analysed", "start_s": 0.0, "end_s": duration_s,
        "num_frames": num_pictures, "num_not_sampled": 2 * num_pictures, "num_faces": NUM_FACES * num_pictures,
        "fps": float(FPS), "num_backpressure": 0,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(sa.insert(coverage), stretch)
        connection.execute(sa.insert(tracks), [_make_track(session_id, *one) for one in seen])


def _make_values(seed: int) -> np.ndarray:
    """Return an hour of probabilities that wander as expressions do, one row for each picture."""
    walk = np.cumsum(np.random.default_rng(seed).normal(scale=0.35, size=(FPS * 3600, len(EMOTIONS))), axis=0)
    scores = np.exp(2.5 * np.sin(walk))
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def _make_rows(session_id: str, track_id: int, ticks: list[int], values: np.ndarray) -> Iterator[tuple[Any, ...]]:
    first = 997 * track_id % (len(values) - len(ticks))
    for tick, row in zip(ticks, values[first : first + len(ticks)].tolist(), strict=True):
        yield (session_id, track_id, tick, tick // 67, tick / _TICKS_PER_S, 10.0, 10.0, 60.0, 70.0, 0.9, 0.8, *row, "m")


def _insert(engine: sa.Engine, rows: Iterator[tuple[Any, ...]]) -> None:
    connection = engine.raw_connection()
    try:
        raw: Any = connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            raw.execute("BEGIN IMMEDIATE")  # else each row would be a transaction
            raw.executemany(f"INSERT INTO emotions VALUES ({','.join('?' * len(_COLUMNS))})", rows)
        else:
            with raw.cursor() as cursor, cursor.copy(f"COPY emotions ({','.join(_COLUMNS)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        raw.commit()
    finally:
        connection.close()


def _make_track(session_id: str, track_id: int, ticks: list[int]) -> store.Row:
    return {
        "session_id": session_id, "track_id": track_id, "start_pts": ticks[0], "end_pts": ticks[-1],
        "start_s": ticks[0] / _TICKS_PER_S, "end_s": ticks[-1] / _TICKS_PER_S, "num_faces": len(ticks),
    }  # fmt: skip
