"""Markers as a file: taken out, and taken in."""

from collections.abc import Sequence

import streamlit as st

from contracts import store
from dashboard import marking_actions, marking_files
from dashboard.scopes import Scope
from dashboard.texts import show_errors
from dashboard.viewing import View


def show_exchange(key: str, scope: Scope, rows: Sequence[store.Row], bounds: View, may_mark: bool) -> None:
    """Offer the markers as a file, and take a file's."""
    with st.expander("Import and export"):
        st.download_button(
            "Markers as CSV", lambda: marking_files.write_markers(rows, scope.zone), "emotrace-markers.csv",
            "text/csv", key=f"export-{key}", icon=":material/download:", on_click="ignore", disabled=not rows,
        )  # fmt: skip
        if not may_mark:
            return
        times = "seconds (12.5 or 1:02.5)" if scope.zone is None else "dates and times (2026-05-17T14:03:10)"
        st.caption(f"A file has the columns name and start, and may have end, colour and note; times are {times}.")
        with st.form(f"import-{key}", clear_on_submit=True):
            file = st.file_uploader("CSV file with markers", type=["csv", "txt", "tsv"], max_upload_size=1)
            is_sent = st.form_submit_button("Import")
        if is_sent and file is not None:
            with show_errors():
                end = None if scope.session_id is None else bounds.end
                values = marking_files.read_markers(file.getvalue(), scope.zone, end)
                new, known = marking_actions.import_markers(scope.source_id, scope.session_id, values)
                st.session_state[f"told-{key}"] = f"{new} markers imported; {known} were there already."
                st.rerun()
        told = st.session_state.pop(f"told-{key}", None)
        if told is not None:
            st.success(told)
