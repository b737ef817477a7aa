"""Who is who: faces are named, merged where two are one person, split where one is two, and put back as they were."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

import streamlit as st

from contracts import store
from contracts.track_edits import MAX_NAME
from dashboard.actions import person_actions
from dashboard.identity import ANALYST, find_visitor
from dashboard.queries import person_queries
from dashboard.queries.person_queries import Faces
from dashboard.texts import find_zone, keep_errors, show_kept_error, tell_moment, tell_place, to_line, to_markdown
from dashboard.widgets.options import tell_apart
from dashboard.widgets.viewing import View


def show_editing(key: str, session_ids: Sequence[str], view: View, zone: ZoneInfo | None, moment: float | None) -> None:
    """Show what can be done with the faces in ``view`` of one of ``session_ids``; at ``moment`` a face may be split.

    ``zone`` is that of a camera's wall-clock times, None for recordings.
    """
    if st.session_state.pop(f"edited-{key}", False):
        st.rerun()  # the choice of faces stands outside of what is drawn anew here
    with st.expander("Names of faces, merging, splitting", key=f"editing-{key}"):
        show_kept_error(f"edit-{key}")
        done = st.session_state.pop(f"done-{key}", None)
        if done is not None:
            st.success(to_markdown(done, 300))
        if not session_ids:
            st.caption("There are no faces in this range.")
            return
        session_id = session_ids[0]
        if len(session_ids) > 1:
            session_id = st.selectbox(
                "Session",
                session_ids,
                format_func=tell_apart(session_ids, lambda one: f"… {one[-4:]}"),
                key=f"editing-session-{key}",
            )
        faces = person_queries.read_faces_between(session_id, view.start, view.end, zone is not None)
        if find_visitor().may(ANALYST) and faces.names:
            _offer_edits(key, session_id, faces, zone, moment)
        _show_history(key, session_id, faces, zone or find_zone())


def _offer_edits(key: str, session_id: str, faces: Faces, zone: ZoneInfo | None, moment: float | None) -> None:
    # What is done is done to the faces that are drawn here: a callback gets their version, not a later one.
    shown = (key, session_id, faces.version)
    person_id = st.selectbox(
        "Face", list(faces.names), format_func=lambda one: to_line(faces.names[one]), key=f"editing-face-{key}"
    )
    if len(faces.names) == person_queries.MAX_OFFERED:
        st.caption(f"The {len(faces.names)} faces that were seen most; look closer to find others.")
    if person_id is None:
        return
    own = f"{key}-{person_id}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Name", max_chars=MAX_NAME, key=f"name-{own}", placeholder="an empty one takes the name back")
        st.button(
            "Rename", icon=":material/edit:", key=f"rename-{key}", on_click=_rename, args=(*shown, person_id, own)
        )
    others = [one for one in faces.names if one != person_id]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.session_state[f"merge-{own}"] = [one for one in st.session_state.get(f"merge-{own}", []) if one in others]
        st.multiselect("Same person as", others, format_func=lambda one: to_line(faces.names[one]), key=f"merge-{own}")
        st.button(
            "Merge", icon=":material/merge:", key=f"do-merge-{key}", on_click=_merge, args=(*shown, person_id, own)
        )
    st.button(
        "Split" if moment is None else f"Split at {tell_place(moment, zone)}",
        icon=":material/call_split:",
        key=f"split-{key}",
        disabled=moment is None,
        help="Pick the moment on the chart from which on it is somebody else.",
        on_click=_split,
        args=(*shown, person_id, moment, zone is not None),
    )


def _show_history(key: str, session_id: str, faces: Faces, zone: ZoneInfo) -> None:
    if faces.undoable is not None and find_visitor().may(ANALYST):
        st.button(
            f"Undo: {to_markdown(faces.undoable['text'], 120)}",
            icon=":material/undo:",
            key=f"undo-{key}",
            on_click=_undo,
            args=(key, session_id, faces.version),
        )
    for edit in faces.edits:
        st.caption(_tell_edit(edit, zone))


def _tell_edit(edit: store.Row, zone: ZoneInfo) -> str:
    told = f"{to_markdown(edit['text'], 200)}, by {to_markdown(edit['made_by'])}, {tell_moment(edit['made_at'], zone)}"
    return told if edit["undone_by"] is None else f"~~{told}~~ (undone)"


def _rename(key: str, session_id: str, version: int, person_id: int, own: str) -> None:
    with keep_errors(f"edit-{key}"):
        name = st.session_state[f"name-{own}"]
        _tell_done(key, person_actions.rename_person(session_id, version, person_id, name))
        st.session_state[f"name-{own}"] = ""


def _merge(key: str, session_id: str, version: int, person_id: int, own: str) -> None:
    with keep_errors(f"edit-{key}"):
        others = st.session_state[f"merge-{own}"]
        _tell_done(key, person_actions.merge_persons(session_id, version, [person_id, *others]))


def _split(key: str, session_id: str, version: int, person_id: int, moment: float, is_camera: bool) -> None:
    with keep_errors(f"edit-{key}"):
        at_s = person_queries.find_session_time(session_id, moment) if is_camera else moment
        _tell_done(key, person_actions.split_person(session_id, version, person_id, at_s))


def _undo(key: str, session_id: str, version: int) -> None:
    with keep_errors(f"edit-{key}"):
        _tell_done(key, person_actions.undo_edit(session_id, version))


def _tell_done(key: str, done: str) -> None:
    st.session_state[f"done-{key}"], st.session_state[f"edited-{key}"] = done, True
