"""What spans come to, for pages and for files."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import sqlalchemy as sa

from contracts import spans, store, summaries
from contracts.emotions import EMOTIONS
from dashboard.reading.stretches import Faces, Stretch, list_stretches
from dashboard.reading.summing import name_track


class SpanFigures(NamedTuple):
    """What a span comes to.

    ``levels``: face, rows, emotion, mean, peak, seconds, share (of the face's seconds). ``reactions``: face, delay_s,
    from, to, for the faces that react.
    """

    levels: pd.DataFrame
    reactions: pd.DataFrame


def read_span(
    connection: sa.Connection, source_id: str, session_id: str | None, faces: Faces | None, start: float, end: float
) -> SpanFigures:
    """Return the figures of a span."""
    levels: dict[str, pd.DataFrame] = {}
    reactions = []
    for stretch in list_stretches(connection, source_id, session_id, faces, start, end):
        asked = (connection, stretch.session, stretch.start_s, stretch.end_s, stretch.tracks)
        for face, table in _sum_stretch(asked, stretch, session_id is None).items():
            levels[face] = _add(levels[face], table) if face in levels else table
        if stretch.place(stretch.start_s) <= start + spans.SEARCH_S:
            reactions += [
                {
                    "face": _name(stretch, row["track_id"], session_id is None),
                    "delay_s": row["delay_s"] + stretch.place(stretch.start_s) - start,
                    "from": row["from_label"],
                    "to": row["to_label"],
                }
                for row in spans.read_reactions(*asked)
                if row["delay_s"] + stretch.place(stretch.start_s) - start <= spans.SEARCH_S
            ]
    table = pd.concat(levels.values(), ignore_index=True) if levels else _make_table({})
    first = pd.DataFrame(reactions, columns=["face", "delay_s", "from", "to"]).drop_duplicates("face")
    return SpanFigures(_add_shares(table), first)


def _sum_stretch(
    asked: tuple[sa.Connection, store.Row, float, float, list[int] | None], stretch: Stretch, is_camera: bool
) -> dict[str, pd.DataFrame]:
    seconds = {(row["track_id"], row["label"]): row["seconds"] for row in summaries.read_shares(*asked)}
    tables = {}
    for point in spans.read_levels(*asked):
        face = _name(stretch, point["track_id"], is_camera)
        held = [float(seconds.get((point["track_id"], name), 0.0)) for name in EMOTIONS]
        tables[face] = _make_table(
            {
                "face": [face] * len(EMOTIONS),
                "rows": [int(point["num_faces"])] * len(EMOTIONS),
                "emotion": list(EMOTIONS),
                "mean": [point[name] for name in EMOTIONS],
                "peak": [point[f"{name}_max"] for name in EMOTIONS],
                "seconds": held,
            }
        )
    return tables


def _make_table(columns: Mapping[str, Sequence[object]]) -> pd.DataFrame:
    return pd.DataFrame(columns, columns=["face", "rows", "emotion", "mean", "peak", "seconds"])


def _add(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Put two stretches of one face together."""
    rows = first["rows"] + second["rows"]
    mean = (first["mean"] * first["rows"] + second["mean"] * second["rows"]) / rows
    peak, seconds = first["peak"].combine(second["peak"], max), first["seconds"] + second["seconds"]
    return first.assign(rows=rows, mean=mean, peak=peak, seconds=seconds)


def _add_shares(levels: pd.DataFrame) -> pd.DataFrame:
    totals = levels.groupby("face")["seconds"].transform("sum").astype(float)
    return levels.assign(share=(levels["seconds"] / totals.where(totals > 0)).astype(float))


def _name(stretch: Stretch, track_id: int, is_camera: bool) -> str:
    return name_track(track_id, stretch.session["session_id"] if is_camera else "", stretch.persons)
