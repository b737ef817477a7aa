"""What the page Compare is about: faces of one session or camera, sessions, or spans; kept in the page's address."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from contracts import store
from dashboard.queries import compare_queries, marking_queries, timeline_queries
from dashboard.reading.comparing import MAX_STRIPS, NUM_BINS, Strip
from dashboard.reading.rows import iterate_rows
from dashboard.texts import tell_duration, tell_moment, tell_place, to_line, to_markdown
from dashboard.widgets import choosing
from dashboard.widgets.options import tell_apart

FACES, SESSIONS, SPANS = "faces", "sessions", "spans"
# A session that goes on is compared up to such a moment, so that what was read is good for a while.
_STEP_S = 30.0
_ID = re.compile("[0-9a-f-]{36}")
_START, _FIRST_SEEN = "the start", "each one's first row"


def choose_strips(zone: ZoneInfo) -> list[Strip]:
    """Let the visitor choose what to compare."""
    asked = st.query_params.get("compare", FACES)
    kind = st.segmented_control(
        "Compare", [FACES, SESSIONS, SPANS], default=asked if asked in (FACES, SESSIONS, SPANS) else FACES,
        required=True, key="compare",
    )  # fmt: skip
    st.query_params["compare"] = kind or FACES
    choose = {SESSIONS: _choose_sessions, SPANS: _choose_spans}.get(kind or FACES, _choose_faces)
    return choose(zone)


def _choose_faces(zone: ZoneInfo) -> list[Strip]:
    first, second = st.columns(2)
    with first:
        source = choosing.choose_source()
    if source is None:
        return []
    if source.kind == choosing.CAMERA:
        _, start, end = choosing.choose_range(zone)
        chosen = choosing.choose_camera_faces(source.source_id, start, end, zone) or ()
        session_id, shown_zone = None, zone
        table = timeline_queries.list_camera_faces(source.source_id, start, end, chosen)
        seen = {(row.session_id, int(row.track_id)): (to_line(row.name), row.start_at) for row in iterate_rows(table)}
        marks = marking_queries.list_markers(source.source_id, None, start, end)
    else:
        with second:
            session = choosing.choose_session(source.source_id, zone)
        if session is None:
            return []
        session_id, shown_zone = session["session_id"], None
        start, end = 0.0, max(session["duration_s"], 0.2)
        chosen = tuple((session_id, one) for one in choosing.choose_tracks(session_id) or ())
        table = timeline_queries.list_tracks(session_id)
        seen = {(session_id, int(row.track_id)): (to_line(row.name), row.start_s) for row in iterate_rows(table)}
        marks = marking_queries.list_markers(source.source_id, session_id)
    origin = _choose_origin([_START, _FIRST_SEEN], marks, shown_zone)
    return [
        Strip(
            seen[face][0], source.source_id, session_id, (face,), start, end,
            {_START: start, _FIRST_SEEN: seen[face][1]}.get(origin, 0.0) if isinstance(origin, str) else origin,
        )
        for face in chosen
        if face in seen
    ]  # fmt: skip


def _choose_origin(words: list[str], marks: Sequence[store.Row], zone: ZoneInfo | None) -> str | float:
    """Let the visitor choose what is 0 s: a word, or the beginning of a marker."""
    by_id = {row["marker_id"]: row for row in marks}
    chosen = _choose_alignment([*words, *by_id], lambda one: one if one in words else _tell_marker(by_id[one], zone))
    return float(by_id[chosen]["start"]) if chosen in by_id else chosen


def _choose_alignment(options: list[str], tell: Callable[[str], str]) -> str:
    """Let the visitor choose what the strips are aligned at; the page's address keeps it."""
    asked = st.session_state.get("aligned-at", st.query_params.get("aligned"))
    st.session_state["aligned-at"] = asked if asked in options else options[0]
    chosen = str(st.selectbox("Aligned at", options, format_func=tell_apart(options, tell), key="aligned-at"))
    if chosen == options[0]:
        st.query_params.pop("aligned", None)
    else:
        st.query_params["aligned"] = chosen
    return chosen


def _tell_marker(row: store.Row, zone: ZoneInfo | None) -> str:
    return f"{to_line(row['name'])} · {tell_place(row['start'], zone)}"


