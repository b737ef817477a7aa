"""Markers and spans: kept as they were given, never overwritten unseen, counted right, and the same out of a file."""

from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from timeline_rows import add_track, make_probabilities, make_session

from contracts import markers, spans, store
from contracts.database import read_transaction, write_transaction
from contracts.emotions import EMOTIONS
from contracts.errors import ConflictError, UsageError
from dashboard.files import marking_files

VALUES: dict[str, Any] = {"start": 3.0, "end": 7.5, "name": "braking", "colour": "teal", "note": "rain"}


@pytest.fixture
def session(engine: sa.Engine) -> dict[str, Any]:
    with engine.begin() as connection:
        return make_session(connection)


def add(connection: sa.Connection, session: dict[str, Any], **values: Any) -> store.Row:
    return markers.add_marker(
        connection, marker_id=store.make_uuid7(), source_id=session["source_id"], session_id=session["session_id"],
        author="Ann", **(VALUES | values),
    )  # fmt: skip


def test_markers_are_kept_and_listed_by_time(engine: sa.Engine, session: dict[str, Any]) -> None:
    with engine.begin() as connection:
        span = add(connection, session)
        moment = add(connection, session, start=1.0, end=None, name="🎬 '; DROP TABLE markers; -- <b>", note="")
        other = make_session(connection, name="another.mp4")
        add(connection, other)
    with read_transaction(engine) as connection:
        listed = markers.list_markers(connection, session["source_id"], session["session_id"])
        assert listed == [moment, span]
        overlapping = markers.list_markers(connection, session["source_id"], session["session_id"], 7.0, 9.0)
        assert overlapping == [span]
        assert markers.list_markers(connection, session["source_id"], None) == []
        assert len(markers.list_all_markers(connection)) == 3


def test_the_second_of_two_who_change_a_marker_is_told_and_nothing_is_lost(
    engine: sa.Engine, session: dict[str, Any]
) -> None:
    with engine.begin() as connection:
        marker_id = add(connection, session)["marker_id"]
    change = lambda connection, **new: markers.change_marker(connection, marker_id, 1, **(VALUES | new))  # noqa: E731
    changed = write_transaction(engine, lambda connection: change(connection, name="hard braking"), 3.0)
    assert (changed["name"], changed["version"], changed["author"]) == ("hard braking", 2, "Ann")
    with pytest.raises(ConflictError, match="'hard braking' now"):
        write_transaction(engine, lambda connection: change(connection, note="mine"), 3.0)
    with pytest.raises(ConflictError, match="changed this marker"):
        write_transaction(engine, lambda connection: markers.remove_marker(connection, marker_id, 1), 3.0)
    with read_transaction(engine) as connection:
        assert markers.read_marker(connection, marker_id) == changed
    write_transaction(engine, lambda connection: markers.remove_marker(connection, marker_id, 2), 3.0)
    with pytest.raises(ConflictError, match="removed this marker"):
        write_transaction(engine, change, 3.0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": " \0 "}, "no name"),
        ({"name": "x" * 10_000}, "10,000 characters"),
        ({"note": "x" * 10_000}, "4,000 at most"),
        ({"colour": "red; DROP"}, "slate, blue"),
        ({"start": -1.0}, "at 0 s or later"),
        ({"start": float("nan")}, "at 0 s or later"),
        ({"end": 3.0}, "end after it begins"),
        ({"end": float("inf")}, "end after it begins"),
        ({"start": 2.5e11, "end": None}, "after the year 3000"),
        ({"end": 1e300}, "after the year 3000"),
    ],
)
def test_what_cannot_be_a_marker_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        markers.check_marker(**(VALUES | wrong))


def test_a_name_s_control_characters_become_spaces() -> None:
    checked = markers.check_marker(**(VALUES | {"name": "a\0b\nc", "note": "1\n2\x07"}))
    assert (checked["name"], checked["note"]) == ("a b c", "1\n2")


