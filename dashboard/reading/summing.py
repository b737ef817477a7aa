"""What a stretch of time comes to, as tables: parts of it, from one or several sessions, put together."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from contracts.emotions import EMOTIONS
from contracts.persons import NOBODY, Persons
from contracts.store import Row
from contracts.timelines import TOGETHER
from reports.series import Gap

_QUALITY = ["uncertain", "confidence", "valence", "quality", "detection_score"]


class Part(NamedTuple):
    """What the database says of one session. ``name`` names its tracks, ``place`` turns its seconds into the view's."""

    shares: Sequence[Row]
    transitions: Sequence[Row]
    episodes: Sequence[Row]
    quality: Sequence[Row]
    name: Callable[[int], str]
    place: Callable[[float], float]


class Summary(NamedTuple):
    """The tables of a summary.

    ``shares``: face, label, rows, seconds, share (of the face's seconds). ``transitions``: emotions by emotions, from
    rows to columns. ``episodes``: face, label, start, end, seconds, peak, mean. ``quality``: face, rows and means.
    ``coverage``: state, seconds, share.
    """

    shares: pd.DataFrame
    transitions: pd.DataFrame
    episodes: pd.DataFrame
    quality: pd.DataFrame
    coverage: pd.DataFrame


def make_summary(parts: Sequence[Part], gaps: Sequence[Gap], start: float, end: float) -> Summary:
    """Return the tables of ``parts``, with ``gaps`` in the view's seconds."""
    return Summary(_add_shares(parts), _add_transitions(parts), _list_episodes(parts), _add_quality(parts),
                   _cover(gaps, start, end))  # fmt: skip


def name_track(track_id: int, session_id: str = "", persons: Persons = NOBODY) -> str:
    """Return what a face is called; where several sessions count theirs from 1, with the end of its session's id."""
    name = "All faces" if track_id == TOGETHER else persons.name(track_id)
    return f"{name} of {session_id[-4:]}" if session_id and track_id != TOGETHER else name


def _add_shares(parts: Sequence[Part]) -> pd.DataFrame:
    rows = [
        {"face": part.name(row["track_id"]), "label": row["label"], "rows": row["num_rows"], "seconds": row["seconds"]}
        for part in parts
        for row in part.shares
    ]
    table = pd.DataFrame(rows, columns=["face", "label", "rows", "seconds"])
    table = table.groupby(["face", "label"], as_index=False, sort=False).sum()
    totals = table.groupby("face")[["rows", "seconds"]].transform("sum")
    # Rows that stand alone hold no time; they are counted instead.
    by_time, by_row = table["seconds"] / totals["seconds"], table["rows"] / totals["rows"]
    table["share"] = by_time.where(totals["seconds"] > 0, by_row)
    order = table["label"].map({name: index for index, name in enumerate(EMOTIONS)})
    return table.assign(order=order).sort_values(["face", "order"], ignore_index=True).drop(columns="order")


def _add_transitions(parts: Sequence[Part]) -> pd.DataFrame:
    counts = pd.DataFrame(0, index=list(EMOTIONS), columns=list(EMOTIONS), dtype=np.int64)
    for part in parts:
        for row in part.transitions:
            counts.loc[row["from_label"], row["to_label"]] += int(row["number"])
    return counts


def _list_episodes(parts: Sequence[Part]) -> pd.DataFrame:
    rows = [
        {
            "face": part.name(row["track_id"]), "label": row["label"], "start": part.place(row["start_s"]),
            "end": part.place(row["end_s"]), "seconds": row["end_s"] - row["start_s"], "rows": row["num_rows"],
            "peak": row["peak"], "mean": row["mean"],
        }
        for part in parts
        for row in part.episodes
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["face", "label", "start", "end", "seconds", "rows", "peak", "mean"])


def _add_quality(parts: Sequence[Part]) -> pd.DataFrame:
    rows = [
        {"face": part.name(row["track_id"]), "rows": row["num_rows"]}
        | {name: row[name] * row["num_rows"] for name in _QUALITY}
        for part in parts
        for row in part.quality
    ]
    table = pd.DataFrame(rows, columns=["face", "rows", *_QUALITY]).groupby("face", as_index=False, sort=False).sum()
    table[_QUALITY] = table[_QUALITY].div(table["rows"], axis=0)
    return table


def _cover(gaps: Sequence[Gap], start: float, end: float) -> pd.DataFrame:
    """Return for how long there were results, and for how long not, by reason."""
    seconds: dict[str, float] = {}
    for gap in gaps:
        length = min(gap.end_s, end) - max(gap.start_s, start)
        if length > 0:
            seconds[gap.state] = seconds.get(gap.state, 0.0) + length
    analysed = max(0.0, end - start - sum(seconds.values()))
    rows = [("analysed", analysed), *sorted(seconds.items(), key=lambda item: -item[1])]
    table = pd.DataFrame(rows, columns=["state", "seconds"])
    table["share"] = table["seconds"] / max(end - start, 1e-9)
    return table
