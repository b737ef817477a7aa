"""What reports add to what a page shows: the models and the settings that made its rows."""

import json
from typing import NamedTuple

from contracts import timelines
from dashboard.asking import FRESH_S, query, read
from dashboard.identity import VIEWER


class Origin(NamedTuple):
    """The models of a camera's sessions, and their settings; each named once."""

    models: tuple[str, ...]
    settings: tuple[str, ...]


@query(VIEWER, ttl=FRESH_S, max_entries=32)
def read_camera_origin(source_id: str, start_at: float, end_at: float) -> Origin:
    """Return what made a camera's rows between two moments.

    Raises:
        ServiceError: the database is out of reach.
    """
    with read() as connection:
        rows = timelines.list_source_sessions(connection, source_id, start_at, end_at)
    models = dict.fromkeys(row["model_id"] for row in rows)
    settings = dict.fromkeys(json.dumps(row["settings"], sort_keys=True) for row in rows)
    return Origin(tuple(models), tuple(settings))
