"""The fixed moment of a timeline: picked on the chart, shown by the player, or typed."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.errors import UsageError
from dashboard.files import exports
from dashboard.files.marking_files import read_time
from dashboard.reading.panels import Panel
from dashboard.texts import keep_errors, show_kept_error, tell_place, to_markdown
from dashboard.widgets.viewing import View


def ask_moment(key: str, bounds: View, zone: ZoneInfo | None) -> None:
    """Let the visitor type the moment to fix: a chart is picked with a pointer alone."""
    name = f"typed-{key}"
    st.text_input(
        "Moment",
        key=name,
        label_visibility="collapsed",
        placeholder="or type it: 1:02.5" if zone is None else "or type it: 2026-05-17T14:03:10",
        max_chars=40,
        width=260,
        on_change=_fix_typed,
        args=(key, name, bounds, zone),
    )
    show_kept_error(name)


def _fix_typed(key: str, name: str, bounds: View, zone: ZoneInfo | None) -> None:
    with keep_errors(name):
        moment = read_time("moment", st.session_state[name], zone)
        if moment is None:
            return
        if not bounds.start <= moment <= bounds.end:
            between = f"{tell_place(bounds.start, zone)} to {tell_place(bounds.end, zone)}"
            raise UsageError(f"The moment is not in what this page is about: {between}.")
        st.session_state[f"moment-{key}"] = moment
        st.session_state[name] = ""


def show_moment(key: str, panels: Sequence[Panel], moment: float, zone: ZoneInfo | None) -> None:
    """Show the exact values nearest to the fixed moment."""
    nearest = []
    for panel in panels:
        if len(panel.points):
            distances = (panel.points["time_s"] - moment).abs()
            nearest.append(panel._replace(points=panel.points.loc[[distances.idxmin()]]))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Moment {to_markdown(tell_place(moment, zone))}**")
        st.button("Clear", key=f"clear-{key}", on_click=lambda: st.session_state.pop(f"moment-{key}", None))
    if nearest:
        table = exports.make_table(nearest, zone)
        st.dataframe(table, hide_index=True, column_config=exports.describe_columns(table))
