"""Write what ingest knows of a session to the database as it goes: its facts, coverage and tracks."""

from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.database import write_transaction
from ingest.coverage import CoverageRecorder
from ingest.frames import FrameReader


class TrackRecorder:
    """Collects a session's tracks as rows that grow."""

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id
        self._tracks: dict[int, dict[str, Any]] = {}

    def add_face(self, track_id: int, pts: int, time_s: float) -> None:
        """Extend a track by one face that goes to inference."""
        track = self._tracks.setdefault(
            track_id,
            {
                "session_id": self._session_id,
                "track_id": track_id,
                "start_pts": pts,
                "start_s": time_s,
                "num_faces": 0,
            },
        )
        track.update(end_pts=pts, end_s=time_s, num_faces=track["num_faces"] + 1)

    def list_rows(self) -> list[dict[str, Any]]:
        """Return a copy of the rows of all tracks that were not forgotten."""
        return [dict(track) for track in self._tracks.values()]

    def forget(self, track_ids: list[int]) -> None:
        """Drop ended tracks once they are written, so that a long session does not pile them up."""
        for track_id in track_ids:
            self._tracks.pop(track_id, None)


class SessionRecorder:
    """Collects a session's coverage and tracks, and writes them in keyed rows that may be written again."""

    first_track_id = 1

    def __init__(self, engine: sa.Engine, session_id: str, retry_s: float) -> None:
        self.coverage = CoverageRecorder(session_id)
        self._engine = engine
        self._session_id = session_id
        self._retry_s = retry_s
        self.tracks = TrackRecorder(session_id)

    def save(self, reader: FrameReader, frame_s: float = 0.0) -> None:
        """Write everything that is new or has grown.

        Raises:
            ServiceError: the database stayed out of reach.
        """
        coverage_rows = self.coverage.take_rows(frame_s)
        track_rows = self.tracks.list_rows()
        values = _read_values(reader)

        def write(connection: sa.Connection) -> None:
            store.record_coverage(connection, coverage_rows)
            store.record_tracks(connection, track_rows)
            store.update_session(connection, self._session_id, **values)

        write_transaction(self._engine, write, self._retry_s)


def _read_values(reader: FrameReader) -> dict[str, Any]:
    clock, facts = reader.clock, reader.facts
    assert facts is not None
    return {
        "facts": {
            **facts.to_dict(),
            "variable_frame_rate": clock.is_variable,
            "last_time_s": round(clock.to_seconds(clock.last_pts or 0), 6) if clock.last_pts is not None else 0.0,
            "repaired_pts": clock.num_repaired,
            "flagged_frames": reader.num_flagged,
        },
        "time_base_num": facts.time_base[0],
        "time_base_den": facts.time_base[1],
        "start_pts": clock.start_pts,
        "num_packets": reader.num_packets,
        "num_frames": reader.num_frames,
    }
