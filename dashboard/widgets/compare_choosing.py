"""What the page Compare is about: faces of one session or camera, sessions, or spans; kept in the page's address."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from contracts import store
from dashboard.charts.panels import iterate_rows
from dashboard.queries import compare_queries, marking_queries, timeline_queries
from dashboard.reading.comparing import MAX_STRIPS, Strip
from dashboard.texts import tell_duration, tell_moment, tell_place, to_line, to_markdown
from dashboard.widgets import choosing
from dashboard.widgets.options import tell_apart

FACES, SESSIONS, SPANS = "faces", "sessions", "spans"
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
    return _tell_apart(choose(zone))


def _tell_apart(strips: Sequence[Strip]) -> list[Strip]:
    """Number strips of one name, so that each is seen."""
    counts, seen = Counter(one.name for one in strips), Counter[str]()
    found = []
    for one in strips:
        seen[one.name] += 1
        found.append(one._replace(name=f"{one.name} ({seen[one.name]})") if counts[one.name] > 1 else one)
    return found


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
    rows = {row.session_id: row for row in iterate_rows(compare_queries.list_sessions())}

    def tell(one: str) -> str:
        return f"{to_line(rows[one].source)} · {tell_moment(rows[one].started_at, zone)}"

    chosen = _choose_many("Sessions", SESSIONS, rows, tell)
    whole = {one: _make_strip(rows[one], tell(one)) for one in chosen}
    marks = {one: _list_markers(strip) for one, strip in whole.items()}
    names = Counter(name for of_one in marks.values() for name in {row["name"] for row in of_one})
    aligned = _choose_alignment(
        [_START, *(name for name, _ in names.most_common())],
        lambda one: one if one == _START else f"{to_line(one)} (in {names[one]} of {len(chosen)})",
    )
    strips = []
    for one, strip in whole.items():
        starts = (
            [strip.start] if aligned == _START else [mark["start"] for mark in marks[one] if mark["name"] == aligned]
        )
        if starts:
            strips.append(strip._replace(origin=starts[0]))
        else:
            st.caption(f"Left out, as it has no such marker: {to_markdown(rows[one].source)}")
    return strips


def _make_strip(row: Any, told: str) -> Strip:
    """Return the strip of a whole session: in seconds of a recording, or in a camera's seconds since 1970."""
    if row.kind == choosing.CAMERA:
        end = time.time() if row.ended_at is None else row.ended_at
        return Strip(told, row.source_id, None, None, row.started_at, max(end, row.started_at + 0.2), row.started_at)
    end = max(timeline_queries.read_session(row.session_id)["duration_s"], 0.2)
    return Strip(to_line(row.source), row.source_id, row.session_id, None, 0.0, end, 0.0)


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

    chosen = _choose_many("Spans and markers", SPANS, rows, tell)
    first, second = st.columns(2)
    before = first.number_input("Seconds before", 0.0, 600.0, 1.0, 1.0, key="seconds-before")
    after = second.number_input(
        "Seconds after a marker without an end", 0.5, 3600.0, 10.0, 1.0, key="seconds-after"
    )  # fmt: skip
    strips = []
    for one in chosen:
        row = rows[one]
        end = row["end"] if row["end"] is not None else row["start"] + after
        name = f"{to_line(row['name'], 30)} · {to_line(row['source'], 30)}"
        start = max(0.0, row["start"] - before)
        strips.append(Strip(name, row["source_id"], row["session_id"], None, start, end, row["start"]))
    return strips


def _choose_many(label: str, parameter: str, rows: dict[str, Any], tell: Callable[[str], str]) -> list[str]:
    key = f"compare-{parameter}"
    asked = st.session_state.get(key, st.query_params.get(parameter, "").split(","))
    st.session_state[key] = [one for one in asked if one in rows][:MAX_STRIPS]
    chosen = st.multiselect(
        label,
        list(rows),
        max_selections=MAX_STRIPS,
        format_func=tell_apart(rows, tell),
        key=key,
        placeholder="Choose two or more",
    )
    if chosen:
        st.query_params[parameter] = ",".join(chosen)
    else:
        st.query_params.pop(parameter, None)
    return list(chosen)
