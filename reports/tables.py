"""The table of one session: one row per face per analysed frame, as CSV, Parquet or JSON."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import sqlalchemy as sa
from pyarrow import compute, csv, parquet

from contracts import store
from contracts.emotions import EMOTIONS
from contracts.errors import OutputError, UsageError
from contracts.persons import read_persons
from reports.derived import derive
from reports.output import explain_write_error, replace_file

_STORED = ("track_id", "frame_index", "pts", "time_s", "x1", "y1", "x2", "y2", "detection_score", "quality", *EMOTIONS)
_INTEGERS = ("track_id", "frame_index", "pts")

SCHEMA = pa.schema(
    [
        ("source", pa.string()),
        ("session_id", pa.string()),
        *((name, pa.int64() if name in _INTEGERS else pa.float64()) for name in _STORED),
        ("label", pa.string()),
        ("confidence", pa.float64()),
        ("valence", pa.float64()),
        ("model", pa.string()),
        ("joined_id", pa.int64()),
    ]
)

# Large enough for a Parquet row group to compress well, small enough to stay at some tens of megabytes.
_CHUNK = 10_000
_CSV_DECIMALS = 6


def iterate_table(connection: sa.Connection, session: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of ``session`` (from ``store.read_session``) by time and track, in batches of ``SCHEMA``.

    ``time_s`` is in seconds from the session's start, ``pts`` in its time base, ``x1`` to ``y2`` in pixels of the
    upright picture. ``joined_id`` is the same for all rows of one person (``contracts.persons``); a track that is
    joined to none has its own id there. Memory is that of one batch, however long the video.
    """
    persons = read_persons(connection, session["session_id"])
    columns = (*_STORED, "model_id")
    for rows in store.iterate_emotions(connection, session["session_id"], columns, _CHUNK):
        *stored, model_ids = zip(*rows, strict=True)
        derived = derive(np.array(stored[-len(EMOTIONS) :], dtype=np.float64).T)
        arrays = [
            [session["source"]] * len(rows),
            [session["session_id"]] * len(rows),
            *stored,
            derived.labels,
            derived.confidences,
            derived.valences,
            model_ids,
            [
                persons.find(*place)
                for place in zip(stored[_STORED.index("track_id")], stored[_STORED.index("pts")], strict=True)
            ],
        ]
        yield pa.record_batch(
            [pa.array(array, type=field.type) for array, field in zip(arrays, SCHEMA, strict=True)], schema=SCHEMA
        )


def export_table(connection: sa.Connection, session: Mapping[str, Any], table_format: str, file: BinaryIO) -> None:
    """Write the table of ``session`` to ``file``, which may be a pipe and stays open, as csv, parquet or json.

    Raises:
        UsageError: there is no such format.
        OutputError: ``file`` cannot be written to.
        BrokenPipeError: whoever read ``file`` went away, as ``head`` does; not a failure of ours.
    """
    writers = {"csv": _write_csv, "parquet": _write_parquet, "json": _write_json}
    if table_format not in writers:
        raise UsageError(f"There is no table format {table_format!r}. Use {', '.join(writers)}.")
    try:
        writers[table_format](iterate_table(connection, session), file)
        file.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(explain_write_error(str(getattr(file, "name", "The output")), error)) from None


def write_csv(connection: sa.Connection, session: Mapping[str, Any], path: Path) -> None:
    """Write the table to ``path`` as UTF-8 CSV with a header; fractions have six decimals at most.

    Raises:
        OutputError: the file cannot be written.
    """
    with replace_file(path) as temporary, temporary.open("wb") as file:
        _write_csv(iterate_table(connection, session), file)


def write_parquet(connection: sa.Connection, session: Mapping[str, Any], path: Path) -> None:
    """Write the table to ``path`` as Parquet, with the columns and types of ``SCHEMA``.

    Raises:
        OutputError: the file cannot be written.
    """
    with replace_file(path) as temporary, temporary.open("wb") as file:
        _write_parquet(iterate_table(connection, session), file)


def write_json(connection: sa.Connection, session: Mapping[str, Any], path: Path) -> None:
    """Write the table to ``path`` as a JSON array of objects, one a line.

    Raises:
        OutputError: the file cannot be written.
    """
    with replace_file(path) as temporary, temporary.open("wb") as file:
        _write_json(iterate_table(connection, session), file)


def _write_csv(batches: Iterator[pa.RecordBatch], file: BinaryIO) -> None:
    options = csv.WriteOptions(quoting_style="needed", quoting_header="none")
    with csv.CSVWriter(file, SCHEMA, write_options=options) as writer:
        for batch in batches:
            writer.write_batch(_round_fractions(batch))


def _round_fractions(batch: pa.RecordBatch) -> pa.RecordBatch:
    # Seven probabilities rounded to six decimals still sum to 1 within 7 x 5e-7.
    columns = [
        compute.round(column, _CSV_DECIMALS) if pa.types.is_floating(column.type) else column
        for column in batch.columns
    ]
    return pa.record_batch(columns, schema=batch.schema)


def _write_parquet(batches: Iterator[pa.RecordBatch], file: BinaryIO) -> None:
    with parquet.ParquetWriter(file, SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)


def _write_json(batches: Iterator[pa.RecordBatch], file: BinaryIO) -> None:
    separator = "[\n"
    for batch in batches:
        for row in batch.to_pylist():
            file.write((separator + json.dumps(row, ensure_ascii=False)).encode())
            separator = ",\n"
    file.write(b"[]\n" if separator == "[\n" else b"\n]\n")