def test_levels_and_reactions_equal_a_plain_computation(engine: sa.Engine, session: dict[str, Any]) -> None:
    ticks = np.arange(0, 20_000, 100, dtype=np.int64)
    probabilities = np.full((len(ticks), 7), 0.05)
    happy, neutral, sad = (EMOTIONS.index(name) for name in ("happy", "neutral", "sad"))
    probabilities[:, neutral] = 0.7
    probabilities[120:122] = np.roll(probabilities[120:122], 1 + happy, axis=1)  # 0.1 s: a flicker, no reaction
    probabilities[134:, neutral], probabilities[134:, happy] = 0.05, 0.7  # from 13.4 s on
    probabilities[150:, happy], probabilities[150:, sad] = 0.05, 0.7
    with engine.begin() as connection:
        add_track(connection, session["session_id"], 1, ticks, probabilities)
        add_track(connection, session["session_id"], 2, ticks, make_probabilities(len(ticks)))
    with read_transaction(engine) as connection:
        (reaction,) = spans.read_reactions(connection, session, 11.0, 18.0, [1])
        (level,) = spans.read_levels(connection, session, 11.0, 18.0, [1])
        # Before the stretch that is looked at, the face was happy already; then it is sad.
        (later,) = spans.read_reactions(connection, session, 14.5, 18.0, [1])
        assert spans.read_reactions(connection, session, 11.0, 13.0, [1]) == []
        assert spans.read_reactions(connection, session, 0.0, 5.0, [1]) == []
        assert spans.read_levels(connection, session, 30.0, 40.0, [1]) == []
        both = spans.read_levels(connection, session, 11.0, 18.0)
    assert reaction == {
        "track_id": 1, "delay_s": pytest.approx(2.4), "from_label": "neutral", "to_label": "happy",
    }  # fmt: skip
    assert (later["delay_s"], later["from_label"], later["to_label"]) == (pytest.approx(0.5), "happy", "sad")
    inside = probabilities[110:181]
    for index, name in enumerate(EMOTIONS):
        assert level[name] == pytest.approx(inside[:, index].mean())
        assert level[f"{name}_max"] == pytest.approx(inside[:, index].max())
    assert [one["num_faces"] for one in (level, *both)] == [71, 142]


def test_what_is_taken_out_comes_in_as_it_was() -> None:
    names = ["braking", "=cmd()", "'=x", 'a, "b"; c', "émotion 🎬", "1:2"]
    rows = [
        {**markers.check_marker(1.0 + i / 3, None if i % 2 else 9.1234567, name, "blue", "one\ntwo"), "author": "@x",
         "made_at": 0.0}
        for i, name in enumerate(names)
    ]  # fmt: skip
    kept = [{name: row[name] for name in ("start", "end", "name", "colour", "note")} for row in rows]
    content = marking_files.write_markers(rows, None)
    assert b",=cmd" not in content and b"\n=cmd" not in content
    assert marking_files.read_markers(content, None) == kept
    zone = ZoneInfo("Europe/Berlin")
    walls = [{**row, "start": 1_774_746_000.123456, "end": None} for row in rows]
    read = marking_files.read_markers(marking_files.write_markers(walls, zone), zone)
    assert {row["start"] for row in read} == {1_774_746_000.123456}


@pytest.mark.parametrize(
    "content",
    [
        "name,start,end\nq 1,12.5,75\n",
        "\ufeffName;Start;End\r\nq 1;0:12.5;1:15\r\n;;\r\n",
        "start\tend\tname\twhatever\n12.5\t0:01:15\tq 1\tx\n",
    ],
)
def test_files_as_spreadsheets_write_them_are_read(content: str) -> None:
    (row,) = marking_files.read_markers(content.encode(), None)
    assert (row["name"], row["start"], row["end"], row["colour"]) == ("q 1", 12.5, 75.0, markers.DEFAULT_COLOUR)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "does not name name and start"),
        (b"name,end\na,1\n", "does not name start"),
        (b"name,start\n", "no markers"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"x" * 2_000_000, "2,000,000 bytes"),
        (b'name,start\n"a,1\n', "no CSV"),
        (b"name,start\n" + b"a,1\n" * 2001, "more than 2,000 markers"),
        (
            b"name,start,end\na,1,2\nb,x,2\nc,9,2\n,1,\nd,,\n",
            "line 3: .*'x'.* line 4: .*line 5: .*no name.* line 6: .*empty",
        ),
        (b"name,start\na,1e9\n", "recording ends at 60 s"),
        (b"name,start\na,1:2:3:4\n", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(content: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        marking_files.read_markers(content, None, 60.0)
