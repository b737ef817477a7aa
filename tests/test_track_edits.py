"""Faces are named, merged, split and put back; timelines, summaries and tables follow, and rows never change."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from timeline_rows import TICKS_PER_S, add_track, make_probabilities, make_session

from contracts import aliases, persons, spans, summaries, timelines, track_edits
from contracts.database import read_transaction, write_transaction
from contracts.emotions import EMOTIONS
from contracts.errors import ConflictError, UsageError
from contracts.schema import emotions, track_aliases, track_names, track_splits
from reports.series import read_series
from reports.tables import iterate_table

TICKS = np.arange(0, 20_000, 100, dtype=np.int64)
NUMBER = len(TICKS)
SPLIT_ID = persons.FIRST_SPLIT_ID + 1


@pytest.fixture
def session(engine: sa.Engine) -> dict[str, Any]:
    """Face 1 from 0 to 20 s, face 2 from 0 to 5 s, face 3 from 10 to 20 s."""
    with engine.begin() as connection:
        made = make_session(connection, duration_s=20.0)
        for track_id, part in ((1, slice(0, 200)), (2, slice(0, 50)), (3, slice(100, 200))):
            add_track(connection, made["session_id"], track_id, TICKS[part], make_probabilities(NUMBER, track_id)[part])
    return made


class Editor:
    """Edits a session as the newest version of its faces."""

    def __init__(self, engine: sa.Engine, session_id: str) -> None:
        self.engine, self.session_id, self.version = engine, session_id, 0

    def __call__(self, edit: Callable[..., str], *arguments: Any, who: str = "Ann") -> str:
        version = self.version
        done = write_transaction(
            self.engine, lambda connection: edit(connection, self.session_id, version, *arguments, who), 3.0
        )
        self.version += 1
        return done

    def rename(self, person_id: int, name: str) -> str:
        return self(track_edits.rename_person, person_id, name)

    def merge(self, *person_ids: int) -> str:
        return self(track_edits.merge_persons, person_ids)

    def split(self, person_id: int, at_s: float) -> str:
        return self(track_edits.split_person, person_id, at_s)

    def undo(self) -> str:
        return self(track_edits.undo_edit)

    def list_faces(self) -> list[tuple[int, str, float, float, int]]:
        with read_transaction(self.engine) as connection:
            rows = persons.list_persons(connection, self.session_id)
        names = ("track_id", "name", "start_s", "end_s", "num_faces")
        return [tuple(row[name] for name in names) for row in rows]

    def read_overlay(self) -> list[Any]:
        with read_transaction(self.engine) as connection:
            return [
                sorted(map(str, connection.execute(sa.select(table)).mappings()))
                for table in (track_aliases, track_splits, track_names)
            ]


@pytest.fixture
def editor(engine: sa.Engine, session: dict[str, Any]) -> Editor:
    return Editor(engine, session["session_id"])


ORIGINAL = [(1, "Face 1", 0.0, 19.9, 200), (2, "Face 2", 0.0, 4.9, 50), (3, "Face 3", 10.0, 19.9, 100)]


def test_a_merged_face_is_one_in_lists_timelines_summaries_and_tables(
    engine: sa.Engine, session: dict[str, Any], editor: Editor
) -> None:
    editor.merge(2, 3)
    assert editor.list_faces() == [ORIGINAL[0], (2, "Face 2", 0.0, 19.9, 150)]
    with read_transaction(engine) as connection:
        points = timelines.read_points(connection, session, 0.0, 20.0, [2])
        apart = timelines.read_points(connection, session, 0.0, 20.0, [1])
        shares = summaries.read_shares(connection, session, 0.0, 20.0, [2])
        (quality,) = summaries.read_quality(connection, session, 0.0, 20.0, [2])
        (level,) = spans.read_levels(connection, session, 0.0, 20.0, [2])
        episodes = summaries.read_episodes(connection, session, 0.0, 20.0)
        series = {one.track_id: len(one.times_s) for one in read_series(connection, session["session_id"])}
        table = [row for batch in iterate_table(connection, session) for row in batch.to_pylist()]
        rows = connection.execute(sa.select(emotions.c.track_id, sa.func.count()).group_by(emotions.c.track_id)).all()
    joined = np.concatenate([make_probabilities(NUMBER, 2)[:50], make_probabilities(NUMBER, 3)[100:]])
    assert [[point[name] for name in EMOTIONS] for point in points] == [pytest.approx(row) for row in joined.tolist()]
    assert {point["track_id"] for point in points} == {2} and len(apart) == 200
    assert sum(share["num_rows"] for share in shares) == quality["num_rows"] == level["num_faces"] == 150
    assert {episode["track_id"] for episode in episodes} == {1, 2}
    assert series == {1: 200, 2: 150}
    assert {(row["track_id"], row["joined_id"]) for row in table} == {(1, 1), (2, 2), (3, 2)}
    assert sorted(map(tuple, rows)) == [(1, 200), (2, 50), (3, 100)]  # the rows are as they were


def test_a_split_face_is_two_in_lists_timelines_summaries_and_tables(
    engine: sa.Engine, session: dict[str, Any], editor: Editor
) -> None:
    editor.split(1, 7.0)
    assert editor.list_faces() == [
        (1, "Face 1", 0.0, 6.9, 70), *ORIGINAL[1:], (SPLIT_ID, "Face 1.2", 7.0, 19.9, 130),
    ]  # fmt: skip
    plain = make_probabilities(NUMBER, 1)
    with read_transaction(engine) as connection:
        for person_id, part in ((1, slice(0, 70)), (SPLIT_ID, slice(70, 200))):
            points = timelines.read_points(connection, session, 0.0, 20.0, [person_id])
            assert [point["time_s"] for point in points] == pytest.approx((TICKS[part] / TICKS_PER_S).tolist())
            assert [point["sad"] for point in points] == pytest.approx(plain[part, EMOTIONS.index("sad")].tolist())
            shares = summaries.read_shares(connection, session, 0.0, 20.0, [person_id])
            assert sum(share["num_rows"] for share in shares) == len(points)
        both = timelines.read_points(connection, session, 0.0, 20.0, [1, SPLIT_ID, 2], max_points=20)
        together = timelines.read_points(connection, session, 0.0, 20.0)
        series = {one.track_id: len(one.times_s) for one in read_series(connection, session["session_id"])}
        table = [row for batch in iterate_table(connection, session) for row in batch.to_pylist()]
    counts = {one: sum(p["num_faces"] for p in both if p["track_id"] == one) for one in (1, 2, SPLIT_ID)}
    assert counts == {1: 70, 2: 50, SPLIT_ID: 130}
    assert sum(point["num_faces"] for point in together) == 350
    assert series == {1: 70, 2: 50, 3: 100, SPLIT_ID: 130}
    assert sum(row["joined_id"] == SPLIT_ID for row in table) == 130


def test_merged_faces_are_split_where_they_meet_and_within(editor: Editor) -> None:
    editor.rename(2, "Bo")
    editor.merge(3, 2, 1)  # face 3 begins last, and is what all go by
    assert editor.list_faces() == [(3, "Bo", 0.0, 19.9, 350)]
    editor.split(3, 10.0)  # between faces 2 and 3, and through face 1
    assert editor.list_faces() == [(1, "Face 1", 0.0, 9.9, 150), (3, "Bo", 10.0, 19.9, 200)]
    editor.split(3, 15.0)
    assert [row[2:] for row in editor.list_faces()] == [(0.0, 9.9, 150), (10.0, 14.9, 100), (15.0, 19.9, 100)]
    editor.merge(1, editor.list_faces()[-1][0])
    assert [row[4] for row in editor.list_faces()] == [250, 100]


def test_everything_can_be_undone_the_last_first(engine: sa.Engine, editor: Editor) -> None:
    with engine.begin() as connection:
        aliases.record_aliases(connection, editor.session_id, [(3, 2, "same place")], aliases.AT_SEAMS)
    stages = [editor.read_overlay()]
    for edit in (
        lambda: editor.rename(1, "Ann"), lambda: editor.split(2, 12.0), lambda: editor.merge(2, 1),
        lambda: editor.rename(2, ""), lambda: editor.split(2, 3.0), lambda: editor.merge(3, SPLIT_ID),
    ):  # fmt: skip
        edit()
        stages.append(editor.read_overlay())
    for stage in reversed(stages[:-1]):
        assert editor.undo().startswith("undone: ")
        assert editor.read_overlay() == stage
    with pytest.raises(UsageError, match="nothing to undo"):
        editor.undo()
    editor.rename(1, "Ann again")
    editor.undo()
    assert editor.read_overlay() == stages[0]


def test_the_second_of_two_who_edit_a_session_s_faces_is_told_and_nothing_is_lost(editor: Editor) -> None:
    other = Editor(editor.engine, editor.session_id)
    editor.rename(1, "Ann <b>")
    before = editor.read_overlay()
    for edit in (lambda: other.merge(1, 2), lambda: other.split(1, 5.0), lambda: other.rename(1, "Bea"), other.undo):
        with pytest.raises(ConflictError, match=r"Face 1 is called Ann <b> \(by Ann\)"):
            edit()
    assert editor.read_overlay() == before
    other.version = 1
    other.merge(1, 2)
    assert editor.list_faces()[0] == (1, "Ann <b>", 0.0, 19.9, 250)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Bo", "Another face of this session is called 'Bo'"),
        ("face 2", "Choose another name"),
        ("All faces", "Choose another name"),
        ("x" * 10_000, "10,000 characters"),
        ("a\u202eb", "not seen"),
    ],
)
def test_names_that_would_be_mistaken_are_refused(editor: Editor, name: str, said: str) -> None:
    editor.rename(2, "Bo")
    with pytest.raises(UsageError, match=said):
        editor.rename(1, name)


@pytest.mark.parametrize(
    "edit",
    [
        lambda editor: editor.merge(1),
        lambda editor: editor.merge(1, 1),
        lambda editor: editor.merge(),
        lambda editor: editor.merge(1, 99),
        lambda editor: editor.split(1, 0.0),
        lambda editor: editor.split(1, 20.0),
        lambda editor: editor.split(99, 5.0),
        lambda editor: editor.rename(99, "x"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(editor: Editor, edit: Callable[[Editor], str]) -> None:
    before = editor.read_overlay()
    with pytest.raises(UsageError):
        edit(editor)
    assert editor.read_overlay() == before and editor.list_faces() == ORIGINAL


def test_of_two_edits_at_the_same_time_one_is_done_and_the_other_told(editor: Editor) -> None:
    barrier = threading.Barrier(4)

    def rename(name: str) -> str:
        one = Editor(editor.engine, editor.session_id)
        barrier.wait()
        try:
            return one.rename(1, name)
        except ConflictError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(rename, ["Ann", "Bea", "Cy", "Di"]))
    done = [one for one in told if one.startswith("Face 1 is called")]
    assert len(done) == 1 and all(done[0] in one for one in told)
    assert editor.list_faces()[0][1] == done[0].removeprefix("Face 1 is called ")


def test_a_session_with_thousands_of_joined_faces_is_read(
    engine: sa.Engine, session: dict[str, Any], editor: Editor
) -> None:
    with engine.begin() as connection:
        pairs = [(10_000 + 2 * i, 10_001 + 2 * i, "made") for i in range(3000)]
        aliases.record_aliases(connection, session["session_id"], pairs, aliases.AT_SEAMS)
    editor.merge(2, 3)
    with read_transaction(engine) as connection:
        shares = summaries.read_shares(connection, session, 0.0, 20.0)
        episodes = summaries.read_episodes(connection, session, 0.0, 20.0)
        points = timelines.read_points(connection, session, 0.0, 20.0, [2])
    assert sum(share["num_rows"] for share in shares) == 350 and len(points) == 150
    assert {episode["track_id"] for episode in episodes} == {1, 2}


def test_a_seam_that_an_analyst_took_apart_stays_apart(engine: sa.Engine, editor: Editor) -> None:
    seams = [(3, 2, "same place")]
    with engine.begin() as connection:
        aliases.record_aliases(connection, editor.session_id, seams, aliases.AT_SEAMS)
    editor.split(2, 10.0)
    assert editor.list_faces() == ORIGINAL
    # A part is read again, and its seams are joined anew.
    with engine.begin() as connection:
        aliases.remove_aliases(connection, editor.session_id, aliases.AT_SEAMS)
        aliases.record_aliases(connection, editor.session_id, seams, aliases.AT_SEAMS)
    assert editor.list_faces() == ORIGINAL


def test_an_edit_can_be_undone_after_a_hundred_that_were(engine: sa.Engine, editor: Editor) -> None:
    for number in range(60):
        editor.rename(1, f"name {number}")
    for number in reversed(range(60)):
        assert f"name {number}" in editor.undo()
    with pytest.raises(UsageError, match="nothing to undo"):
        editor.undo()


def test_the_faces_of_a_range_are_whole_persons(engine: sa.Engine, session: dict[str, Any], editor: Editor) -> None:
    editor.rename(2, "Bea")
    editor.merge(2, 3)  # Bea is there from 0 to 5 s, and again from 10 s on
    editor.split(1, 4.0)

    def list_between(start_s: float, end_s: float) -> list[tuple[str, int]]:
        with read_transaction(engine) as connection:
            rows = timelines.list_tracks_between(connection, {session["session_id"]: (start_s, end_s)})
        return [(row["name"], row["num_faces"]) for row in rows]

    assert list_between(0.0, float("inf")) == [("Face 1.2", 160), ("Bea", 150), ("Face 1", 40)]
    assert list_between(12.0, 13.0) == [("Face 1.2", 160), ("Bea", 150)]
    assert list_between(0.0, 1.0) == [("Bea", 150), ("Face 1", 40)]
    assert list_between(30.0, 40.0) == []


def test_thousands_of_joined_tracks_are_their_persons(engine: sa.Engine, session: dict[str, Any]) -> None:
    """Parts of a long recording are joined at their seams: each row finds its person at once."""
    others = [(track_id, track_id - track_id % 4, "same place") for track_id in range(100, 8000) if track_id % 4]
    with engine.begin() as connection:
        aliases.record_aliases(connection, session["session_id"], [(3, 1, "same place"), *others], aliases.AT_SEAMS)
        rows = make_probabilities(10, 7)
        for track_id in (4003, 7997):
            add_track(connection, session["session_id"], track_id, TICKS[:10], rows)
    with read_transaction(engine) as connection:
        found = summaries.read_shares(connection, session, 0.0, 20.0, [1, 2, 4000, 7996])
        counted = {one: sum(row["num_rows"] for row in found if row["track_id"] == one) for one in (1, 2, 4000, 7996)}
        assert counted == {1: NUMBER + 100, 2: 50, 4000: 10, 7996: 10}
        together = summaries.read_shares(connection, session, 0.0, 20.0)
        assert sum(row["num_rows"] for row in together) == NUMBER + 170
