"""Health: queues, workers and the database, now and over the last hours; and what was rejected, with what to do."""

import time
from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import pandas as pd
import streamlit as st

from contracts.errors import EmotraceError
from dashboard.actions import health_actions
from dashboard.actions.health_actions import Done
from dashboard.asking import FRESH_S
from dashboard.charts import health_charts
from dashboard.charts.health_charts import MEASURES
from dashboard.charts.theme import find_theme
from dashboard.identity import OPERATOR, find_visitor
from dashboard.queries import fleet_queries, health_queries
from dashboard.reading import fleet
from dashboard.texts import show_errors, to_line, to_markdown
from dashboard.widgets import choosing

_HOURS = {"1 h": 1.0, "6 h": 6.0, "24 h": 24.0}


def render() -> None:
    """Draw the page."""
    st.title("Health")

    @st.fragment(run_every=FRESH_S)
    def show() -> None:
        with show_errors():
            _show_health()

    show()
    try:
        fleet_queries.read_fleet()
    except EmotraceError:
        return  # it is said above, once
    zone = choosing.choose_zone()
    _show_history(zone)
    with show_errors():
        _show_rejected(zone)


def _show_health() -> None:
    overview = fleet_queries.read_fleet()
    lanes, workers = fleet.make_lanes(overview), fleet.make_workers(overview)
    limit = f" of {overview.redis_max_bytes / 2**20:.0f}" if overview.redis_max_bytes else ""
    with st.container(horizontal=True):
        st.metric("Inference workers", len(workers), border=True, width=190)
        st.metric("Crop sequences waiting", f"{lanes['waiting'].sum():,}", border=True, width=190)
        st.metric("Oldest waits", f"{lanes['oldest (s)'].max() if len(lanes) else 0:.1f} s", border=True, width=190)
        st.metric("Redis (MiB)", f"{overview.redis_used_bytes / 2**20:.0f}{limit}", border=True, width=190)
        st.metric("Database (MiB)", f"{overview.database_bytes / 2**20:,.1f}", border=True, width=190)
        st.metric("Rows", f"{overview.num_rows:,}", border=True, width=190)
    if workers.empty and lanes["waiting"].sum():
        st.warning(
            "Crop sequences wait, and no inference worker runs. Start one with `emotrace inference`, or all with "
            "`emotrace up`.",
            icon=":material/warning:",
        )
    st.subheader("Lanes")
    _show_or_say(lanes, "No lane has been used yet.")
    st.subheader("Inference workers")
    _show_or_say(workers, "None runs. `emotrace up` starts everything on this machine.")
    st.subheader("Jobs that wait for a host")
    queues = [{"queue": name, "jobs": number} for name, number in overview.queues.items()]
    st.dataframe(queues, hide_index=True, width=420)


def _show_history(zone: ZoneInfo) -> None:
    st.subheader("Over the last hours")
    chosen = st.segmented_control("Hours", list(_HOURS), default="1 h", required=True, key="hours") or "1 h"

    @st.fragment(run_every=health_queries.HISTORY_FRESH_S)
    def show() -> None:
        with show_errors():
            _draw_history(chosen, zone)

    show()


def _draw_history(chosen: str, zone: ZoneInfo) -> None:
    hours, now = _HOURS[chosen], time.time()
    samples = health_queries.read_history(hours)
    if samples.empty:
        st.caption("Nothing has been measured yet. The scheduler does it twice a minute; `emotrace up` runs one.")
        return
    half = (len(MEASURES) + 1) // 2
    for column, measures in zip(st.columns(2), (MEASURES[:half], MEASURES[half:]), strict=True):
        figure = health_charts.draw_history(samples, measures, now - 3600 * hours, now, zone, find_theme())
        titles = ", ".join(measure.title for measure in measures)
        column.plotly_chart(
            figure, theme=None, key=f"history-{measures[0].title}", config={"displayModeBar": False},
            alt=f"Over the last {chosen}: {titles}. The numbers are in the table below.",
        )  # fmt: skip
    with st.expander("Table of these numbers"):
        times = pd.to_datetime(samples["at"], unit="s", utc=True).dt.tz_convert(zone)
        st.dataframe(samples.assign(at=times), hide_index=True)


