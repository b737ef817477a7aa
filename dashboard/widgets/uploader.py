"""The field that recordings are dropped on: a component of the page's own that sends them to ``upload_routes``."""

from pathlib import Path

import streamlit as st

from contracts.submissions import GB

_FOLDER = Path(__file__).parent.parent / "components"
_mount = st.components.v2.component(
    "emotrace_upload",
    html=(_FOLDER / "upload.html").read_text(),
    css=(_FOLDER / "upload.css").read_text(),
    js=(_FOLDER / "upload.js").read_text(),
)


def show_uploader(path: str, max_bytes: int) -> None:
    """Show the field; recordings are sent to ``path`` on this server, ``max_bytes`` long at most."""
    size = f"{max_bytes / GB:g} GB"
    _mount(
        key="uploader",
        data={
            "url": path,
            "maxBytes": max_bytes,
            "limit": f"mp4, mkv, webm, mov, avi, ts and others, up to {size} each",
            "tooLarge": f"The file is larger than the {size} that may be uploaded. Pick it from a folder instead.",
            "away": "The connection was lost, or the dashboard refused the file. Check that it runs, and try again.",
        },
        on_uploaded_change=_look_again,
    )


def _look_again() -> None:
    """Do nothing: the run that follows shows the recording in the list."""
