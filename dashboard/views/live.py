"""Live view: what one camera sees now, with the faces' boxes, labels and probabilities; nothing of it is kept."""

import time
from collections import deque
from typing import Any

import streamlit as st

from dashboard.actions import camera_actions
from dashboard.queries import fleet_queries, live_queries
from dashboard.queries.live_queries import Look
from dashboard.reading.fleet import SIGNS
from dashboard.reading.rows import iterate_rows
from dashboard.texts import keep_errors, show_errors, show_kept_error, tell_state, to_line, to_markdown
from dashboard.widgets import live_view

_ON = "on"
# The rate is that of this many seconds.
_MEASURED_S = 4.0
_MAX_MEASURED = 64


def render() -> None:
    """Draw the page."""
    st.title("Live view")
    rows = {row.stream_id: row for row in iterate_rows(fleet_queries.list_cameras())}
    if not rows:
        st.info("There are no cameras yet. Add one on the page Cameras.", icon=":material/videocam:")
        return
    asked = st.query_params.get("camera", "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Camera", list(rows), index=list(rows).index(asked) if asked in rows else 0, key="camera-live", width=420,
            format_func=lambda one: to_line(rows[one].name),
        )  # fmt: skip
        assert chosen is not None
        camera = rows[chosen]
        is_looking = _choose_to_look(camera)
    show_kept_error("live")
    st.query_params["camera"] = chosen
    if not camera.preview:
        _offer_preview(camera)
    elif not camera.enabled:
        st.info("This camera is disabled. Enable it on the page Cameras.", icon=":material/power_settings_new:")
    elif is_looking:
        st.fragment(_show, run_every=live_queries.REFRESH_S)(chosen)
    else:
        st.caption("Pictures are sent only while somebody looks. They are not recorded, here or anywhere else.")


def _choose_to_look(camera: Any) -> bool:
    key = f"look-{camera.stream_id}"
    if key not in st.session_state:
        # A link may ask for it, and counts as looking.
        is_asked = st.query_params.get("look") == _ON and camera.stream_id == st.query_params.get("camera")
        begins = bool(camera.preview) and is_asked
        if begins:
            camera_actions.begin_look(camera.stream_id)
        st.session_state[key] = begins
    is_looking = st.toggle(
        "Look", key=key, disabled=not camera.preview, on_change=_note_look, args=(camera.stream_id,),
        help="Shows what the camera sees now; that somebody looks is noted.",
    )  # fmt: skip
    if is_looking:
        st.query_params["look"] = _ON
    else:
        st.query_params.pop("look", None)
    return is_looking


def _note_look(stream_id: str) -> None:
    """Note that somebody begins to look; without that, there is nothing to see."""
    key = f"look-{stream_id}"
    if st.session_state[key]:
        st.session_state[key] = False
        with keep_errors("live"):
            camera_actions.begin_look(stream_id)
            st.session_state[key] = True


def _offer_preview(camera: Any) -> None:
    st.info(
        f"The live view of {to_markdown(camera.name)} is off. Where it is on, operators may look at what the camera "
        "sees; nothing is recorded.",
        icon=":material/visibility_off:",
    )
    if st.button("Turn the live view on", icon=":material/visibility:"):
        camera_actions.set_preview(camera.stream_id, True)
        fleet_queries.list_cameras.clear()
        # Whoever had looked before it was turned off begins anew, and that is noted.
        st.session_state.pop(f"look-{camera.stream_id}", None)
        st.rerun()


def _show(stream_id: str) -> None:
    with show_errors():
        look = live_queries.look_at(stream_id)
        _show_measures(stream_id, look)
        if look.preview is None:
            st.info(_tell_absence(look), icon=":material/hourglass_empty:")
        else:
            live_view.draw(look.preview, look.faces, f"live-{stream_id}")


def _show_measures(stream_id: str, look: Look) -> None:
    told = look.told
    state = f"{SIGNS.get(told.state, '◌')} {tell_state(told.state)}" if told is not None else "◌ not running"
    rate = _measure_rate(stream_id, look.preview.number if look.preview is not None else None)
    has_picture = look.preview is not None
    with st.container(horizontal=True):
        st.metric("State", state, border=True, width=200)
        st.metric("Pictures a second", f"{rate:.1f}" if has_picture else "–", border=True, width=170)
        st.metric("Delay", f"{look.delay_s:.2f} s" if has_picture else "–", border=True, width=150)
        st.metric("Faces", len(look.faces) if has_picture else "–", border=True, width=120)
        st.metric("Analysed a second", f"{told.fps:g}" if told is not None else "–", border=True, width=170)


def _measure_rate(stream_id: str, number: int | None) -> float:
    """Return how many new pictures a second have come to this page lately."""
    seen: deque[tuple[float, int]] = st.session_state.setdefault(f"seen-{stream_id}", deque(maxlen=_MAX_MEASURED))
    now_s = time.monotonic()
    if number is not None and (not seen or seen[-1][1] != number):
        seen.append((now_s, number))
    while seen and now_s - seen[0][0] > _MEASURED_S:
        seen.popleft()
    passed_s = seen[-1][0] - seen[0][0] if seen else 0.0
    return (len(seen) - 1) / passed_s if passed_s > 0 else 0.0


def _tell_absence(look: Look) -> str:
    if look.told is None:
        return "The camera does not run. `emotrace up` runs cameras on this machine."
    if look.told.message:
        return f"No picture: {to_markdown(look.told.message, 300)}"
    return "The first picture is on its way."


with show_errors():
    render()