def _show_rejected(zone: ZoneInfo) -> None:
    st.subheader("Rejected")
    _show_outcome()
    counted = fleet_queries.count_rejected()
    counted = counted.assign(reason=counted["reason"].map(lambda reason: to_line(reason, 300)))
    _show_or_say(counted, "Nothing was rejected.")
    if not find_visitor().may(OPERATOR):
        return
    # Kept until somebody acts or asks: what is chosen is told by its place in the list.
    if "rejected-rows" not in st.session_state:
        st.session_state["rejected-rows"] = health_queries.list_rejected()
    rows = st.session_state["rejected-rows"]
    st.button("Read anew", icon=":material/refresh:", on_click=_forget_rows, key="rejected-anew")
    if rows.empty:
        if len(counted):
            st.caption("None of them is kept any more: they were put back, discarded, or older than seven days.")
        return
    more = " or more" if len(rows) >= health_queries.MAX_REJECTED else ""
    st.caption(
        f"Kept for seven days: {len(rows)}{more}. Choose some to put them back, once what was wrong is mended, or to "
        "discard them; their faces then have no rows."
    )
    shown = rows.assign(
        reason=rows["reason"].map(lambda reason: to_line(reason, 300)),
        session_id=rows["session_id"].map(to_line),
        lane=rows["lane"].map(to_line),
        rejected_at=pd.to_datetime(rows["rejected_at"], unit="s", utc=True).dt.tz_convert(zone),
    )
    event = st.dataframe(
        shown, key=f"rejected-{st.session_state.get('rejected-turn', 0)}", hide_index=True, on_select="rerun",
        selection_mode="multi-row",
        column_order=["rejected_at", "lane", "session_id", "track_id", "faces", "reason"],
        column_config={"rejected_at": "Rejected", "lane": "Lane", "session_id": "Session", "track_id": "Face",
                       "faces": "Crops", "reason": "Reason"},
    )  # fmt: skip
    chosen = rows.iloc[event["selection"]["rows"]]
    keys = list(zip(chosen["stream"], chosen["entry_id"], strict=True))
    told = f"{len(keys)} ({int(chosen['faces'].sum())} crops)" if keys else "none chosen"
    with st.container(horizontal=True):
        if st.button(f"Put back: {told}", disabled=not keys, icon=":material/undo:", key="requeue"):
            _act("Put back", health_actions.requeue_rejected, keys)
        with st.popover(f"Discard: {told}", disabled=not keys, icon=":material/delete:"):
            st.markdown("They are deleted; the ledger goes on counting their faces as rejected.")
            if st.button("Discard them", type="primary", key="discard"):
                _act("Discarded", health_actions.discard_rejected, keys)


def _act(word: str, action: Callable[[Sequence[tuple[str, str]]], Done], keys: Sequence[tuple[str, str]]) -> None:
    """Do it, and draw the page anew with the outcome and nothing chosen."""
    st.session_state["rejected-done"] = (word, action(keys))
    _forget_rows()
    st.rerun()


def _forget_rows() -> None:
    st.session_state.pop("rejected-rows", None)
    st.session_state["rejected-turn"] = st.session_state.get("rejected-turn", 0) + 1


def _show_outcome() -> None:
    outcome = st.session_state.pop("rejected-done", None)
    if outcome is None:
        return
    word, done = outcome
    if done.number:
        st.success(f"{word}: {done.number}.", icon=":material/check:")
    for refusal in done.refusals[:3]:
        st.error(to_markdown(refusal, 500), icon=":material/error:")


def _show_or_say(table: object, otherwise: str) -> None:
    if len(table):  # type: ignore[arg-type]
        st.dataframe(table, hide_index=True)
    else:
        st.caption(otherwise)


with show_errors():
    render()
