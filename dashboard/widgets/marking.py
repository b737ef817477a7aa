"""Markers and spans below a timeline: they are added, chosen, changed, removed, and taken in and out as CSV."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from contracts import store
from contracts.markers import COLOURS, MAX_NOTE
from dashboard.actions import marking_actions
from dashboard.charts.marks import Mark
from dashboard.identity import ANALYST, find_visitor
from dashboard.queries import marking_queries
from dashboard.texts import find_zone, keep_errors, show_kept_error, tell_moment, tell_place, to_line, to_markdown
from dashboard.widgets.marking_exchange import show_exchange
from dashboard.widgets.marking_form import begin_draft, show_draft
from dashboard.widgets.marking_links import look_at
from dashboard.widgets.options import tell_apart
from dashboard.widgets.scopes import Scope
from dashboard.widgets.span_figures import show_figures
from dashboard.widgets.viewing import View, set_view


def read_markers(scope: Scope, bounds: View) -> list[store.Row]:
    """Return the markers of a page, those of a camera in its range of time only."""
    if scope.session_id is None:
        return marking_queries.list_markers(scope.source_id, None, bounds.start, bounds.end)
    return marking_queries.list_markers(scope.source_id, scope.session_id)


def make_marks(rows: Sequence[store.Row]) -> list[Mark]:
    """Return markers as a chart shows them."""
    return [
        Mark(row["start"], row["end"], row["name"], COLOURS[row["colour"]], row["note"], row["author"]) for row in rows
    ]


def show_markers(
    key: str, scope: Scope, rows: Sequence[store.Row], view: View, bounds: View, moment: float | None,
    about: Mapping[str, Any],
) -> None:  # fmt: skip
    """Show all that can be done with the markers ``rows`` of the page under ``key``."""
    st.subheader("Markers and spans")
    may_mark = find_visitor().may(ANALYST)
    if may_mark:
        _offer_marking(key, scope, view, moment)
        show_draft(key, scope, view, moment)
    show_kept_error(key)
    chosen = _choose(key, scope, rows)
    if chosen is not None:
        _show_chosen(key, scope, chosen, bounds, may_mark, about)
    show_exchange(key, scope, rows, bounds, may_mark, about)


def _offer_marking(key: str, scope: Scope, view: View, moment: float | None) -> None:
    with st.container(horizontal=True):
        st.button(
            "Mark the moment" if moment is None else f"Mark {tell_place(moment, scope.zone)}",
            icon=":material/add_location:",
            key=f"mark-moment-{key}",
            disabled=moment is None,
            help="Pick a moment on the chart first." if moment is None else None,
            on_click=begin_draft,
            args=(key, {"start": moment, "end": None}),
        )
        st.button(
            "Mark what is shown",
            icon=":material/width_normal:",
            key=f"mark-span-{key}",
            help="Drag over the chart to look closer, then mark the stretch that it shows.",
            on_click=begin_draft,
            args=(key, {"start": view.start, "end": view.end}),
        )


def _choose(key: str, scope: Scope, rows: Sequence[store.Row]) -> store.Row | None:
    """Let the visitor choose one of the markers; the page's address keeps it."""
    if not rows:
        st.caption("There are none yet. A marker names a moment, a span a stretch of time.")
        return None
    by_id = {row["marker_id"]: row for row in rows}
    asked = st.session_state.pop(f"choose-{key}", None) or st.session_state.get(f"marker-{key}")
    asked = asked or st.query_params.get("marker")
    st.session_state[f"marker-{key}"] = asked if asked in by_id else None
    options: list[str | None] = [None, *by_id]
    chosen = st.selectbox(
        f"{len(rows):,} {'marker' if len(rows) == 1 else 'markers'}",
        options,
        format_func=tell_apart(options, lambda one: "none chosen" if one is None else _tell(scope, by_id[one])),
        key=f"marker-{key}",
        on_change=_forget_link,
    )
    if chosen is None:
        st.query_params.pop("marker", None)
        return None
    st.query_params["marker"] = chosen
    return by_id[chosen]


def _forget_link() -> None:
    st.query_params.pop("marker", None)


def _tell(scope: Scope, row: store.Row) -> str:
    return f"{to_line(row['name'])} · {scope.tell(row)}"


def _show_chosen(
    key: str, scope: Scope, row: store.Row, bounds: View, may_mark: bool, about: Mapping[str, Any]
) -> None:
    """Show a marker, what it comes to, and what can be done with it."""
    made = tell_moment(row["made_at"], scope.zone or find_zone())
    st.caption(f"{to_markdown(row['colour'])}   ·   by {to_markdown(row['author'])}, {made}")
    if row["note"]:
        st.markdown(to_markdown(row["note"], MAX_NOTE))
    with st.container(horizontal=True):
        st.button(
            "Go there", icon=":material/my_location:", key=f"go-{key}", on_click=set_view,
            args=(key, look_at(row), bounds),
        )  # fmt: skip
        if may_mark:
            st.button("Change", icon=":material/edit:", key=f"change-{key}", on_click=begin_draft, args=(key, row))
            st.button(
                "Remove", icon=":material/delete:", key=f"remove-{key}", on_click=_remove,
                args=(key, row["marker_id"], row["version"]),
            )  # fmt: skip
    show_figures(key, scope.source_id, scope.session_id, scope.faces, row, about)


def _remove(key: str, marker_id: str, version: int) -> None:
    """Remove a marker, if it is as the visitor saw it."""
    with keep_errors(key):
        marking_actions.remove_marker(marker_id, version)
