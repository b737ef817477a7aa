"""Draws a camera's picture with its faces: a small component, whose source lies in ``dashboard/components``."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from contracts.emotions import COLOURS, EMOTIONS
from contracts.previews import Preview
from dashboard.queries.live_queries import LiveFace
from dashboard.texts import to_line

_FOLDER = Path(__file__).parent.parent / "components"
_HTML = """
<div class="live">
  <figure class="stage"><img alt=""><div class="boxes" aria-hidden="true"></div></figure>
  <div class="cards"></div>
</div>
"""
_UNKNOWN = "#B8C0C8"
_draw = st.components.v2.component(
    "emotrace_live_view",
    html=_HTML,
    css=(_FOLDER / "live_view.css").read_text(),
    js=(_FOLDER / "live_view.js").read_text(),
)


def draw(preview: Preview, faces: Sequence[LiveFace], key: str) -> None:
    """Show a picture in the place of the one that was shown under ``key`` before."""
    shown = [_describe(face) for face in faces]
    told = "; ".join(face["title"] for face in shown) or "no face"
    data = {
        "jpeg": base64.b64encode(preview.jpeg).decode(),
        "width": preview.width,
        "height": preview.height,
        "alt": f"The camera's newest picture: {told}.",
        "faces": shown,
    }
    _draw(key=key, data=data)


def _describe(face: LiveFace) -> dict[str, Any]:
    return {
        "id": face.track_id,
        "box": face.box,
        "title": _name(face),
        "note": _tell(face),
        "uncertain": face.is_uncertain,
        "colour": COLOURS.get(face.label, _UNKNOWN),
        "bars": [
            {"name": name, "share": value, "told": f"{value:.0%}", "colour": COLOURS[name]}
            for name, value in zip(EMOTIONS, face.probabilities, strict=False)
        ],
    }


def _name(face: LiveFace) -> str:
    doubt = "?" if face.is_uncertain else ""
    return to_line(face.name, 40) + (f" · {face.label}{doubt} {face.confidence:.0%}" if face.label else "")


def _tell(face: LiveFace) -> str:
    if face.label:
        return f"{face.behind_s:.1f} s older than the picture" + (", uncertain" if face.is_uncertain else "")
    return "its first result is on its way" if face.is_analysed else "too small to be analysed"
