"""What a span, or the seconds after a moment, come to: shown below its marker."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from contracts import store
from contracts.spans import BASELINE_S, HOLD_S, SEARCH_S
from dashboard.files import exports
from dashboard.queries import marking_queries
from dashboard.reading.rows import iterate_rows
from dashboard.reading.spans import SpanFigures
from dashboard.reading.stretches import Faces
from dashboard.texts import show_errors, to_markdown

AFTER_MOMENT_S = 5.0


def show_figures(
    key: str, source_id: str, session_id: str | None, faces: Faces | None, marker: store.Row, about: Mapping[str, Any]
) -> None:
    """Show mean, peak and time share of each emotion, and the first reaction, for each face that the page shows."""
    over = "Over the span" if marker["end"] is not None else f"Over the {AFTER_MOMENT_S:g} s that follow"
    with show_errors():
        figures = marking_queries.sum_span(source_id, session_id, faces, *find_ends(marker))
        if figures.levels.empty:
            st.info("There are no results in this stretch of time.")
            return
        reactions = {row[0]: row for row in iterate_rows(figures.reactions)}
        for face in dict.fromkeys(figures.levels["face"]):
            st.markdown(f"**{to_markdown(face)}**: {_tell_reaction(reactions.get(face))}")
        st.dataframe(
            figures.levels.drop(columns="rows"),
            hide_index=True,
            column_config={
                name: st.column_config.ProgressColumn(name, format="percent", min_value=0.0, max_value=1.0)
                for name in ("mean", "peak", "share")
            }
            | {"seconds": st.column_config.NumberColumn(format="%.2f")},
        )
        st.caption(
            f"{over}: mean and peak probability, and for how long each emotion led. First reaction: the first "
            f"{HOLD_S:g} s and longer over which another emotion leads than in the {BASELINE_S:g} s before, within "
            f"{SEARCH_S:g} s."
        )
        exports.offer(make_figures_table(figures, marker), about, f"span-{key}")


def find_ends(marker: store.Row) -> tuple[float, float]:
    """Return the stretch of time that a marker's figures are of."""
    start, end = marker["start"], marker["end"]
    return start, start + AFTER_MOMENT_S if end is None else end


def make_figures_table(figures: SpanFigures, marker: store.Row) -> pd.DataFrame:
    """Return a marker's figures as a table for files: face, rows, emotion and its levels, first_reaction_s, marker."""
    delays = figures.levels["face"].map(figures.reactions.set_index("face")["delay_s"])
    start, end = find_ends(marker)
    name = exports.guard_cell(marker["name"])
    return figures.levels.assign(first_reaction_s=delays, marker=name, start=start, end=end)


def _tell_reaction(reaction: Any | None) -> str:
    if reaction is None:
        return "no first reaction"
    _, delay_s, usual, other = reaction
    return f"first reaction after {delay_s:.2f} s, from {usual} to {other}"