def _choose_sessions(zone: ZoneInfo) -> list[Strip]:
    asked = [one for one in _read_asked(SESSIONS) if _ID.fullmatch(one)]
    rows = {row.session_id: row for row in iterate_rows(compare_queries.list_sessions(tuple(asked[:MAX_STRIPS])))}
    chosen = _choose_many(
        "Sessions",
        SESSIONS,
        rows,
        lambda one: to_line(rows[one].source),
        lambda one: f"{to_line(rows[one].source)} · {tell_moment(rows[one].started_at, zone)}",
    )
    whole = {one: _make_strip(rows[one], name) for one, name in chosen.items()}
    marks = {one: _list_markers(strip) for one, strip in whole.items()}
    names = Counter(name for of_one in marks.values() for name in {row["name"] for row in of_one})
    aligned = _choose_alignment(
        [_START, *(name for name, _ in names.most_common())],
        lambda one: one if one == _START else f"{to_line(one)} (in {names[one]} of {len(chosen)})",
    )
    strips = []
    for one, strip in whole.items():
        named = [mark["start"] for mark in marks[one] if mark["name"] == aligned]
        origins = [strip.start] if aligned == _START else named
        if origins:
            strips.append(strip._replace(origin=origins[0]))
        else:
            st.caption(f"Left out, as it has no such marker: {to_markdown(strip.name)}")
    return strips


def _make_strip(row: Any, name: str) -> Strip:
    """Return the strip of a whole session: in seconds of a recording, or in a camera's seconds since 1970."""
    if row.kind == choosing.CAMERA:
        start, end = row.started_at, row.ended_at
        if end is None:  # it ends now, but not at another moment with each run of the page
            step = max(_STEP_S, (time.time() - start) // NUM_BINS)
            end = time.time() // step * step
        return Strip(name, row.source_id, None, None, start, max(end, start + 0.2), start, row.session_id)
    end = max(timeline_queries.read_session(row.session_id)["duration_s"], 0.2)
    return Strip(name, row.source_id, row.session_id, None, 0.0, end, 0.0)


def _list_markers(strip: Strip) -> list[store.Row]:
    if strip.session_id is None:
        return marking_queries.list_markers(strip.source_id, None, strip.start, strip.end)
    return marking_queries.list_markers(strip.source_id, strip.session_id)


def _choose_spans(zone: ZoneInfo) -> list[Strip]:
    rows = {row["marker_id"]: row for row in compare_queries.list_all_markers()}
    if not rows:
        st.info("There are no markers yet. Add some on the page Timeline.", icon=":material/flag:")
        return []

    def tell(one: str) -> str:
        row = rows[one]
        of_camera = zone if row["kind"] == choosing.CAMERA else None
        length = "" if row["end"] is None else f", {tell_duration(row['end'] - row['start'])}"
        return f"{to_line(row['name'])} · {to_line(row['source'])} · {tell_place(row['start'], of_camera)}{length}"

    chosen = _choose_many(
        "Spans and markers",
        SPANS,
        rows,
        lambda one: f"{to_line(rows[one]['name'], 30)} · {to_line(rows[one]['source'], 30)}",
        tell,
    )
    first, second = st.columns(2)
    before = first.number_input("Seconds before", 0.0, 600.0, 1.0, 1.0, key="seconds-before")
    after = second.number_input(
        "Seconds after a marker without an end", 0.5, 3600.0, 10.0, 1.0, key="seconds-after"
    )  # fmt: skip
    strips = []
    for one, name in chosen.items():
        row = rows[one]
        end = row["end"] if row["end"] is not None else row["start"] + after
        start = max(0.0, row["start"] - before)
        strips.append(Strip(name, row["source_id"], row["session_id"], None, start, end, row["start"]))
    return strips


def _choose_many(
    label: str, parameter: str, rows: Mapping[str, Any], name: Callable[[str], str], tell: Callable[[str], str]
) -> dict[str, str]:
    """Let the visitor choose some of ``rows`` by the words of ``tell``; return a name for each.

    Those are short where ``name`` tells the chosen ones apart, and else the words that each was chosen by.
    """
    key, tell = f"compare-{parameter}", tell_apart(rows, tell)
    asked = _read_asked(parameter)
    if gone := sum(bool(one) and one not in rows for one in asked):
        st.caption(f"{gone} of what was to be compared {'is' if gone == 1 else 'are'} not there any more.")
    st.session_state[key] = [one for one in asked if one in rows][:MAX_STRIPS]
    chosen = st.multiselect(
        label, list(rows), max_selections=MAX_STRIPS, format_func=tell, key=key, placeholder="Choose two or more"
    )
    if chosen:
        st.query_params[parameter] = ",".join(chosen)
    else:
        st.query_params.pop(parameter, None)
    counts = Counter(map(name, chosen))
    return {one: name(one) if counts[name(one)] == 1 else tell(one) for one in chosen}


def _read_asked(parameter: str) -> Sequence[str]:
    """Return what is chosen, or what the page's address names at first."""
    asked: Sequence[str] = st.session_state.get(f"compare-{parameter}", st.query_params.get(parameter, "").split(","))
    return asked
