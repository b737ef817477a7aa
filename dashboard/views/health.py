"""Health: queues, workers, the database and what was rejected."""

import streamlit as st

from dashboard import fleet, queries
from dashboard.texts import show_errors, to_line


def render() -> None:
    """Draw the page."""
    st.title("Health")

    @st.fragment(run_every=queries.FRESH_S)
    def show() -> None:
        with show_errors():
            _show_health()

    show()


def _show_health() -> None:
    overview = queries.read_fleet()
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
    st.subheader("Rejected")
    rejected = queries.count_rejected()
    rejected = rejected.assign(reason=rejected["reason"].map(lambda reason: to_line(reason, 300)))
    _show_or_say(rejected, "Nothing was rejected.")
    if len(rejected):
        st.caption("`emotrace rejected list` shows each of them; `requeue` and `discard` act on them.")


def _show_or_say(table: object, otherwise: str) -> None:
    if len(table):  # type: ignore[arg-type]
        st.dataframe(table, hide_index=True)
    else:
        st.caption(otherwise)


with show_errors():
    render()
