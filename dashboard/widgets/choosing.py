"""What a page is about: the source, the session or the range of time, and the faces; kept in the page's address."""

import functools
import re
import time
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import streamlit as st

from dashboard.queries import timeline_queries
from dashboard.reading.rows import iterate_rows
from dashboard.reading.stretches import Faces
from dashboard.texts import find_zone, tell_duration, tell_moment, to_line
from dashboard.widgets.options import tell_apart

CAMERA = "camera"
RANGES = {"live": 300.0, "last 5 min": 300.0, "last hour": 3600.0, "last day": 86400.0, "custom": 0.0}
DEFAULT_RANGE, CUSTOM = "last hour", "custom"
DEFAULT_FACES = 3
_TOGETHER = "all"  # in an address: no face of its own
_FACE = re.compile("[0-9]{1,10}")
# A range's ends are those of a picture's points, so that whoever looks meanwhile shares what was read.
_POINTS = 1000
Face = TypeVar("Face", int, tuple[str, int])


def choose_source() -> Any | None:
    """Let the visitor choose a source; None where there is none yet."""
    sources = timeline_queries.list_sources()
    if sources.empty:
        return None
    by_id = {row.source_id: row for row in iterate_rows(sources)}

    def tell(one: str) -> str:
        row = by_id[one]
        return f"{to_line(row.name)} ({'camera' if row.kind == CAMERA else 'recording'})"

    chosen = st.selectbox(
        "Source",
        list(by_id),
        index=_find_index(list(by_id), "source"),
        format_func=tell_apart(by_id, tell, lambda one: f"since {tell_moment(by_id[one].created_at, find_zone())}"),
        key="source",
    )
    assert chosen is not None
    _set_place("source", chosen, "session", "faces", "marker")
    return by_id[chosen]


def choose_session(source_id: str, zone: ZoneInfo) -> dict[str, Any] | None:
    """Let the visitor choose one of a recording's sessions, where there are several."""
    sessions = timeline_queries.list_sessions(source_id)
    if sessions.empty:
        return None
    rows = {row.session_id: row for row in iterate_rows(sessions)}
    chosen = st.selectbox(
        "Session",
        list(rows),
        index=_find_index(list(rows), "session"),
        format_func=lambda one: f"{tell_moment(rows[one].started_at, zone)} · {rows[one].status} · {one[:13]}",
        key=f"session-{source_id}",
    )
    assert chosen is not None
    _set_place("session", chosen, "faces", "marker")
    return timeline_queries.read_session(chosen)


def choose_tracks(session_id: str) -> tuple[int, ...] | None:
    """Let the visitor choose faces of a session; None stands for all of them together."""
    rows = {int(row.track_id): row for row in iterate_rows(timeline_queries.list_tracks(session_id))}
    asked = read_asked_faces()
    shown = None if asked is None else [track_id for of_session, track_id in asked if of_session in ("", session_id)]
    # Without faces in the address, or with others' alone, those that were seen most are shown first.
    first = (
        shown if shown is not None and (not asked or any(one in rows for one in shown)) else list(rows)[:DEFAULT_FACES]
    )
    chosen = _choose_faces(
        f"faces-{session_id}", rows, first, lambda one: f"{to_line(rows[one].name)} ({rows[one].num_faces:,} rows)"
    )
    st.query_params["faces"] = ",".join(map(str, chosen)) or _TOGETHER
    return chosen or None


def choose_camera_faces(source_id: str, start_at: float, end_at: float, zone: ZoneInfo) -> Faces | None:
    """Let the visitor choose faces that a camera saw; None stands for all of them together."""
    key = f"faces-{source_id}"
    asked = tuple(st.session_state.get(key, read_asked_faces() or ()))
    faces = timeline_queries.list_camera_faces(source_id, start_at, end_at, asked)
    rows = {(row.session_id, int(row.track_id)): row for row in iterate_rows(faces)}
    chosen = _choose_faces(key, rows, asked, lambda one: _tell_face(rows[one], zone))
    if any(one not in rows for one in asked):
        st.caption(
            "Faces that were chosen before, or are in the address, and were not seen in this range are left out."
        )
    _set_parameter("faces", ",".join(f"{session_id}.{track_id}" for session_id, track_id in chosen))
    return chosen or None


