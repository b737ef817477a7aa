"""Figures of a sequence of labels: whole events rather than single crops, and what happens around a change.

An event is a run of crops with one label. Counting events instead of crops shows what accuracy hides: a timeline that
flickers may have most of its crops right and hardly one event.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

MIN_IOU = 0.5

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Event:
    """The crops from ``start`` up to, not including, ``end`` all have the label ``class_index``."""

    class_index: int
    start: int
    end: int


def find_events(labels: Labels) -> list[Event]:
    """Return the runs of ``labels`` (T) in order."""
    borders = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    return [Event(int(labels[a]), a, b) for a, b in pairwise(borders) if b > a]


def count_matches(truth: list[Event], predicted: list[Event], min_iou: float = MIN_IOU) -> int:
    """Return how many events are found: same label, intersection over union of at least ``min_iou``.

    Pairs are formed greedily, the greatest overlap first; each event is matched at most once.
    """
    pairs = sorted(
        (
            (_compute_iou(true, found), i, j)
            for i, true in enumerate(truth)
            for j, found in enumerate(predicted)
            if true.class_index == found.class_index
        ),
        key=lambda pair: (-pair[0], pair[1], pair[2]),
    )
    matched_true: set[int] = set()
    matched_found: set[int] = set()
    for iou, i, j in pairs:
        if iou >= min_iou and i not in matched_true and j not in matched_found:
            matched_true.add(i)
            matched_found.add(j)
    return len(matched_true)


def compute_event_f1(truth: Iterable[Labels], predicted: Iterable[Labels]) -> float:
    """Return the F1 of events over clips (N of T crops each, T may differ): 2 · matched / (true + predicted), counted
    over all clips together.
    """
    matched = events = 0
    for true_row, predicted_row in zip(truth, predicted, strict=True):
        true, found = find_events(true_row), find_events(predicted_row)
        matched += count_matches(true, found)
        events += len(true) + len(found)
    return 2 * matched / events if events else 0.0


def count_flips(labels: Labels) -> int:
    """Return how often the label changes from one crop to the next (T)."""
    return int((np.diff(labels) != 0).sum())


def measure_lag(predicted: Labels, truth: Labels, switch_at: NDArray[np.int64]) -> tuple[float | None, float]:
    """Return how late a switch is noticed, in crops, and the share of switches that are never noticed.

    ``predicted`` and ``truth`` are (N T); ``switch_at`` (N) is the first crop of the second emotion. The lag is the
    mean number of crops from there to the first one with the second emotion's label, over the clips that have one; None
    where none has.
    """
    lags = []
    for row, true, switch in zip(predicted, truth, switch_at, strict=True):
        right = np.flatnonzero(row[switch:] == true[switch:])
        if len(right):
            lags.append(int(right[0]))
    return float(np.mean(lags)) if lags else None, 1 - len(lags) / len(predicted)


def _compute_iou(a: Event, b: Event) -> float:
    shared = min(a.end, b.end) - max(a.start, b.start)
    return max(0, shared) / (max(a.end, b.end) - min(a.start, b.start))
