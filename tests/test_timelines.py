"""Timelines from the database equal a plain computation, never have too many points, and keep every peak."""

import math
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from timeline_rows import TICKS_PER_S, add_coverage, add_track, make_probabilities, make_session

from contracts import timelines
from contracts.clocks import SessionClock
from contracts.database import read_transaction
from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW, compute_valence
from contracts.playback import read_faces

NUM_ROWS = 3000
TICKS = np.sort(np.random.default_rng(1).choice(300_000, NUM_ROWS, replace=False)).astype(np.int64)


@pytest.fixture
def session(engine: sa.Engine) -> dict[str, Any]:
    with engine.begin() as connection:
        other = make_session(connection, name="another.mp4")
        add_track(connection, other["session_id"], 1, TICKS[:50], make_probabilities(50, seed=9))
        made = make_session(connection, duration_s=300.0)
        add_track(connection, made["session_id"], 1, TICKS, make_probabilities(NUM_ROWS, seed=1))
        add_track(connection, made["session_id"], 2, TICKS[:700], make_probabilities(700, seed=2))
    return made


def compute_plainly(times_s: Any, probabilities: Any, bucket_s: float) -> list[dict[str, float]]:
    valences = np.array([compute_valence(row) for row in probabilities])
    values = np.column_stack([probabilities, valences])
    points = []
    for bucket in np.unique(np.floor(times_s / bucket_s)):
        inside = np.floor(times_s / bucket_s) == bucket
        point = {
            "num_faces": inside.sum(),
            "num_uncertain": (probabilities[inside].max(axis=1) < UNCERTAIN_BELOW).sum(),
            "first_s": times_s[inside].min(),
            "last_s": times_s[inside].max(),
            "time_s": times_s[inside].mean(),
        }
        for name, column in zip(timelines.VALUES, values[inside].T, strict=True):
            point |= {name: column.mean(), f"{name}_min": column.min(), f"{name}_max": column.max()}
        points.append(point)
    return points


