"""What a span of a session comes to for each face: levels, and the first reaction. Each function takes a connection.

A **reaction** is the first stretch of ``HOLD_S`` and longer over which an emotion leads that did not lead before: over
the ``BASELINE_S`` before the span, or else in its first row. Its delay is from the span's start to the stretch's. It is
looked for in the first ``SEARCH_S`` of the span; what comes later answers something else.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import sqlalchemy as sa

from contracts.emotions import EMOTIONS, find_label
from contracts.store import Row
from contracts.summaries import MAX_GAP_S
from contracts.timelines import read_points

BASELINE_S, HOLD_S, SEARCH_S = 1.0, 0.3, 60.0
_WHOLE_S = 1e12  # one bucket
_MAX_POINTS = 6000  # so that those of 60 s are 0.02 s long at most
_EXACT_S = 1e-6


def read_levels(
    connection: sa.Connection, session: Row, start_s: float, end_s: float, track_ids: Sequence[int] | None = None
) -> list[Row]:
    """Return the mean, lowest and highest values of each face over a span: one point of ``timelines.read_points``."""
    return read_points(connection, session, start_s, end_s, track_ids, bucket_s=_WHOLE_S)


def read_reactions(
    connection: sa.Connection, session: Row, start_s: float, end_s: float, track_ids: Sequence[int] | None = None
) -> list[Row]:
    """Return ``track_id``, ``delay_s``, ``from_label`` and ``to_label`` of each face that reacts, by track."""
    points = read_points(
        connection, session, max(0.0, start_s - BASELINE_S), min(end_s, start_s + SEARCH_S), track_ids, _MAX_POINTS
    )
    found: list[Row] = []
    for track_id, of_face in groupby(points, key=lambda point: point["track_id"]):
        reaction = _find_reaction(list(of_face), start_s)
        if reaction is not None:
            found.append({"track_id": track_id, **reaction})
    return found


def _find_reaction(points: Sequence[Row], start_s: float) -> Row | None:
    before = [point for point in points if point["time_s"] < start_s - _EXACT_S]
    inside = points[len(before) :]
    if not inside:
        return None
    base = before or inside[:1]
    number = sum(point["num_faces"] for point in base)
    usual, _ = find_label([sum(one[name] * one["num_faces"] for one in base) / number for name in EMOTIONS])
    for label, first_s, last_s in _cut_stretches(inside):
        if label != usual and last_s - first_s >= HOLD_S - _EXACT_S:
            return {"delay_s": max(0.0, first_s - start_s), "from_label": usual, "to_label": label}
    return None


def _cut_stretches(points: Sequence[Row]) -> Iterator[tuple[str, float, float]]:
    """Yield the stretches over which one emotion leads: its name, and the times of the first and the last row."""
    label, first_s, last_s = "", 0.0, 0.0
    for point in points:
        leading, _ = find_label([point[name] for name in EMOTIONS])
        if leading != label or point["time_s"] - last_s > MAX_GAP_S:
            if label:
                yield label, first_s, last_s
            label, first_s = leading, point["time_s"]
        last_s = point["time_s"]
    if label:
        yield label, first_s, last_s
