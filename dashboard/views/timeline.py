"""Timeline: the emotions of faces over time, of a recording or a camera."""

import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.errors import SourceError
from dashboard.asking import FRESH_S
from dashboard.charts import timeline_charts
from dashboard.charts.axis import read_place
from dashboard.charts.theme import find_theme
from dashboard.files import exports, reporting, timeline_report
from dashboard.queries import timeline_queries
from dashboard.queries.recording_queries import find_player
from dashboard.reading.panels import Panel
from dashboard.texts import show_errors, tell_duration, to_markdown
from dashboard.widgets import choosing, marking, marking_links, moments, person_editing, timeline_words
from dashboard.widgets.legend import show_legend
from dashboard.widgets.player import show_player
from dashboard.widgets.scopes import Scope
from dashboard.widgets.viewing import View, read_view, set_view, show_controls

ReadPanels = Callable[[float, float], list[Panel]]
# The keys of containers, by which the player finds the chart, and the style the player.
_CHART, _PLAYER = "timeline-chart", "timeline-player"


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
    faces = None if tracks is None else tuple((session_id, track) for track in tracks)
    scope = Scope(session["source_id"], session_id, faces, None)

    def show_chart() -> None:
        read: ReadPanels = lambda start, end: timeline_queries.read_recording(session_id, tracks, start, end)  # noqa: E731
        _show_chart(session_id, bounds, read, scope, session)

    def show() -> None:
        with show_errors():
            with st.container(horizontal=True, vertical_alignment="center"):
                st.caption(to_markdown("   ·   ".join(facts), 200))
                with_video = st.toggle("Video", value=True, key="video", help="The recording beside its timeline.")
            if with_video:
                _show_with_player(session, show_chart)
            else:
                show_chart()

    st.fragment(show)()


def _show_with_player(session: dict[str, Any], show_chart: Callable[[], None]) -> None:
    """Show the chart with the player beside it, or with the reason why there is none."""
    try:
        link = find_player(session["session_id"])
    except SourceError as error:
        st.caption(f":material/videocam_off: {to_markdown(str(error), 400)}")
        show_chart()
        return
    chart_side, player_side = st.columns([5, 3], gap="medium")
    with chart_side:
        show_chart()
    with player_side, st.container(key=_PLAYER):
        show_player(link, session, _CHART, f"moment-{session['session_id']}")


def _show_camera(source: Any, zone: ZoneInfo) -> None:
    marking_links.follow_camera_link(source.source_id)
    name, start_at, end_at = choosing.choose_range(zone)
    faces = choosing.choose_camera_faces(source.source_id, start_at, end_at, zone)
    st.caption("No video of cameras is kept; their timelines are all there is of the past.")
    is_live = name == "live"

    def show() -> None:
        now = float(int(time.time()))
        bounds = View(now - choosing.RANGES[name], now) if is_live else View(start_at, end_at)
        about = {"session_id": source.source_id, "source": source.name}
        with show_errors():
            _show_chart(
                f"{source.source_id}-{name}",
                bounds,
                lambda start, end: timeline_queries.read_camera(source.source_id, faces, start, end),
                Scope(source.source_id, None, faces, zone),
                about,
            )

    st.fragment(show, run_every=FRESH_S if is_live else None)()


def _show_chart(key: str, bounds: View, read: ReadPanels, scope: Scope, about: dict[str, Any]) -> None:
    """Draw the chart under ``key`` with all that belongs to it, and the markers of ``scope``."""
    markers = marking.read_markers(scope, bounds)
    marking_links.follow_link(key, markers, bounds)
    view, zone = read_view(key, bounds), scope.zone
    with st.container(horizontal=True, vertical_alignment="bottom"):
        style = st.segmented_control(
            "Probabilities",
            timeline_charts.STYLES,
            default="area",
            required=True,
            key="style",
            label_visibility="collapsed",
        )
        with_valence = st.toggle("Valence", value=True, key="valence")
        is_picking = st.toggle(
            "Pick a moment", key="picking", help="Click the chart to read its values; off, drag to zoom."
        )
        moments.ask_moment(key, bounds, zone)
    with st.container(horizontal=True):
        show_controls(key, view, bounds)
    panels = read(view.start, view.end)
    show_legend()
    moment = st.session_state.get(f"moment-{key}")
    figure = timeline_charts.draw_timeline(
        panels, view.start, view.end, theme=find_theme(), zone=zone, style=style or "area", with_valence=with_valence,
        moment=moment, marks=marking.make_marks(markers), is_picking=is_picking,
    )  # fmt: skip
    chart_key = f"chart-{key}-{view.start:.3f}-{view.end:.3f}"  # of its own, so that it begins without a selection
    with st.container(key=_CHART):
        st.plotly_chart(
            figure,
            key=chart_key,
            theme=None,
            on_select=lambda: _follow_selection(chart_key, key, view, bounds, zone),
            selection_mode=("box", "points"),
            config={"displayModeBar": False},
            alt=timeline_words.describe(panels, markers),
        )
    timeline_words.tell_resolution(panels, view, zone)
    if moment is not None and view.start <= moment <= view.end:
        moments.show_moment(key, panels, moment, zone)
    table = exports.make_table(panels, zone)
    with st.expander("Table of these numbers"):
        st.dataframe(table, hide_index=True, column_config=exports.describe_columns(table))
    shown = reporting.find_shown(about, view.start, view.end, zone)
    exports.offer(table, shown.origin, key)
    timeline_report.offer_timeline(shown, panels, style or "area", with_valence, moment)
    origin = reporting.find_shown(about, bounds.start, bounds.end, zone).origin
    marking.show_markers(key, scope, markers, view, bounds, moment, origin)
    session_ids = [scope.session_id] if scope.session_id else _list_camera_sessions(scope.source_id, bounds)
    person_editing.show_editing(key, session_ids, view, zone, moment)


def _list_camera_sessions(source_id: str, bounds: View) -> list[str]:
    """Return the sessions in which a camera saw faces, the newest first."""
    faces = timeline_queries.list_camera_faces(source_id, bounds.start, bounds.end)
    return sorted(faces["session_id"].unique(), reverse=True)


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


with show_errors():
    render()
