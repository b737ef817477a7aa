"""Wall: all cameras at a glance, refreshed in place."""

import pandas as pd
import streamlit as st

from contracts.stream_state import DISABLED, LIVE
from dashboard.asking import FRESH_S
from dashboard.identity import OPERATOR, VIEWER, require
from dashboard.queries import fleet_queries
from dashboard.reading.fleet import SIGNS, TROUBLE
from dashboard.texts import show_errors, tell_state

_ALL = "all"
_TROUBLED = "in trouble"


def render() -> None:
    """Draw the page."""
    st.title("Wall")
    may_look = require(VIEWER).may(OPERATOR)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        search = st.text_input("Search", key="search", placeholder="Part of a camera's name", width=280)
        chosen = st.segmented_control(
            "Show", [_ALL, LIVE, _TROUBLED, DISABLED], default=_ALL, required=True, key="states"
        )

    @st.fragment(run_every=FRESH_S)
    def show() -> None:
        with show_errors():
            _show_wall(search or "", chosen or _ALL, may_look)

    show()


def _show_wall(search: str, chosen: str, may_look: bool) -> None:
    wall = fleet_queries.read_wall()
    if wall.empty:
        st.info("There are no cameras yet. Add one on the page Cameras.", icon=":material/videocam:")
        return
    enabled = wall[wall["state"] != DISABLED]
    is_troubled = enabled["state"].isin(TROUBLE)
    with st.container(horizontal=True):
        st.metric("Live", f"{(enabled['state'] == LIVE).sum()} of {len(enabled)}", border=True, width=180)
        st.metric("In trouble", int(is_troubled.sum()), border=True, width=180)
        st.metric("Faces now", int(enabled["faces"].fillna(0).sum()), border=True, width=180)
        st.metric("Largest lag", f"{enabled['lag_s'].fillna(0).max():.1f} s", border=True, width=180)
    shown = wall[wall["name"].str.casefold().str.contains(search.strip().casefold(), regex=False)]
    if chosen == _TROUBLED:
        shown = shown[shown["state"].isin(TROUBLE)]
    elif chosen != _ALL:
        shown = shown[shown["state"] == chosen]
    _show_table(shown if may_look else shown.drop(columns="live"))
    st.caption(
        "   ·   ".join(f"{sign} {tell_state(state)}" for state, sign in SIGNS.items())
        + "   ·   valence: the last two minutes, from −1 to 1   ·   lost: frames damaged, with faces too small, or "
        "passed over because workers are behind"
    )


def _show_table(shown: pd.DataFrame) -> None:
    column = st.column_config
    st.dataframe(
        shown,
        key="wall",
        hide_index=True,
        placeholder="",
        height=min(36 * (len(shown) + 1) + 3, 36 * 25),
        column_order=[
            "shown",
            "name",
            "emotion",
            "valences",
            "faces",
            "fps",
            "lag_s",
            "skipped",
            "reconnects",
            "for_s",
            "host",
            "live",
            "message",
        ],
        column_config={
            "shown": column.TextColumn("State", pinned=True),
            "name": column.TextColumn("Camera", pinned=True),
            "emotion": column.TextColumn("Emotion now"),
            "valences": column.LineChartColumn("Valence", y_min=-1.0, y_max=1.0),
            "faces": column.NumberColumn("Faces", format="%d"),
            "fps": column.NumberColumn("Frames/s", format="%.1f"),
            "lag_s": column.NumberColumn("Lag (s)", format="%.2f"),
            "skipped": column.NumberColumn("Lost", format="percent"),
            "reconnects": column.NumberColumn("Reconnects", format="%d"),
            "for_s": column.NumberColumn("For (s)", format="%.0f"),
            "host": column.TextColumn("Host"),
            "live": column.LinkColumn("Live view", display_text="look"),
            "message": column.TextColumn("Message"),
        },
    )


with show_errors():
    render()
