"""What reports add to what a page shows: the models and the settings that made its rows."""

import json
from typing import NamedTuple

import streamlit as st

from contracts import timelines
from contracts.database import read_transaction
from dashboard.identity import VIEWER, require
from dashboard.queries import FRESH_S
from dashboard.services import open_services


class Origin(NamedTuple):
    """The models of a camera's sessions, and their settings; each named once."""

    models: tuple[str, ...]
    settings: tuple[str, ...]


def read_camera_origin(source_id: str, start_at: float, end_at: float) -> Origin:
    """Return what made a camera's rows between two moments.

    Raises:
        NotAllowedError: nobody is logged in.
        ServiceError: the database is out of reach.
    """
    require(VIEWER)
    return _read_origin(source_id, start_at, end_at)


@st.cache_data(ttl=FRESH_S, max_entries=32, show_spinner=False)
def _read_origin(source_id: str, start_at: float, end_at: float) -> Origin:
    with read_transaction(open_services().engine) as connection:
        rows = timelines.list_source_sessions(connection, source_id, start_at, end_at)
    models = dict.fromkeys(row["model_id"] for row in rows)
    settings = dict.fromkeys(json.dumps(row["settings"], sort_keys=True) for row in rows)
    return Origin(tuple(models), tuple(settings))
