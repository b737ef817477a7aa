"""The newest rows of faces that are in view now."""

from collections.abc import Sequence

import sqlalchemy as sa

from contracts.schema import emotions
from contracts.store import Row


def read_latest(connection: sa.Connection, session_id: str, track_ids: Sequence[int]) -> list[Row]:
    """Return the newest row of each of a session's tracks that has one."""
    rows: list[Row] = []
    for track_id in track_ids:
        # The key's last row; one query for all of them would read them whole.
        query = sa.select(emotions).where(emotions.c.session_id == session_id, emotions.c.track_id == track_id)
        row = connection.execute(query.order_by(emotions.c.pts.desc()).limit(1)).mappings().one_or_none()
        if row is not None:
            rows.append(dict(row))
    return rows
