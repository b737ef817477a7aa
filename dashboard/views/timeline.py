"""Timeline: the emotions of faces over time, of a recording or a camera."""

import time
from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.emotions import COLOURS, EMOTIONS, UNCERTAIN_BELOW
from dashboard import charts, choosing, exports, queries
from dashboard.axis import read_place
from dashboard.panels import Panel, average
from dashboard.texts import show_errors, tell_duration, tell_moment, tell_seconds, to_markdown
from dashboard.theme import find_theme
from dashboard.viewing import View, read_view, set_view, show_controls

ReadPanels = Callable[[float, float], list[Panel]]


def render() -> None:
    """Draw the page."""
    st.title("Timeline")
    zone = choosing.choose_zone()
    first, second = st.columns(2)
    with first:
        source = choosing.choose_source()
    if source is None:
        _welcome()
        return
    if source.kind == choosing.CAMERA:
        _show_camera(source, zone)
        return
    with second:
        session = choosing.choose_session(source.source_id, zone)
    if session is not None:
        _show_recording(session)


def _welcome() -> None:
    st.info(
        "Nothing has been analysed yet. Analyse a recording with `emotrace analyze VIDEO`, or add a camera on the page "
        "Cameras; what they give appears here.",
        icon=":material/timeline:",
    )


def _show_recording(session: dict[str, Any]) -> None:
    session_id = session["session_id"]
    tracks = choosing.choose_tracks(session_id)
    bounds = View(0.0, max(session["duration_s"], 0.2))
    facts = [tell_duration(session["duration_s"]), session["status"], f"model {session['model_id']}"]
    st.caption(to_markdown("   ·   ".join(facts), 200))
    key = session_id

    def show() -> None:
        with show_errors():
            _show_chart(
                key, bounds, lambda start, end: queries.read_recording(session_id, tracks, start, end), None, session
            )

    st.fragment(show)()


def _show_camera(source: Any, zone: ZoneInfo) -> None:
    name, start_at, end_at = choosing.choose_range(zone)
    faces = choosing.choose_camera_faces(source.source_id, start_at, end_at, zone)
    st.caption("No video of cameras is kept; their timelines are all there is of the past.")
    is_live = name == "live"

    def show() -> None:
        now = float(int(time.time()))
        bounds = View(now - choosing.RANGES[name], now) if is_live else View(start_at, end_at)
        sessions = queries.list_sessions(source.source_id)
        models = ", ".join(sorted(set(sessions["model_id"])))
        about = {"session_id": source.source_id, "source": source.name, "model_id": models, "settings": {}}
        with show_errors():
            _show_chart(
                f"{source.source_id}-{name}",
                bounds,
                lambda start, end: queries.read_camera(source.source_id, faces, start, end),
                zone,
                about,
            )

    st.fragment(show, run_every=queries.FRESH_S if is_live else None)()


def _show_chart(key: str, bounds: View, read: ReadPanels, zone: ZoneInfo | None, about: dict[str, Any]) -> None:
    """Draw the chart under ``key`` with all that belongs to it; ``zone`` is that of wall-clock times."""
    view = read_view(key, bounds)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        style = st.segmented_control(
            "Probabilities", charts.STYLES, default="area", required=True, key="style", label_visibility="collapsed"
        )
        with_valence = st.toggle("Valence", value=True, key="valence")
        is_picking = st.toggle(
            "Pick a moment", key="picking", help="Click the chart to read its values; off, drag to zoom."
        )
    with st.container(horizontal=True):
        show_controls(key, view, bounds)
    panels = read(view.start, view.end)
    _show_legend()
    moment = st.session_state.get(f"moment-{key}")
    figure = charts.draw_timeline(
        panels, view.start, view.end, theme=find_theme(), zone=zone, style=style or "area", with_valence=with_valence,
        moment=moment, is_picking=is_picking,
    )  # fmt: skip
    chart_key = f"chart-{key}-{view.start:.3f}-{view.end:.3f}"  # of its own, so that it begins without a selection
    st.plotly_chart(
        figure,
        key=chart_key,
        theme=None,
        on_select=lambda: _follow_selection(chart_key, key, view, bounds, zone),
        selection_mode=("box", "points"),
        config={"displayModeBar": False},
        alt=_describe(panels),
    )
    _tell_resolution(panels, view, zone)
    if moment is not None and view.start <= moment <= view.end:
        _show_moment(key, panels, moment, zone)
    table = exports.make_table(panels, zone)
    with st.expander("Table of these numbers"):
        st.dataframe(table, hide_index=True, column_config=exports.describe_columns(table))
    exports.offer(table, about, key)


def _follow_selection(chart_key: str, key: str, view: View, bounds: View, zone: ZoneInfo | None) -> None:
    """Zoom to the stretch that was dragged over, or fix the moment that was clicked."""
    selection = st.session_state[chart_key]["selection"]
    if selection["box"]:
        start, end = sorted(read_place(place, zone) for place in selection["box"][0]["x"])
        if end - start > view.span / 500:
            set_view(key, View(start, end), bounds)
            return
    if selection["points"]:
        st.session_state[f"moment-{key}"] = read_place(selection["points"][0]["x"], zone)


def _show_legend() -> None:
    """Show the emotions' colours; each chart's ribbon and hover say their names again."""
    swatch = "display:inline-block;width:0.8em;height:0.8em;border-radius:2px;margin-right:0.4em"
    entries = "".join(
        f"<span style='margin-right:1.1em;white-space:nowrap'><span style='{swatch};background:{COLOURS[name]}'></span>"
        f"{name}</span>"
        for name in EMOTIONS
    )
    st.html(f"<div role='note' aria-label='Colours of the emotions' style='font-size:0.9em'>{entries}</div>")


def _tell_resolution(panels: Sequence[Panel], view: View, zone: ZoneInfo | None) -> None:
    """Say what a point of the chart stands for, and how to look closer."""
    points = [panel.points for panel in panels if len(panel.points)]
    most = max((int(one["num_faces"].max()) for one in points), default=0)
    shown = f"{_tell(view.start, zone)} to {_tell(view.end, zone)}"
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


def _show_moment(key: str, panels: Sequence[Panel], moment: float, zone: ZoneInfo | None) -> None:
    """Show the exact values nearest to the fixed moment."""
    nearest = []
    for panel in panels:
        if len(panel.points):
            distances = (panel.points["time_s"] - moment).abs()
            nearest.append(panel._replace(points=panel.points.loc[[distances.idxmin()]]))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**Moment {to_markdown(_tell(moment, zone))}**")
        st.button("Clear", key=f"clear-{key}", on_click=lambda: st.session_state.pop(f"moment-{key}", None))
    if nearest:
        table = exports.make_table(nearest, zone)
        st.dataframe(table, hide_index=True, column_config=exports.describe_columns(table))


def _tell(moment: float, zone: ZoneInfo | None) -> str:
    return tell_seconds(moment) if zone is None else tell_moment(moment, zone)


def _describe(panels: Sequence[Panel]) -> str:
    """Return the chart in words, for those who do not see it."""
    sentences = []
    for panel in panels:
        if len(panel.points):
            mean = average(panel.points)[list(EMOTIONS)].sort_values(ascending=False)
            told = ", ".join(f"{name} {value:.0%}" for name, value in mean.head(3).items())
            sentences.append(f"{panel.name}: on average {told}; {len(panel.gaps)} gaps.")
        else:
            sentences.append(f"{panel.name}: no results.")
    return "Emotion timeline. " + " ".join(sentences) + " The numbers are in the table below."


with show_errors():
    render()
