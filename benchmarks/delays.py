"""When rows of cameras are committed, seen from outside: the database is asked for new ones twenty times a second.

A row's frame arrived when the camera's clock says, tied to the wall's by its session's anchors (the packets that were
least late), less one frame's time: FFmpeg's parser gives a packet when the next one begins. The delay is too long by up
to the time between two polls and by what made the frame late on its way here, never too short.
"""

import threading
import time
from dataclasses import dataclass

import sqlalchemy as sa

from contracts import camera_sessions
from contracts.database import read_transaction
from contracts.schema import emotions, sessions

_POLL_S = 0.05
_SESSIONS_S = 1.0
_TRACK_KEPT_S = 60.0
_NO_TRACK = "('', -1, -1)"


@dataclass(frozen=True)
class SeenRow:
    """A row, and the wall-clock second at which it was first seen."""

    session_id: str
    pts: int
    seen_at: float


class RowWatcher:
    """Sees every new row of a database until ``stop``, in a thread of its own.

    It looks for rows behind the last one of each recent track, and for tracks behind the newest of each session; what
    comes out of this order is missing in ``rows``.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self.rows: list[SeenRow] = []
        self._engine = engine
        self._newest: dict[str, int] = {}  # track by session
        self._last: dict[tuple[str, int], tuple[int, float]] = {}  # pts, and when it was seen
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look a last time and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        next_sessions_s = 0.0
        while not self._stopping.wait(_POLL_S):
            if time.monotonic() >= next_sessions_s:
                self._find_sessions()
                next_sessions_s = time.monotonic() + _SESSIONS_S
            self._poll()
        self._poll()

    def _find_sessions(self) -> None:
        with read_transaction(self._engine) as connection:
            for session_id in connection.execute(sa.select(sessions.c.session_id)).scalars():
                self._newest.setdefault(session_id, -1)
        oldest = time.time() - _TRACK_KEPT_S
        self._last = {key: (pts, at) for key, (pts, at) in self._last.items() if at > oldest}

    def _poll(self) -> None:
        if not self._newest:
            return
        # One statement for all; CROSS JOIN has SQLite look each one up by its key.
        tracks = ", ".join(f"('{key}', {track_id}, {pts})" for (key, track_id), (pts, _) in self._last.items())
        newest = ", ".join(f"('{key}', {track_id})" for key, track_id in self._newest.items())
        query = (
            f"WITH known (session_id, track_id, pts) AS (VALUES {tracks or _NO_TRACK}), "
            f"newest (session_id, track_id) AS (VALUES {newest}) "
            "SELECT e.session_id, e.track_id, e.pts FROM known CROSS JOIN emotions AS e "
            "WHERE e.session_id = known.session_id AND e.track_id = known.track_id AND e.pts > known.pts UNION ALL "
            "SELECT e.session_id, e.track_id, e.pts FROM newest CROSS JOIN emotions AS e "
            "WHERE e.session_id = newest.session_id AND e.track_id > newest.track_id"
        )
        with read_transaction(self._engine) as connection:
            found = sorted(tuple(row) for row in connection.exec_driver_sql(query))
        now = time.time()
        for session_id, track_id, pts in found:
            self.rows.append(SeenRow(session_id, pts, now))
            self._last[session_id, track_id] = (pts, now)
            self._newest[session_id] = max(track_id, self._newest[session_id])


def list_delays(engine: sa.Engine, rows: list[SeenRow], frame_s: float, begin_at: float, end_at: float) -> list[float]:
    """Return the seconds from arrival to commit of the rows whose frames arrived between two wall-clock moments."""
    zeros: dict[str, tuple[float, float]] = {}
    with read_transaction(engine) as connection:
        for session in connection.execute(sa.select(sessions)).mappings():
            anchors = camera_sessions.list_anchors(connection, session["session_id"])
            if anchors:
                tick_s = session["time_base_num"] / session["time_base_den"]
                zeros[session["session_id"]] = (min(wall_s - pts * tick_s for pts, wall_s in anchors) - frame_s, tick_s)
    delays = []
    for row in rows:
        zero_at, tick_s = zeros[row.session_id]
        arrived_at = zero_at + row.pts * tick_s
        if begin_at <= arrived_at <= end_at:
            delays.append(row.seen_at - arrived_at)
    return delays


def count_rows(engine: sa.Engine) -> int:
    """Return how many rows there are."""
    with read_transaction(engine) as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(emotions)).scalar_one())
