"""Batch: recordings handed in, watched, cancelled, tried again, and opened."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.errors import EmotraceError
from contracts.parts import PRIORITIES
from contracts.store import COMPLETE, FAILED, INCOMPLETE, INTERRUPTED, make_uuid7
from contracts.submissions import GB, REFUSED, Submission
from dashboard.actions import batch_actions
from dashboard.asking import FRESH_S
from dashboard.identity import ANALYST, VIEWER, require
from dashboard.queries import batch_queries
from dashboard.reading.batch_rows import Recording
from dashboard.texts import show_errors, tell_duration, tell_moment, to_line, to_markdown
from dashboard.widgets import choosing
from dashboard.widgets.options import tell_apart
from dashboard.widgets.uploader import show_uploader

_PER_PAGE = 10
_UPLOAD, _FOLDERS = "Upload", "From folders"
_ICONS = {COMPLETE: ":material/check_circle:", **dict.fromkeys((FAILED, INCOMPLETE, INTERRUPTED), ":material/error:")}


def render() -> None:
    """Draw the page."""
    st.title("Batch")
    may_change = require(VIEWER).may(ANALYST)
    if may_change:
        with st.container(border=True), show_errors():
            _show_new()
    zone = choosing.choose_zone()

    @st.fragment(run_every=FRESH_S)
    def show() -> None:
        _show_outcome()
        with show_errors():
            _show_handed_in(may_change)
        with show_errors():
            _show_recordings(zone, may_change)

    show()


def _show_new() -> None:
    """Show how recordings are handed in, and the settings for those."""
    # What one visit hands in is one batch.
    batch_id = st.session_state.setdefault("batch_id", make_uuid7())
    with st.container(horizontal=True, vertical_alignment="bottom"):
        max_bytes = batch_queries.find_max_upload()
        ways = [_UPLOAD, _FOLDERS] if max_bytes else [_FOLDERS]
        way = st.segmented_control("Add recordings", ways, default=ways[0], required=True, key="way")
        every = st.session_state.get("every-frame", False)
        rate = st.number_input(
            "Frames per second", 0.1, 1000.0, 10.0, step=1.0, format="%g", key="fps", disabled=every, width=170,
            help="How many frames of each second are analysed.",
        )  # fmt: skip
        st.toggle("Every frame", key="every-frame")
        priority = st.selectbox(
            "Priority", PRIORITIES, PRIORITIES.index("normal"), key="priority", width=150,
            help="Whose recordings are read first.",
        )  # fmt: skip
    fps = None if every else float(rate)
    if way == _UPLOAD:
        show_uploader(batch_actions.open_upload(batch_id, fps, priority), max_bytes)
    else:
        _pick(batch_id, fps, priority)


def _pick(batch_id: str, fps: float | None, priority: str) -> None:
    offers = {str(offer.path): offer for offer in batch_queries.list_offers()}
    if not offers:
        st.info(
            "No folder offers recordings. Name folders in EMOTRACE_RECORDING_DIRS where the dashboard runs, ':' "
            "between them; ingest workers must find them under the same path.",
            icon=":material/folder_off:",
        )
        return
    chosen = st.multiselect(
        "Recordings",
        list(offers),
        format_func=tell_apart(
            offers,
            lambda one: f"{to_line(offers[one].name, 120)} ({offers[one].num_bytes / GB:.2f} GB)",
            lambda one: to_line(str(offers[one].path.parent), 80),
        ),
        placeholder="Choose, or type a part of the name",
        key=f"picked-{st.session_state.get('handed-in', 0)}",
    )
    if st.button("Analyse", type="primary", disabled=not chosen):
        batch_actions.hand_in_files([Path(one) for one in chosen], batch_id, fps, priority)
        st.session_state["handed-in"] = st.session_state.get("handed-in", 0) + 1
        st.rerun()


def _show_handed_in(may_change: bool) -> None:
    """Show what waits to be looked at, and what was refused."""
    submissions, num_workers = batch_queries.list_handed_in()
    if submissions and not num_workers:
        st.warning(
            "No ingest worker runs that could look at what was handed in. Start `emotrace up`, or `emotrace ingest` on "
            "a host that finds the files.",
            icon=":material/warning:",
        )
    for one in submissions:
        _show_submission(one, may_change)


def _show_submission(one: Submission, may_change: bool) -> None:
    is_refused = one.state == REFUSED
    with st.container(horizontal=True, vertical_alignment="center", border=True):
        told = one.message if is_refused else "is looked at: is it a video, and where can it be parted?"
        sign = ":material/error: not analysed:" if is_refused else ":material/hourglass_top:"
        st.markdown(f"**{to_markdown(one.name)}** &nbsp; {sign} {to_markdown(told, 500)}", width="stretch")
        if is_refused and may_change and Path(one.path).exists():
            _offer("Try again", one.submission_id, ":material/replay:", batch_actions.retry_submission, one.name)
        if is_refused and may_change:
            _offer("Dismiss", one.submission_id, ":material/close:", batch_actions.dismiss_submission, one.name)


def _show_recordings(zone: ZoneInfo, may_change: bool) -> None:
    recordings = batch_queries.list_recordings()
    if not recordings:
        st.info(
            "No recordings yet. Drop one above; its timeline can be opened while it is being read.",
            icon=":material/video_library:",
        )
        return
    complete = sum(one.state == COMPLETE for one in recordings)
    st.subheader(f"Recordings: {complete} of {len(recordings)} complete")
    num_pages = -(-len(recordings) // _PER_PAGE)
    page = st.pagination(num_pages, key=f"page-{num_pages}") if num_pages > 1 else 1
    for one in recordings[(page - 1) * _PER_PAGE : page * _PER_PAGE]:
        _show_recording(one, zone, may_change)


def _show_recording(one: Recording, zone: ZoneInfo, may_change: bool) -> None:
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{to_markdown(one.name)}** &nbsp; {_ICONS.get(one.state, ':material/hourglass_top:')} "
                f"{to_markdown(one.state)} &nbsp; "
                f":gray[handed in {to_markdown(tell_moment(one.at, zone))}]",
                width="stretch",
            )
            if one.may_cancel and may_change:
                _offer("Cancel", one.session_id, ":material/stop_circle:", batch_actions.cancel, one.name)
            if one.may_retry and may_change:
                _offer("Try again", one.session_id, ":material/replay:", batch_actions.retry, one.name)
            if one.has_rows:
                st.page_link(
                    "views/timeline.py", label="Open in Timeline", icon=":material/timeline:",
                    query_params={"source": one.source_id, "session": one.session_id},
                )  # fmt: skip
        if one.share < 1 or one.may_cancel:
            left = f", about {tell_duration(one.left_s)} left" if one.left_s is not None else ""
            st.progress(one.share, f"{one.share:.0%} read{left}")
        if one.problem:
            st.caption(f":material/error: {to_markdown(one.problem, 500)}")


def _offer(label: str, subject: str, icon: str, action: Callable[[str], Any], name: str) -> None:
    """Show a button that does something to one recording; screen readers are told to which."""
    st.button(
        label, key=f"{label}-{subject}", icon=icon, help=f"{label}: {to_line(name)}", on_click=_act,
        args=(f"{label}: {name}.", action, subject),
    )  # fmt: skip


def _act(done: str, action: Callable[[str], Any], subject: str) -> None:
    try:
        action(subject)
        st.session_state["batch-outcome"] = (True, done)
        batch_queries.list_recordings.clear()
    except EmotraceError as error:
        st.session_state["batch-outcome"] = (False, str(error))


def _show_outcome() -> None:
    outcome = st.session_state.pop("batch-outcome", None)
    if outcome is not None:
        st.toast(to_markdown(outcome[1], 500), icon=":material/check:" if outcome[0] else ":material/error:")


with show_errors():
    render()
