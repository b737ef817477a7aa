"""The numbers behind a timeline: each track's probabilities over time, cut where a line would tell a lie."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np
import sqlalchemy as sa

from contracts import store
from contracts.emotions import EMOTIONS
from contracts.ledger import ANALYSED
from contracts.persons import list_persons, read_persons
from reports.derived import Floats

MAX_TRACKS = 6
ABSENT = "absent"  # a gap of one track: other faces were analysed, this one was not there
_MAX_SAMPLES = 20_000
_MIN_BREAK_S = 0.5
_BREAK_INTERVALS = 2.5


@dataclass(frozen=True)
class TrackSeries:
    """One track, or the tracks of one person (``contracts.persons``), over time.

    ``times_s`` (N, growing, from the session's start) and ``probabilities`` (N x 7).
    """

    track_id: int
    times_s: Floats
    probabilities: Floats


@dataclass(frozen=True)
class Gap:
    """A stretch of seconds without results; ``state`` says why (``contracts.ledger``, or ``ABSENT``)."""

    start_s: float
    end_s: float
    state: str


def find_shown_tracks(tracks: Iterable[Mapping[str, Any]], limit: int = MAX_TRACKS) -> list[Mapping[str, Any]]:
    """Return the tracks with the most faces first, ``limit`` at most."""
    return sorted(tracks, key=lambda track: (-track["num_faces"], track["track_id"]))[:limit]


def read_series(connection: sa.Connection, session_id: str, limit: int = MAX_TRACKS) -> list[TrackSeries]:
    """Read the ``limit`` tracks with the most faces, in that order; a track without rows is left out.

    A track of more than 20,000 rows is averaged into as many bins of equal time while it is read, so memory is flat.
    """
    persons = read_persons(connection, session_id)
    tracks = find_shown_tracks(list_persons(connection, session_id), limit)
    sums: dict[int, list[list[float]]] = {track["track_id"]: [] for track in tracks}
    bins = {track["track_id"]: (track["start_s"], _find_bin_s(track)) for track in tracks}
    for rows in store.iterate_emotions(connection, session_id, ("track_id", "pts", "time_s", *EMOTIONS)):
        for track_id, pts, time_s, *probabilities in map(tuple, rows):
            track_id = persons.find(track_id, pts)
            if track_id not in sums:
                continue
            start_s, bin_s = bins[track_id]
            bin_index = (time_s - start_s) // bin_s if bin_s else time_s
            samples = sums[track_id]
            if samples and samples[-1][0] == bin_index:
                samples[-1][1:] = [a + b for a, b in zip(samples[-1][1:], (1.0, time_s, *probabilities), strict=True)]
            else:
                samples.append([bin_index, 1.0, time_s, *probabilities])
    return [_to_series(track_id, np.array(samples)) for track_id, samples in sums.items() if samples]


def _find_bin_s(track: Mapping[str, Any]) -> float:
    """Return the bins' width in seconds, or 0 where every row is kept as it is."""
    return (track["end_s"] - track["start_s"]) / _MAX_SAMPLES if track["num_faces"] > _MAX_SAMPLES else 0.0


def _to_series(track_id: int, samples: Floats) -> TrackSeries:
    """Divide the sums (bin, count, time, seven probabilities) by their counts."""
    means = samples[:, 2:] / samples[:, 1:2]
    return TrackSeries(track_id, means[:, 0], means[:, 1:])


def find_gaps(coverage: Sequence[Mapping[str, Any]]) -> list[Gap]:
    """Return the stretches of ``coverage`` (in order of time) that are not analysed, neighbours of one state joined.

    A stretch ends where its last frame is; its gap lasts until the next stretch begins.
    """
    gaps: list[Gap] = []
    for stretch, following in zip_longest(coverage, coverage[1:]):
        if stretch["state"] == ANALYSED:
            continue
        start_s, end_s = stretch["start_s"], stretch["end_s"]
        if following is not None:
            end_s = max(end_s, following["start_s"])
        if gaps and gaps[-1].state == stretch["state"] and gaps[-1].end_s >= start_s:
            start_s = gaps.pop().start_s
        gaps.append(Gap(start_s, end_s, stretch["state"]))
    return gaps


def find_interval(times_s: Floats) -> float:
    """Return the median seconds between samples, 0 where there are fewer than two."""
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.0


def split_segments(times_s: Floats, gaps: Sequence[Gap]) -> list[slice]:
    """Split N samples into the stretches that may be drawn as one.

    It breaks where a gap begins between two samples, and where they are further apart than 2.5 times the median
    interval (at least 0.5 s).
    """
    if not len(times_s):
        return []
    limit_s = max(_BREAK_INTERVALS * find_interval(times_s), _MIN_BREAK_S)
    far_apart = np.flatnonzero(np.diff(times_s) > limit_s) + 1
    at_gaps = np.searchsorted(times_s, np.array([gap.start_s for gap in gaps]))
    cuts = np.union1d(far_apart, at_gaps)
    bounds = [0, *(int(cut) for cut in cuts if 0 < cut < len(times_s)), len(times_s)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def average_bins(series: TrackSeries, bin_s: float) -> TrackSeries:
    """Average the samples that fall into the same ``bin_s`` seconds; bins without samples stay away."""
    if not bin_s:
        return series
    _, index, counts = np.unique(series.times_s // bin_s, return_inverse=True, return_counts=True)
    times_s = np.bincount(index, series.times_s) / counts
    means = [np.bincount(index, column) / counts for column in series.probabilities.T]
    return TrackSeries(series.track_id, times_s, np.column_stack(means))


def pad_segments(series: TrackSeries, segments: Sequence[slice], half_s: float) -> tuple[Floats, Floats]:
    """Return times and probabilities to draw: each segment held for ``half_s`` at both ends, then a row of NaN."""
    times_s: list[Floats] = []
    probabilities: list[Floats] = []
    nothing = np.full((1, len(EMOTIONS)), np.nan)
    for part in segments:
        inside_s, inside = series.times_s[part], series.probabilities[part]
        end_s = inside_s[-1:] + half_s
        times_s += [inside_s[:1] - half_s, inside_s, end_s, end_s]
        probabilities += [inside[:1], inside, inside[-1:], nothing]
    return np.concatenate(times_s), np.concatenate(probabilities)


def find_absences(spans: Sequence[tuple[float, float]], gaps: Sequence[Gap], duration_s: float) -> list[Gap]:
    """Return the stretches of more than 0.5 s that neither a track's ``spans`` (start and end) nor ``gaps`` cover."""
    absences = []
    reached_s = 0.0
    for start_s, end_s in sorted([*spans, *((gap.start_s, gap.end_s) for gap in gaps), (duration_s, duration_s)]):
        if start_s - reached_s > _MIN_BREAK_S:
            absences.append(Gap(reached_s, start_s, ABSENT))
        reached_s = max(reached_s, end_s)
    return absences


def join_spans(gaps: Sequence[Gap], distance_s: float) -> list[tuple[float, float]]:
    """Return the start and end of what ``gaps`` cover, those less than ``distance_s`` apart as one."""
    spans: list[tuple[float, float]] = []
    for start_s, end_s in sorted((gap.start_s, gap.end_s) for gap in gaps):
        if spans and start_s - spans[-1][1] < distance_s:
            start_s, end_s = spans[-1][0], max(spans.pop()[1], end_s)
        spans.append((start_s, end_s))
    return spans
