"""Addresses that name a marker: who opens one sees it."""

import time
from collections.abc import Sequence

import streamlit as st

from contracts import store
from dashboard.queries import marking_queries
from dashboard.widgets import choosing
from dashboard.widgets.viewing import View, set_view

_AROUND_S = 300.0


def follow_camera_link(source_id: str) -> None:
    """Have a page that is opened by the address of a camera's marker begin with a range that holds it.

    The address may say "last hour", of a day that is long over.
    """
    if st.session_state.get(f"linked-{source_id}"):
        return
    st.session_state[f"linked-{source_id}"] = True
    marker_id, name = st.query_params.get("marker"), st.query_params.get("range", choosing.DEFAULT_RANGE)
    row = marking_queries.read_marker(marker_id) if marker_id and name != choosing.CUSTOM else None
    if row is None or row["source_id"] != source_id or row["session_id"] is not None:
        return
    end = row["end"] if row["end"] is not None else row["start"]
    if end < time.time() - choosing.RANGES.get(name, 0.0):
        st.query_params["range"] = choosing.CUSTOM
        st.query_params["from"], st.query_params["to"] = f"{row['start'] - _AROUND_S:.0f}", f"{end + _AROUND_S:.0f}"


def follow_link(key: str, rows: Sequence[store.Row], bounds: View) -> None:
    """Have a page that is opened by a marker's address show that marker."""
    if st.session_state.get(f"linked-{key}"):
        return
    st.session_state[f"linked-{key}"] = True
    for row in rows:
        if row["marker_id"] == st.query_params.get("marker"):
            set_view(key, look_at(row), bounds)


def look_at(row: store.Row) -> View:
    """Return a view of a marker with something around it."""
    end = row["end"] if row["end"] is not None else row["start"]
    margin = max(5.0, 0.25 * (end - row["start"]))
    return View(row["start"] - margin, end + margin)
