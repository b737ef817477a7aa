"""Shares, transitions, episodes and quality from the database equal a plain computation."""

from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from timeline_rows import TICKS_PER_S, add_track, make_probabilities, make_session

from contracts import summaries
from contracts.database import read_transaction
from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW, compute_valence, find_label

# Ten rows a second, with a hole of five seconds.
TICKS = np.concatenate([np.arange(0, 30_000, 100), np.arange(35_000, 60_000, 100)]).astype(np.int64)
TIMES_S = TICKS / TICKS_PER_S
ROWS = {1: make_probabilities(len(TICKS), seed=4), 2: make_probabilities(len(TICKS), seed=5)}
LABELS = {track: [find_label(row)[0] for row in rows] for track, rows in ROWS.items()}


@pytest.fixture
def session(engine: sa.Engine) -> dict[str, Any]:
    with engine.begin() as connection:
        made = make_session(connection, duration_s=60.0)
        for track, rows in ROWS.items():
            add_track(connection, made["session_id"], track, TICKS, rows)
    return made


def list_pairs(track: int) -> list[tuple[str, str, float]]:
    """Return the label before, the label after, and the seconds between neighbouring rows of a track."""
    return [
        (before, after, float(later - sooner))
        for (before, after), (sooner, later) in zip(pairwise(LABELS[track]), pairwise(TIMES_S), strict=True)
        if later - sooner <= summaries.MAX_GAP_S
    ]


def test_shares_equal_a_plain_computation(engine: sa.Engine, session: dict[str, Any]) -> None:
    with read_transaction(engine) as connection:
        apart = summaries.read_shares(connection, session, 0.0, 60.0, [1, 2])
        together = summaries.read_shares(connection, session, 0.0, 60.0)
    for share in apart:
        track, label = share["track_id"], share["label"]
        assert share["num_rows"] == LABELS[track].count(label)
        assert share["seconds"] == pytest.approx(sum(held for name, _, held in list_pairs(track) if name == label))
    assert sum(share["num_rows"] for share in apart) == sum(share["num_rows"] for share in together) == 2 * len(TICKS)
    # The hole is nobody's time.
    assert sum(share["seconds"] for share in together) == pytest.approx(2 * (29.9 + 24.9))


def test_transitions_equal_a_plain_computation(engine: sa.Engine, session: dict[str, Any]) -> None:
    with read_transaction(engine) as connection:
        found = summaries.read_transitions(connection, session, 0.0, 60.0, [1, 2])
    expected: dict[tuple[int, str, str], int] = {}
    for track in ROWS:
        for before, after, _ in list_pairs(track):
            if before != after:
                expected[track, before, after] = expected.get((track, before, after), 0) + 1
    assert {(row["track_id"], row["from_label"], row["to_label"]): row["number"] for row in found} == expected


def test_episodes_equal_a_plain_computation(engine: sa.Engine, session: dict[str, Any]) -> None:
    with read_transaction(engine) as connection:
        found = summaries.read_episodes(connection, session, 0.0, 60.0, min_s=0.3)
    expected = []
    for track, rows in ROWS.items():
        keyed = zip(TIMES_S > 32, LABELS[track], TIMES_S, [max(row) for row in rows], strict=True)
        for (_, label), group in groupby(keyed, key=lambda row: (row[0], row[1])):
            members = list(group)
            start_s, end_s = members[0][2], members[-1][2]
            if end_s - start_s >= 0.3:
                expected.append((track, label, start_s, end_s, len(members), max(one[3] for one in members)))
    names = ("track_id", "label", "start_s", "end_s", "num_rows", "peak")
    assert [tuple(row[name] for name in names) for row in found] == [
        (*one[:2], *map(pytest.approx, one[2:])) for one in sorted(expected, key=lambda one: (one[2], one[0]))
    ]
    assert len(found) > 5


def test_quality_equals_a_plain_computation(engine: sa.Engine, session: dict[str, Any]) -> None:
    with read_transaction(engine) as connection:
        (found,) = summaries.read_quality(connection, session, 10.0, 20.0, [2])
    inside = ROWS[2][(TIMES_S >= 10.0) & (TIMES_S <= 20.0)]
    assert found["num_rows"] == len(inside)
    assert found["uncertain"] == pytest.approx((inside.max(axis=1) < UNCERTAIN_BELOW).mean())
    assert found["confidence"] == pytest.approx(inside.max(axis=1).mean())
    assert found["valence"] == pytest.approx(np.mean([compute_valence(row) for row in inside]))
    assert found["quality"] == pytest.approx(0.8)


def test_a_tie_goes_to_the_first_emotion(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        session = make_session(connection)
        add_track(connection, session["session_id"], 1, TICKS[:2], np.full((2, len(EMOTIONS)), 1 / 7))
        (share,) = summaries.read_shares(connection, session, 0.0, 60.0, [1])
    assert share["label"] == EMOTIONS[0] == find_label([1 / 7] * 7)[0]
