"""Markers as a file: taken out, and taken in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from contracts import store
from dashboard.actions import marking_actions
from dashboard.actions.exporting_actions import prepare_file
from dashboard.files import exports, marking_files
from dashboard.queries import marking_queries
from dashboard.reading.spans import SpanFigures
from dashboard.texts import show_errors
from dashboard.widgets.scopes import Scope
from dashboard.widgets.span_figures import find_ends, make_figures_table
from dashboard.widgets.viewing import View

MAX_FIGURES = 500  # they are summed up while the visitor waits


def show_exchange(
    key: str, scope: Scope, rows: Sequence[store.Row], bounds: View, may_mark: bool, about: Mapping[str, Any]
) -> None:
    """Offer the markers as a file, and take a file's."""
    with st.expander("Import and export"):
        with st.container(horizontal=True):
            read = marking_queries.prepare_spans(*scope[:3])
            for label, name, write in (
                ("Markers as CSV", "markers", lambda _author: marking_files.write_markers(rows, scope.zone)),
                ("Figures of all as CSV", "figures", lambda _author: make_figures(read, rows, about)),
            ):
                made = prepare_file(
                    write, "markers.export", scope.session_id or scope.source_id, kind=name, rows=len(rows)
                )
                st.download_button(
                    label, made, f"emotrace-{name}.csv", "text/csv", key=f"{name}-{key}",
                    icon=":material/download:", on_click="ignore", disabled=not rows,
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


def make_figures(
    read: Callable[[float, float], SpanFigures], rows: Sequence[store.Row], about: Mapping[str, Any]
) -> bytes:
    """Return the figures of markers as CSV, for the faces that the page shows; those without results are left out."""
    tables = [make_figures_table(read(*find_ends(row)), row) for row in rows[:MAX_FIGURES]]
    return exports.to_csv(pd.concat(tables, ignore_index=True), about)
