"""The player of a recording beside its timeline: a component of the page's own, in plain HTML, CSS and JavaScript."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from contracts import store
from contracts.emotions import COLOURS, EMOTIONS, INKS, UNCERTAIN_BELOW
from dashboard.charts.theme import find_theme
from dashboard.queries.person_queries import read_faces
from dashboard.queries.recording_queries import PlayableLink
from dashboard.texts import to_line

_FOLDER = Path(__file__).parent.parent / "components"
_MIN_HOLD_S = 0.1
_mount = st.components.v2.component(
    "emotrace_player",
    html=(_FOLDER / "player.html").read_text(),
    css=(_FOLDER / "player.css").read_text(),
    js=(_FOLDER / "player.js").read_text(),
)


def show_player(link: PlayableLink, session: Mapping[str, Any], chart: str, moment_key: str) -> None:
    """Show the player of a session's recording.

    ``chart`` is the key of the container whose chart is clicked to seek and shows the player's time as a line;
    ``moment_key`` names the fixed moment in the session state: the player goes there when it changes, and sets it.
    """
    faces = read_faces(session["session_id"])
    recording, key = link.recording, f"player-{session['session_id']}"
    fps = session["settings"].get("fps")

    def fix_moment() -> None:
        st.session_state[moment_key] = float(st.session_state[key]["moment"])

    _mount(
        key=key,
        data={
            "session": session["session_id"],
            "src": link.path,
            "label": f"Recording {to_line(str(session['source']))}",
            "chart": chart,
            "names": {str(person_id): to_line(name, 40) for person_id, name in faces.names.items()},
            "version": faces.version,
            "moment": st.session_state.get(moment_key),
            "width": recording.width,
            "height": recording.height,
            # A face is held until the next frame that was analysed, and a little longer.
            "hold": max(1.5 / fps, _MIN_HOLD_S) if fps else _MIN_HOLD_S,
            "complete": session["status"] != store.RUNNING,
            "uncertain": UNCERTAIN_BELOW,
            "cursor": find_theme().accent,
            "emotions": [{"name": name, "colour": COLOURS[name], "ink": INKS[name]} for name in EMOTIONS],
            "unplayable": (
                f"This browser cannot play the recording's {recording.codec} video; another one may. The timeline is "
                "complete without it."
            ),
            "away": "The dashboard does not answer. Check that it runs, and load the page again.",
        },
        on_moment_change=fix_moment,
        on_lost_change=_renew,
    )
    if recording.is_newer:
        st.caption("The file was written to after its analysis began: its pictures may not be those of the timeline.")


def _renew() -> None:
    """Do nothing: the run that follows makes a new link."""
