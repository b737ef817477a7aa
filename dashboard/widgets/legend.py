"""The emotions' colours with their names, above charts."""

import streamlit as st

from contracts.emotions import COLOURS, EMOTIONS


def show_legend() -> None:
    """Show the emotions' colours; each chart's ribbon and hover say their names again."""
    swatch = (
        "display:inline-block;width:0.8em;height:0.8em;margin-right:0.4em;"
        "box-sizing:border-box;border:1px solid currentColor;border-radius:2px"
    )
    entries = "".join(
        f"<span style='margin-right:1.1em;white-space:nowrap'><span style='{swatch};background:{COLOURS[name]}'></span>"
        f"{name}</span>"
        for name in EMOTIONS
    )
    st.html(f"<div role='note' aria-label='Colours of the emotions' style='font-size:0.9em'>{entries}</div>")
