"""A timeline in words: what its points stand for, and what it shows, for those who do not see it."""

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW
from dashboard.reading.panels import Panel, average
from dashboard.texts import tell_place, to_line
from dashboard.widgets.viewing import View


def tell_resolution(panels: Sequence[Panel], view: View, zone: ZoneInfo | None) -> None:
    """Say what a point of the chart stands for, and how to look closer."""
    points = [panel.points for panel in panels if len(panel.points)]
    most = max((int(one["num_faces"].max()) for one in points), default=0)
    shown = f"{tell_place(view.start, zone)} to {tell_place(view.end, zone)}"
    stands = (
        f"each point stands for up to {most} rows; ▲ marks peaks that their mean hides"
        if most > 1
        else "each point is one row"
    )
    st.caption(
        f"{shown}   ·   {stands}   ·   faded, with a question mark: the highest probability is below "
        f"{UNCERTAIN_BELOW:.0%}, so the label is more likely wrong than right   ·   hatched: no results   ·   "
        "drag over the chart to look closer"
    )


def describe(panels: Sequence[Panel], markers: Sequence[Any]) -> str:
    """Return the chart in words, for those who do not see it."""
    sentences = []
    for panel in panels:
        if len(panel.points):
            mean = average(panel.points)[list(EMOTIONS)].sort_values(ascending=False)
            told = ", ".join(f"{name} {value:.0%}" for name, value in mean.head(3).items())
            sentences.append(f"{to_line(panel.name)}: on average {told}; {len(panel.gaps)} gaps.")
        else:
            sentences.append(f"{to_line(panel.name)}: no results.")
    if markers:
        sentences.append(f"{len(markers)} markers are listed below.")
    return "Emotion timeline. " + " ".join(sentences) + " The numbers are in the table below."
