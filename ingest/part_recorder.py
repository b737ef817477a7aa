"""Write what ingest knows of one part of a recording, as long as the part is this attempt's."""

import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from contracts import parts, store
from contracts.database import write_transaction
from contracts.errors import InterruptedRunError
from ingest.frames import FrameReader
from ingest.part_frames import PartReader
from ingest.recorder import SessionRecorder

# Between two signs of life, where there is nothing to store (contracts.parts.DEAD_AFTER_S).
_SIGN_INTERVAL_S = 5.0


class PartRecorder(SessionRecorder):
    """Collects a part's coverage and tracks, and gives signs of life however long the workers are waited for."""

    def __init__(self, engine: sa.Engine, row: store.Row, retry_s: float) -> None:
        """``row`` is that of the attempt (``contracts.parts.begin_part``)."""
        super().__init__(engine, row["session_id"], retry_s)
        self.first_track_id = row["part"] * parts.TRACKS_PER_PART + 1
        self._row = row
        self._is_cancelled = False
        self._next_sign_s = 0.0

    def save(self, reader: FrameReader, frame_s: float = 0.0) -> None:
        """Write everything that is new or has grown.

        Raises:
            InterruptedRunError: the part is another attempt's by now.
            ServiceError: the database stayed out of reach.
        """
        coverage_rows, track_rows = self.coverage.take_rows(frame_s), self.tracks.list_rows()
        values = _read_values(reader, self._row)

        def write(connection: sa.Connection) -> None:
            store.record_coverage(connection, coverage_rows)
            store.record_tracks(connection, track_rows)

        self._write(write, values)

    def is_cancelled(self) -> bool:
        """Return whether somebody cancelled the part; ask often.

        Raises:
            InterruptedRunError, ServiceError: as ``save``.
        """
        if time.monotonic() >= self._next_sign_s:
            self._write(lambda _connection: None, {})
        return self._is_cancelled

    def _write(self, write: Callable[[sa.Connection], None], values: dict[str, Any]) -> None:
        """Run ``write`` and store ``values`` in the part's row, if it still is this attempt's."""
        row = self._row

        def write_if_own(connection: sa.Connection) -> str | None:
            status = parts.renew_part(connection, row["session_id"], row["part"], row["attempts"], **values)
            if status is not None:
                write(connection)
            return status

        status = write_transaction(self._engine, write_if_own, self._retry_s)
        if status is None:
            raise InterruptedRunError("Another worker reads this part by now; this one ends.")
        self._is_cancelled = status == parts.CANCELLED
        self._next_sign_s = time.monotonic() + _SIGN_INTERVAL_S


def _read_values(reader: FrameReader, row: store.Row) -> dict[str, Any]:
    clock = reader.clock
    reached_s = clock.to_seconds(clock.last_pts) if clock.last_pts is not None else 0.0
    return {
        "done_s": min(max(reached_s, row["start_s"]), row["end_s"]),
        # What is inside the decoder has not been read yet.
        "packets_read": reader.num_frames + reader.num_undecodable,
        "frames_read": reader.num_frames,
    }


def make_result(reader: PartReader, seams: dict[str, Any]) -> dict[str, Any]:
    """Return what a part that was read to its end leaves for its session: plain JSON values."""
    clock, facts = reader.clock, reader.facts
    assert facts is not None
    return {
        "facts": facts.to_dict(),
        "start_pts": clock.start_pts,
        "last_time_s": round(reader.last_time_s, 6),
        "min_interval": clock.min_interval,
        "max_interval": clock.max_interval,
        "repaired_pts": clock.num_repaired,
        "flagged_frames": reader.num_flagged,
        "seams": seams,
    }
