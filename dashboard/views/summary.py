"""Summary: what a recording, or a camera's stretch of time, comes to; pictures with the numbers behind them."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW
from dashboard.charts import summary_charts
from dashboard.charts.theme import find_theme
from dashboard.files import exports, reporting, summary_report
from dashboard.queries import summary_queries
from dashboard.reading.summing import Summary
from dashboard.texts import show_errors, tell_duration, tell_state, to_line, to_markdown
from dashboard.widgets import choosing

_CHART = {"displayModeBar": False}


def render() -> None:
    """Draw the page."""
    st.title("Summary")
    zone = choosing.choose_zone()
    first, second = st.columns(2)
    with first:
        source = choosing.choose_source()
    if source is None:
        st.info("Nothing has been analysed yet. The page Timeline says how to begin.", icon=":material/donut_small:")
        return
    if source.kind == choosing.CAMERA:
        _, start_at, end_at = choosing.choose_range(zone)
        faces = choosing.choose_camera_faces(source.source_id, start_at, end_at, zone)
        about = {"session_id": source.source_id, "source": source.name}
        shown = reporting.find_shown(about, start_at, end_at, zone)
        _show(summary_queries.sum_camera(source.source_id, faces, start_at, end_at), shown)
        return
    with second:
        session = choosing.choose_session(source.source_id, zone)
    if session is not None:
        tracks = choosing.choose_tracks(session["session_id"])
        shown = reporting.find_shown(session, 0.0, session["duration_s"], None)
        _show(summary_queries.sum_recording(session["session_id"], tracks, shown.start, shown.end), shown)


def _show(summary: Summary, shown: reporting.Shown) -> None:
    about, zone = shown.origin, shown.zone
    rows = int(summary.shares["rows"].sum())
    st.caption(to_markdown(f"{rows:,} rows   ·   model {about['model_id']}", 300))
    summary_report.offer_summary(shown, summary, st.session_state.get("episodes-of") or [])
    if not rows:
        st.info("There are no results in this range.", icon=":material/donut_small:")
    else:
        _show_shares(summary, about)
        _show_episodes(summary, about, zone)
    _show_quality(summary, about)


def _show_shares(summary: Summary, about: Mapping[str, Any]) -> None:
    theme = find_theme()
    st.subheader("Time per emotion")
    strongest = summary.shares.sort_values("share", ascending=False).groupby("face", sort=False).head(2)
    words = "; ".join(
        f"{to_line(str(face))}: "
        + ", ".join(f"{label} {share:.0%}" for label, share in zip(rows["label"], rows["share"], strict=True))
        for face, rows in strongest.groupby("face", sort=False)
    )
    st.plotly_chart(
        summary_charts.draw_shares(summary.shares, theme), theme=None, config=_CHART, key="shares",
        alt=f"Share of time per emotion. {words}. The numbers are in the table below.",
    )  # fmt: skip
    _offer("Table of shares", summary.shares, about, "shares")
    st.subheader("Transitions")
    number = int(summary.transitions.to_numpy().sum())
    st.caption("How often the leading emotion of a face gave way to another within a second.")
    st.plotly_chart(
        summary_charts.draw_transitions(summary.transitions, theme), theme=None, config=_CHART, key="transitions",
        alt=f"{number} transitions between emotions. The numbers are in the table below.",
    )  # fmt: skip
    table = summary.transitions.reset_index(names="from")
    _offer("Table of transitions", table, about, "transitions")


def _show_episodes(summary: Summary, about: Mapping[str, Any], zone: ZoneInfo | None) -> None:
    st.subheader("Episodes")
    chosen = st.pills("Emotions", EMOTIONS, selection_mode="multi", key="episodes-of", label_visibility="collapsed")
    table = summary.episodes[summary.episodes["label"].isin(chosen)] if chosen else summary.episodes
    if zone is not None:
        table = table.assign(
            **{name: pd.to_datetime(table[name], unit="s", utc=True).dt.tz_convert(zone) for name in ("start", "end")}
        )
    st.caption(
        f"{len(table)} stretches of half a second and longer over which one emotion led a face; peak and mean are its "
        "probability."
    )
    st.dataframe(
        table, hide_index=True, column_config=exports.describe_columns(table), height=min(36 * len(table) + 39, 400)
    )
    exports.offer(table, about, "episodes")


def _show_quality(summary: Summary, about: Mapping[str, Any]) -> None:
    st.subheader("Quality and coverage")
    first, second = st.columns(2)
    with first:
        st.caption(f"Means over all rows; uncertain: the share of rows below {UNCERTAIN_BELOW:.0%}.")
        st.dataframe(summary.quality, hide_index=True, column_config=exports.describe_columns(summary.quality))
        exports.offer(summary.quality, about, "quality")
    with second:
        coverage = summary.coverage.assign(
            state=summary.coverage["state"].map(tell_state), time=summary.coverage["seconds"].map(tell_duration)
        )
        st.caption("For how long there are results, and why there are none for the rest.")
        st.dataframe(
            coverage,
            hide_index=True,
            column_order=["state", "time", "share"],
            column_config={"share": st.column_config.ProgressColumn("share", format="percent", max_value=1.0)},
        )
        exports.offer(coverage, about, "coverage")


def _offer(title: str, table: pd.DataFrame, about: Mapping[str, Any], key: str) -> None:
    with st.expander(title):
        st.dataframe(table, hide_index=True, column_config=exports.describe_columns(table))
        exports.offer(table, about, key)


with show_errors():
    render()
