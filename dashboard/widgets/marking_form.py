"""The form of a marker that is being made or changed."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from contracts.errors import ConflictError
from contracts.markers import COLOURS, DEFAULT_COLOUR, MAX_NAME, MAX_NOTE
from dashboard.actions import marking_actions
from dashboard.queries import marking_queries
from dashboard.texts import show_errors, to_markdown
from dashboard.widgets.scopes import Scope
from dashboard.widgets.viewing import View


def begin_draft(key: str, values: Mapping[str, Any]) -> None:
    """Open the form on a new marker, or on one that is there already."""
    number = st.session_state.get("num-drafts", 0) + 1
    st.session_state["num-drafts"] = number
    new = {"marker_id": None, "version": 0, "name": "", "colour": DEFAULT_COLOUR, "note": ""}
    st.session_state[f"draft-{key}"] = {**new, **values, "number": number}


def show_draft(key: str, scope: Scope, view: View, moment: float | None) -> None:
    """Show the form of a marker that is being made or changed, if there is one."""
    draft = st.session_state.get(f"draft-{key}")
    if draft is None:
        return
    name = f"draft-{draft['number']}"  # widgets of its own, so that nothing stays from the last one
    times = {"as it is": (draft["start"], draft["end"]), "what is shown": (view.start, view.end)}
    if moment is not None:
        times["the fixed moment"] = (moment, None)
    with st.form(name):
        st.markdown(f"**{'Marker' if draft['end'] is None else 'Span'} at {to_markdown(scope.tell(draft))}**")
        values: dict[str, Any] = {
            "name": st.text_input(
                "Name", draft["name"], max_chars=MAX_NAME, key=f"{name}-name", placeholder="question 3"
            ),
            "colour": st.selectbox(
                "Colour", list(COLOURS), index=list(COLOURS).index(draft["colour"]), key=f"{name}-colour"
            ),
            "note": st.text_area("Note", draft["note"], max_chars=MAX_NOTE, key=f"{name}-note", height=80),
        }
        time = "as it is"
        if draft["marker_id"] is not None:
            time = st.radio("Time", list(times), key=f"{name}-time", horizontal=True)
        with st.container(horizontal=True):
            is_saved = st.form_submit_button("Save", type="primary")
            is_given_up = st.form_submit_button("Cancel")
    values["start"], values["end"] = times.get(time, times["as it is"])
    if is_given_up:
        _end_draft(key)
    if is_saved:
        with show_errors():
            _save(key, scope, draft, values)


def _save(key: str, scope: Scope, draft: dict[str, Any], values: dict[str, Any]) -> None:
    try:
        if draft["marker_id"] is None:
            row = marking_actions.add_marker(scope.source_id, scope.session_id, **values)
        else:
            row = marking_actions.change_marker(draft["marker_id"], draft["version"], **values)
    except ConflictError:
        # What was typed stays in the form. Who saves again has seen what they put theirs in the place of.
        now = marking_queries.read_marker(draft["marker_id"])
        if now is None:
            draft |= {"marker_id": None, "version": 0}
        else:
            draft["version"] = now["version"]
            st.warning(
                f"It says now: {to_markdown(now['name'])} · {to_markdown(scope.tell(now))} · {now['colour']} · "
                f"{to_markdown(now['note'], 400)}"
            )
        raise
    _end_draft(key, row["marker_id"])


def _end_draft(key: str, marker_id: str | None = None) -> None:
    st.session_state.pop(f"draft-{key}", None)
    if marker_id is not None:
        st.session_state[f"choose-{key}"] = marker_id
    st.rerun()