def read_asked_faces() -> Faces | None:
    """Return the faces that the page's address names, with a session where it names one too; None: it names none.

    A recording's are track ids (``1,2``); a camera's stand behind their sessions (``SESSION.1,SESSION.2``).
    """
    text = st.query_params.get("faces", "")
    pairs = [one.rpartition(".") for one in text.split(",")]
    found = tuple((session_id, int(number)) for session_id, _, number in pairs if _FACE.fullmatch(number))
    return found if found or text == _TOGETHER else None


def _choose_faces(
    key: str, rows: Mapping[Face, Any], first: Iterable[Face], tell: Callable[[Face], str]
) -> tuple[Face, ...]:
    """Let the visitor choose some of ``rows``, beginning with ``first``."""
    # A face that was merged with another is there no more.
    kept = [one for one in st.session_state.get(key, first) if one in rows]
    st.session_state[key] = kept[: timeline_queries.MAX_FACES]
    return tuple(
        st.multiselect(
            "Faces",
            list(rows),
            max_selections=timeline_queries.MAX_FACES,
            format_func=tell,
            placeholder="All faces together",
            key=key,
        )
    )


def choose_zone() -> ZoneInfo:
    """Let the visitor choose the time zone that moments are shown in; the browser's own stands first."""
    own = st.context.timezone or "UTC"
    names = sorted(_list_zones() | {own})
    chosen = st.sidebar.selectbox("Time zone", names, index=names.index(own), key="zone")
    return ZoneInfo(chosen)


@functools.cache
def _list_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())  # looks at hundreds of files


def choose_range(zone: ZoneInfo) -> tuple[str, float, float]:
    """Let the visitor choose a range of wall-clock time; return its name, and its ends in seconds since 1970."""
    asked = st.query_params.get("range", DEFAULT_RANGE)
    name = st.segmented_control(
        "Time", list(RANGES), default=asked if asked in RANGES else DEFAULT_RANGE, required=True, key="range"
    )
    name = name or DEFAULT_RANGE
    st.query_params["range"] = name
    if name == CUSTOM:
        return name, *_choose_custom_range(zone)
    step = max(1.0, RANGES[name] // _POINTS)
    now = time.time() // step * step
    return name, now - RANGES[name], now


def _choose_custom_range(zone: ZoneInfo) -> tuple[float, float]:
    now = datetime.now(zone).replace(microsecond=0, tzinfo=None)
    first, second = st.columns(2)
    with first:
        start = st.datetime_input("From", _read_moment("from", zone) or now.replace(minute=0, second=0), step=60)
    with second:
        end = st.datetime_input("To", _read_moment("to", zone) or now, step=60)
    assert isinstance(start, datetime) and isinstance(end, datetime)
    start_at, end_at = (moment.replace(tzinfo=zone).timestamp() for moment in (start, end))
    st.query_params["from"], st.query_params["to"] = f"{start_at:.0f}", f"{end_at:.0f}"
    if end_at <= start_at:
        st.warning("The range ends before it begins. Showing one minute from its beginning.")
        end_at = start_at + 60
    return start_at, end_at


def _read_moment(name: str, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(st.query_params[name]), zone).replace(tzinfo=None, microsecond=0)
    except (KeyError, ValueError, OverflowError, OSError):
        return None


def _tell_face(face: Any, zone: ZoneInfo) -> str:
    seen = f"{tell_moment(face.start_at, zone, with_date=False)}, {tell_duration(face.end_at - face.start_at)}"
    return f"{to_line(face.name)} ({seen})"


def _find_index(options: list[str], parameter: str) -> int:
    asked = st.query_params.get(parameter)
    return options.index(asked) if asked in options else 0


def _set_place(name: str, value: str, *below: str) -> None:
    """Put where the visitor is into the address; what it said of another place, ``below``, holds no more."""
    if st.query_params.get(name, value) != value:
        for one in below:
            st.query_params.pop(one, None)
    st.query_params[name] = value


def _set_parameter(name: str, value: str) -> None:
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)
