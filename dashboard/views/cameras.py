"""Cameras: add, edit, enable, disable and remove what is to run."""

from typing import Any

import pandas as pd
import streamlit as st

from contracts.cameras import PROFILES
from contracts.errors import EmotraceError
from dashboard.actions import camera_actions
from dashboard.queries import fleet_queries
from dashboard.reading.rows import iterate_rows
from dashboard.texts import show_errors, to_line, to_markdown
from dashboard.widgets.camera_testing import show_test

_TRANSPORTS = ("tcp", "udp")
_URL_HELP = (
    "rtsp(s):// or http(s):// URL, a webcam (0 or /dev/video0) or a file on the host, looped. A user name and a "
    "password in it are encrypted, and never shown again."
)
_PROFILE_HELP = (
    "live for rooms and streets; driver keeps the largest steady face alone; batch trades delay for fewer CPUs."
)
_PREVIEW_HELP = "Operators may look at what the camera sees now, on the page Live view. Nothing of it is recorded."


def render() -> None:
    """Draw the page."""
    st.title("Cameras")
    _show_outcome()
    rows = fleet_queries.list_cameras()
    if rows.empty:
        st.info("There are no cameras yet. Add the first one below.", icon=":material/videocam:")
    else:
        chosen = _choose(rows)
        if chosen is not None:
            _show_camera(chosen)
    with st.expander("Add a camera", expanded=rows.empty, icon=":material/add:"):
        _show_new()


def _choose(rows: pd.DataFrame) -> Any | None:
    """Show the cameras; return the one that is chosen."""
    by_id = {row.stream_id: row for row in iterate_rows(rows)}
    shown = rows.assign(
        state=rows["enabled"].map({True: "● enabled", False: "○ disabled"}),
        url=rows["url"].map(lambda url: to_line(url, 200)),
    )
    st.dataframe(
        shown,
        hide_index=True,
        column_order=["state", "name", "url", "profile", "fps", "transport", "preview"],
        column_config={
            "state": "State",
            "name": "Camera",
            "url": st.column_config.TextColumn("Where", help="*** stands where credentials are."),
            "profile": "Profile",
            "fps": st.column_config.NumberColumn("Frames/s", format="%g"),
            "transport": "Transport",
            "preview": st.column_config.CheckboxColumn("Live view"),
        },
    )
    chosen = st.selectbox(
        "Change a camera",
        list(by_id),
        index=None,
        format_func=lambda one: to_line(by_id[one].name),
        placeholder="Choose one",
        key="camera",
    )
    return by_id.get(chosen)


def _show_camera(camera: Any) -> None:
    """Show what can be done with a camera."""
    with st.container(border=True):
        with st.form(f"edit-{camera.stream_id}", border=False, clear_on_submit=False):
            first, second = st.columns(2)
            name = first.text_input("Name", camera.name, max_chars=80)
            # Of its own for each change, so that what was typed is gone with it.
            number = st.session_state.get("changes", 0)
            url = second.text_input(
                "New URL", type="password", placeholder="Leave empty to keep it", help=_URL_HELP, key=f"url-{number}",
                autocomplete="off",
            )  # fmt: skip
            profile, fps, transport = _ask_settings(camera.profile, camera.fps, camera.transport)
            preview = st.checkbox("Live view", bool(camera.preview), help=_PREVIEW_HELP)
            is_saved, is_tested = _show_submits("Save")
        if is_saved:
            _act(
                f"Changed {name}.", camera_actions.change_camera, camera.stream_id,
                name=name, url=url, profile=profile, fps=fps, transport=transport, preview=preview,
            )  # fmt: skip
        if is_tested:
            show_test(camera.stream_id, url, transport)
        with st.container(horizontal=True):
            verb = "Disable" if camera.enabled else "Enable"
            if st.button(verb, key=f"switch-{camera.stream_id}", icon=":material/power_settings_new:"):
                _act(f"{verb}d {camera.name}.", camera_actions.set_camera_enabled, camera.stream_id, not camera.enabled)
            with st.popover("Remove", icon=":material/delete:"):
                st.markdown(f"Remove **{to_markdown(camera.name)}**? Its sessions and their rows stay.")
                if st.button("Remove it", key=f"remove-{camera.stream_id}", type="primary"):
                    st.session_state.pop("camera", None)
                    _act(f"Removed {camera.name}.", camera_actions.remove_camera, camera.stream_id)


def _show_new() -> None:
    number = st.session_state.get("changes", 0)
    with st.form(f"add-{number}", border=False):
        first, second = st.columns(2)
        name = first.text_input("Name", max_chars=80, placeholder="Gate north", key=f"new-name-{number}")
        url = second.text_input(
            "URL", type="password", placeholder="rtsp://user:password@camera/stream", help=_URL_HELP,
            key=f"new-url-{number}", autocomplete="off",
        )  # fmt: skip
        profile, fps, transport = _ask_settings("live", 10.0, None)
        enabled = st.checkbox("Run it at once", value=True, key=f"new-enabled-{number}")
        preview = st.checkbox("Live view", help=_PREVIEW_HELP, key=f"new-preview-{number}")
        is_added, is_tested = _show_submits("Add")
    if is_added:
        _act(f"Added {name}.", camera_actions.add_camera, name, url, profile, fps, transport, enabled, preview)
    if is_tested:
        show_test(None, url, transport)


def _show_submits(label: str) -> tuple[bool, bool]:
    """Show a form's buttons; return whether it is to be done, and whether the camera is to be tested."""
    with st.container(horizontal=True):
        is_done = st.form_submit_button(label, type="primary")
        is_tested = st.form_submit_button(
            "Test", icon=":material/play_circle:", help="Open the camera now, and show a picture of it once."
        )
    return is_done, is_tested


def _ask_settings(profile: str, fps: float, transport: str | None) -> tuple[str, float, str | None]:
    first, second, third = st.columns(3)
    chosen = first.selectbox("Profile", PROFILES, PROFILES.index(profile), help=_PROFILE_HELP)
    rate = second.number_input("Frames per second", 0.1, 1000.0, float(fps), step=1.0, format="%g")
    carried = third.selectbox(
        "Transport of RTSP", _TRANSPORTS, _TRANSPORTS.index(transport) if transport in _TRANSPORTS else None,
        placeholder="tcp, unless told otherwise",
    )  # fmt: skip
    return chosen, rate, carried


def _act(done: str, action: Any, *arguments: Any, **options: Any) -> None:
    """Do it, and draw the page anew with the outcome; forms begin empty, so that no credentials stay behind."""
    try:
        action(*arguments, **options)
        st.session_state["outcome"] = (True, done)
        fleet_queries.list_cameras.clear()
    except EmotraceError as error:
        st.session_state["outcome"] = (False, str(error))
    st.session_state["changes"] = st.session_state.get("changes", 0) + 1
    st.rerun()


def _show_outcome() -> None:
    outcome = st.session_state.pop("outcome", None)
    if outcome is not None:
        show, icon = (st.success, ":material/check:") if outcome[0] else (st.error, ":material/error:")
        show(to_markdown(outcome[1], 500), icon=icon)


with show_errors():
    render()
