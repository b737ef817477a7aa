"""The colours of charts beside those of the emotions, for the light and the dark theme of the pages."""

from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True)
class Theme:
    """``ink`` on ``paper`` reads at 4.5 to 1 and better, as does ``quiet``; ``line`` is for axes and rules."""

    paper: str
    ink: str
    quiet: str
    line: str
    gap: str
    hatch: str
    accent: str
    veil: str


LIGHT = Theme("#FFFFFF", "#1A1F24", "#55606B", "#C5CCD3", "#F1F3F5", "#B8C0C8", "#00658F", "rgba(255,255,255,0.62)")
DARK = Theme("#0B0E12", "#E6EAEE", "#A3AEB9", "#3A434D", "#171C22", "#4A545F", "#5CB8E6", "rgba(11,14,18,0.62)")


# The player stays in sight while a long chart is scrolled; where there is no room beside the chart, it stands above it.
_PLAYER_STYLE = """
[data-testid=stColumn]:has(.st-key-timeline-player) {min-width: 260px}
[data-testid=stLayoutWrapper]:has(> .st-key-timeline-player) {position: sticky; top: 4rem}
[data-testid=stColumn]:has(+ [data-testid=stColumn] .st-key-timeline-player) {min-width: 440px}
[data-testid=stHorizontalBlock]:has(> [data-testid=stColumn] .st-key-timeline-player) {flex-wrap: wrap-reverse}
@media (max-width: 640px) {[data-testid=stColumn]:has(+ [data-testid=stColumn] .st-key-timeline-player) {min-width: 0}}
"""


def find_theme() -> Theme:
    """Return the theme that the visitor's browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def make_style() -> str:
    """Return the little that Streamlit's theme cannot say: narrower margins, and words on dark that read well."""
    style = ".stMainBlockContainer {padding: 3rem clamp(1rem, 3vw, 3rem)}"
    style += _PLAYER_STYLE
    if find_theme() is DARK:
        # The theme's accent is dark enough for white words on it, and so too dark for words of its own.
        style += f" :is([role=radio], [data-variant=pills])[data-selected=true] p {{color: {DARK.accent}}}"
    return style
