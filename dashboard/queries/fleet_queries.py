"""What runs, as data frames: the cameras that operators want, the wall, and the state of workers and lanes."""

import pandas as pd
import streamlit as st

from contracts import cameras, timelines
from contracts.emotions import EMOTIONS, find_label
from contracts.overview import Overview, read_overview
from dashboard.asking import FRESH_S, query, read
from dashboard.identity import OPERATOR, VIEWER, require
from dashboard.reading.fleet import Recent, make_wall
from dashboard.services import open_redis, open_services

# The wall's sparklines: minutes of every camera are read anew this often.
_RECENT_FRESH_S = 10.0
_RECENT_S, _RECENT_BUCKET_S = 120.0, 5.0


@query(OPERATOR, ttl=FRESH_S, max_entries=4)
def list_cameras() -> pd.DataFrame:
    """Return the streams that operators want, their URLs without credentials."""
    with read() as connection:
        rows = cameras.list_streams(connection)
    columns = ["stream_id", "name", "kind", "url", "profile", "fps", "transport", "enabled", "preview", "updated_at"]
    return pd.DataFrame(rows, columns=columns)


@query(VIEWER, ttl=FRESH_S, max_entries=1)
def read_fleet() -> Overview:
    """Return the state of everything that runs.

    Raises:
        ServiceError: the database or Redis is out of reach.
    """
    return read_overview(open_services().engine, open_redis())


def read_wall() -> pd.DataFrame:
    """Return one row a camera: its state, what it sees, and what it loses."""
    require(VIEWER)
    overview = read_fleet()
    running = [one.told.session_id for one in overview.streams if one.told is not None and one.told.session_id]
    return make_wall(overview, _read_recent(tuple(sorted(running))))


@st.cache_data(ttl=_RECENT_FRESH_S, max_entries=4, show_spinner=False)
def _read_recent(session_ids: tuple[str, ...]) -> dict[str, Recent]:
    """Return what running sessions saw in the last minutes."""
    found = {}
    with read() as connection:
        for session_id in session_ids:
            points = timelines.read_recent_points(connection, session_id, _RECENT_S, _RECENT_BUCKET_S)
            if points:
                label, confidence = find_label([points[-1][name] for name in EMOTIONS])
                found[session_id] = Recent(tuple(point["valence"] for point in points), label, confidence)
    return found


@query(VIEWER, ttl=_RECENT_FRESH_S, max_entries=1)
def count_rejected() -> pd.DataFrame:
    """Return how many crop sequences and faces no worker could use, by reason, the most first."""
    with read() as connection:
        rows = timelines.count_rejections(connection)
    return pd.DataFrame(rows, columns=["reason", "sequences", "faces", "sessions"])
