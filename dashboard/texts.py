"""Words on pages: what strangers wrote is shown as it is, never read as Markdown or HTML."""

import html
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

import streamlit as st

from contracts.errors import EmotraceError, UsageError
from contracts.ledger import REASON_TEXTS
from contracts.settings import hide_credentials
from reports.panel_frame import format_clock
from reports.series import ABSENT

MAX_LENGTH = 80
# What Markdown, its directives (:red[...]), emoji codes (:smile:) and formulas ($...$) begin with.
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$:~^&@/=\"'])")
_STATES = {
    **REASON_TEXTS,
    ABSENT: "not in view",
    "run_lost": "its process or host died",
    "not_running": "not running",
    "backing_off": "waiting to reconnect",
    "silent": "runs, but says nothing",
    "waiting": "waiting for a free worker",
}


def to_line(text: str, limit: int = MAX_LENGTH) -> str:
    """Return ``text`` as one line of at most ``limit`` characters, without invisible ones that reorder or hide text."""
    shown = "".join(
        " " if character.isspace() else character
        for character in text[: 4 * limit]
        if character.isspace() or unicodedata.category(character)[0] != "C" or character == "\u200d"
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit and len(text) <= 4 * limit else shown[: limit - 1] + "…"


def to_markdown(text: str, limit: int = MAX_LENGTH) -> str:
    """Return ``text`` as one line that Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", to_line(text, limit))


def to_html(text: str, limit: int = MAX_LENGTH) -> str:
    """Return ``text`` as one line that HTML, and charts, which read tags and entities, show as it is."""
    return html.escape(to_line(text, limit), quote=False)


def tell_state(state: str) -> str:
    """Return the words for a state of frames, of a camera or of a session's end."""
    return _STATES.get(state, to_line(state.replace("_", " ")))


def tell_seconds(seconds: float) -> str:
    """Return a moment of a recording: ``12.3 s``, ``3:05.0`` or ``1:03:05``."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
    return format_clock(seconds, with_hours=True)


def find_zone() -> ZoneInfo:
    """Return the time zone of the visitor's browser."""
    return ZoneInfo(st.context.timezone or "UTC")


def tell_moment(at: float, zone: ZoneInfo, with_date: bool = True) -> str:
    """Return a moment in seconds since 1970 by the clocks of ``zone``."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S" if with_date else "%H:%M:%S")


def tell_place(moment: float, zone: ZoneInfo | None) -> str:
    """Return a moment of a recording, or (with a ``zone``) one in seconds since 1970."""
    return tell_seconds(moment) if zone is None else tell_moment(moment, zone)


def tell_duration(seconds: float) -> str:
    """Return a stretch of time in its largest units: ``4.0 s``, ``12 min``, ``3 h 20 min``, ``2 d``."""
    if seconds < 60:
        return f"{max(0.0, seconds):.1f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds / 86400:.0f} d"


@contextmanager
def keep_errors(key: str) -> Iterator[None]:
    """Keep what went wrong on purpose for ``show_kept_error``: a callback's page is drawn after it."""
    try:
        yield
    except EmotraceError as error:
        st.session_state[f"error-{key}"] = str(error)


def show_kept_error(key: str) -> None:
    """Show what went wrong in the callback before, once."""
    with show_errors():
        if f"error-{key}" in st.session_state:
            raise UsageError(st.session_state.pop(f"error-{key}"))


@contextmanager
def show_errors() -> Iterator[None]:
    """Show what went wrong on purpose as one clear sentence in place of the rest."""
    try:
        yield
    except EmotraceError as error:
        st.error(to_markdown(hide_credentials(str(error)), 1000), icon=":material/error:")