def assert_points_equal(found: list[Any], expected: list[dict[str, float]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert {name: float(one[name]) for name in other} == pytest.approx({k: float(v) for k, v in other.items()})


def test_buckets_equal_a_plain_computation(engine: sa.Engine, session: dict[str, Any]) -> None:
    times_s, probabilities = TICKS / TICKS_PER_S, make_probabilities(NUM_ROWS, seed=1)
    inside = (times_s >= 20.0) & (times_s <= 260.0)
    with read_transaction(engine) as connection:
        points = timelines.read_points(connection, session, 20.0, 260.0, [1], max_points=100)
    expected = compute_plainly(times_s[inside], probabilities[inside], timelines.find_bucket_s(240.0, 100))
    assert_points_equal(points, expected)
    assert 30 < len(points) <= 100


def test_a_peak_of_a_single_frame_is_seen_from_afar(engine: sa.Engine, session: dict[str, Any]) -> None:
    probabilities = make_probabilities(NUM_ROWS, seed=1)
    with read_transaction(engine) as connection:
        points = timelines.read_points(connection, session, 0.0, 300.0, [1], max_points=20)
    for index, name in enumerate(EMOTIONS):
        assert max(point[f"{name}_max"] for point in points) == pytest.approx(probabilities[:, index].max())
        assert min(point[f"{name}_min"] for point in points) == pytest.approx(probabilities[:, index].min())


def test_a_short_range_is_given_row_by_row(engine: sa.Engine, session: dict[str, Any]) -> None:
    times_s, probabilities = TICKS / TICKS_PER_S, make_probabilities(NUM_ROWS, seed=1)
    inside = (times_s >= 100.0) & (times_s <= 103.0)
    with read_transaction(engine) as connection:
        points = timelines.read_points(connection, session, 100.0, 103.0, [1], max_points=100)
    assert [point["time_s"] for point in points] == pytest.approx(times_s[inside].tolist())
    assert [[point[name] for name in EMOTIONS] for point in points] == [
        pytest.approx(row) for row in probabilities[inside].tolist()
    ]
    assert all(point["happy"] == point["happy_min"] == point["happy_max"] for point in points)


def test_tracks_are_told_apart_or_put_together(engine: sa.Engine, session: dict[str, Any]) -> None:
    with read_transaction(engine) as connection:
        apart = timelines.read_points(connection, session, 0.0, 300.0, [2, 1], max_points=100)
        together = timelines.read_points(connection, session, 0.0, 300.0, None, max_points=100)
    assert [point["track_id"] for point in apart] == sorted(point["track_id"] for point in apart)
    assert sum(point["num_faces"] for point in apart if point["track_id"] == 1) == NUM_ROWS
    assert sum(point["num_faces"] for point in apart if point["track_id"] == 2) == 700
    assert {point["track_id"] for point in together} == {timelines.TOGETHER}
    assert sum(point["num_faces"] for point in together) == NUM_ROWS + 700
    both = np.concatenate([make_probabilities(NUM_ROWS, seed=1), make_probabilities(700, seed=2)])
    mean = sum(point["sad"] * point["num_faces"] for point in together) / (NUM_ROWS + 700)
    assert mean == pytest.approx(both[:, EMOTIONS.index("sad")].mean())


def test_a_session_whose_time_base_is_not_known_yet_is_read_all_the_same(
    engine: sa.Engine, session: dict[str, Any]
) -> None:
    early = {**session, "time_base_num": None, "start_pts": None}
    with read_transaction(engine) as connection:
        assert timelines.read_points(connection, early, 50.0, 90.0, [1]) == timelines.read_points(
            connection, session, 50.0, 90.0, [1]
        )


@given(duration_s=st.floats(0.01, 1e8), max_points=st.integers(2, 5000))
def test_buckets_are_few_and_round(duration_s: float, max_points: int) -> None:
    bucket_s = timelines.find_bucket_s(duration_s, max_points)
    assert duration_s / bucket_s <= max_points - 1 + 1e-6
    assert f"{bucket_s:.3e}"[:5] in ("1.000", "2.000", "5.000")


def test_coverage_of_a_range_has_what_reaches_into_it(engine: sa.Engine, session: dict[str, Any]) -> None:
    with engine.begin() as connection:
        stretches = [(0.0, 9.9, "analysed", 99), (10.0, 19.9, "no_face", 99), (20.0, 60.0, "analysed", 400)]
        add_coverage(connection, session["session_id"], stretches)
        found = timelines.list_coverage_between(connection, session["session_id"], 12.0, 15.0)
    # The next one tells where the gap ends.
    assert [row["state"] for row in found] == ["no_face", "analysed"]


def test_sources_are_listed_by_their_newest_session(engine: sa.Engine, session: dict[str, Any]) -> None:
    with read_transaction(engine) as connection:
        found = timelines.list_sources(connection)
        sessions = timelines.list_source_sessions(connection, found[0]["source_id"])
        tracks = timelines.list_tracks_between(connection, {session["session_id"]: (250.0, math.inf)})
        assert timelines.find_duration(connection, session) == 300.0
    assert [source["name"] for source in found] == ["interview.mp4", "another.mp4"]
    assert [row["session_id"] for row in sessions] == [session["session_id"]]
    assert [track["track_id"] for track in tracks] == [1]


def test_wall_clock_times_take_the_camera_s_drift_out() -> None:
    session = {"time_base_num": 1, "time_base_den": 1000, "start_pts": 500, "started_at": 5.0}
    # The camera's clock runs 1 percent slow: 100 s of its own are 101 s of the wall's.
    clock = SessionClock(session, [(500, 1000.0), (100_500, 1101.0)])
    assert clock.to_wall([0.0, 50.0, 100.0]).tolist() == pytest.approx([1000.0, 1050.5, 1101.0])
    assert clock.to_session(clock.to_wall([-3.0, 7.0, 120.0])).tolist() == pytest.approx([-3.0, 7.0, 120.0])
    assert clock.to_wall([102.0]).tolist() == pytest.approx([1103.0])


def test_without_anchors_a_session_s_start_is_what_is_known() -> None:
    clock = SessionClock({"time_base_num": None, "start_pts": None, "started_at": 50.0}, [])
    assert clock.to_wall([2.5]).tolist() == [52.5]


def test_the_faces_of_a_stretch_come_in_order_of_time(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        session = make_session(connection)
        for track_id in (2, 1):
            add_track(connection, session["session_id"], track_id, np.arange(0, 4000, 100), make_probabilities(40))
    with read_transaction(engine) as connection:
        rows = read_faces(connection, session, 0.95, 1.15)
        first = read_faces(connection, session, 0.0, 4.0, limit=3)
    assert [(round(row[0], 6), row[1]) for row in rows] == [(1.0, 1), (1.0, 2), (1.1, 1), (1.1, 2)]
    assert len(rows[0]) == 13 and [row[1] for row in first] == [1, 2, 1]
