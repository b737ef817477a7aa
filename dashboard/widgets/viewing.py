"""The stretch of time that a chart shows: moved by buttons, keys and dragging, never past its bounds."""

from typing import NamedTuple

import streamlit as st

_MIN_SPAN_S = 0.2


class View(NamedTuple):
    """From ``start`` to ``end``, in the chart's seconds."""

    start: float
    end: float

    @property
    def span(self) -> float:
        """Seconds shown."""
        return self.end - self.start

    def zoom(self, factor: float) -> "View":
        """Return a view of ``factor`` times the span around the same middle."""
        middle, half = (self.start + self.end) / 2, self.span * factor / 2
        return View(middle - half, middle + half)

    def pan(self, share: float) -> "View":
        """Return the view moved by a share of its span."""
        return View(self.start + share * self.span, self.end + share * self.span)

    def clamp(self, bounds: "View") -> "View":
        """Return the nearest view of the same span inside ``bounds``, or the bounds where it is longer."""
        span = min(max(self.span, _MIN_SPAN_S), max(bounds.span, _MIN_SPAN_S))
        start = min(max(self.start, bounds.start), max(bounds.end - span, bounds.start))
        return View(start, start + span)


def read_view(key: str, bounds: View) -> View:
    """Return what the visitor looks at under ``key``, all of ``bounds`` at first."""
    return View(*st.session_state.get(f"view-{key}", bounds)).clamp(bounds)


def set_view(key: str, view: View, bounds: View) -> None:
    """Have the chart under ``key`` show another view; one of everything goes on showing everything."""
    view = view.clamp(bounds)
    if view == bounds:
        st.session_state.pop(f"view-{key}", None)
    else:
        st.session_state[f"view-{key}"] = tuple(view)


def show_controls(key: str, view: View, bounds: View) -> None:
    """Show the buttons that move a view; each has a key of the keyboard."""
    steps = (
        ("Earlier", ":material/chevron_left:", view.pan(-0.5), "left", "arrow left"),
        ("Later", ":material/chevron_right:", view.pan(0.5), "right", "arrow right"),
        ("Closer", ":material/zoom_in:", view.zoom(0.5), "i", "I"),
        ("Wider", ":material/zoom_out:", view.zoom(2.0), "o", "O"),
        ("All", ":material/fit_screen:", bounds, "a", "A"),
    )
    for name, icon, target, shortcut, spoken in steps:
        st.button(
            name,
            icon=icon,
            key=f"{name}-{key}",
            help=f"Key: {spoken}",
            shortcut=shortcut,
            disabled=target.clamp(bounds) == view,
            on_click=set_view,
            args=(key, target, bounds),
        )
