"""Audit: who changed what, and when."""

import pandas as pd
import streamlit as st

from dashboard.identity import ADMIN, require
from dashboard.queries import account_queries
from dashboard.texts import show_errors
from dashboard.widgets.choosing import choose_zone

_RANGES = {"last day": 86_400.0, "last week": 7 * 86_400.0, "last month": 30 * 86_400.0, "all": None}


def render() -> None:
    """Draw the page."""
    st.title("Audit")
    require(ADMIN)
    zone = choose_zone()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input(
            "Search", key="audit-search", max_chars=200, width=320, placeholder="A name, camera.add, an id …"
        )
        within = st.segmented_control("Time", list(_RANGES), default="last week", required=True, key="audit-range")
    rows = account_queries.list_changes((search or "").strip(), _RANGES[within or "last week"])
    if rows.empty:
        st.info("Nothing was changed, as far as this search goes.", icon=":material/history:")
        return
    shown = rows.assign(at=pd.to_datetime(rows["at"], unit="s", utc=True).dt.tz_convert(zone))
    st.dataframe(
        shown,
        hide_index=True,
        column_order=["at", "who", "action", "details", "subject"],
        height=min(36 * len(shown) + 39, 36 * 20),
        column_config={
            "at": st.column_config.DatetimeColumn("When", format="YYYY-MM-DD HH:mm:ss"),
            "who": "Who",
            "action": "Did",
            "subject": st.column_config.TextColumn("To", help="The id of the camera, account or track."),
            "details": st.column_config.TextColumn("Details", width="large"),
        },
    )
    if len(shown) == account_queries.MAX_CHANGES:
        st.caption(f"The newest {len(shown)}; search for others, or in a shorter time.")


with show_errors():
    render()
