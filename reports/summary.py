"""summary.json: what a run read, found and needed, on one page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from contracts import aliases, store
from contracts.emotions import EMOTIONS
from contracts.ledger import Ledger
from reports.derived import derive
from reports.output import replace_file

_TOTALS = len(EMOTIONS) + 2  # the sums of the seven probabilities, of the valence, and the number of rows


def build_summary(
    connection: sa.Connection, session: Mapping[str, Any], ledger: Ledger, run_facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the summary of ``session`` (from ``store.read_session``) as plain JSON values.

    Tracks of one person (``contracts.aliases``) are one. A track's ``valence`` is the mean over its rows of
    ``compute_valence``, and ``dominant`` is the emotion with the largest mean probability; both are None for a track
    without rows. ``run_facts`` (wall_s, peak_memory_mb, ...) stand at the top level beside the rest.
    """
    counts = ledger.to_dict()
    means = _average_tracks(connection, session["session_id"])
    return {
        "session_id": session["session_id"],
        "status": session["status"],
        "source": {"name": session["source"], "path": session["url"], **session["facts"]},
        "model": session["model_id"],
        "settings": session["settings"],
        "packets": counts.pop("packets"),
        "faces": counts.pop("faces"),
        "ledger": counts,
        "tracks": [
            {
                "track_id": track["track_id"],
                "start_s": track["start_s"],
                "end_s": track["end_s"],
                "num_faces": track["num_faces"],
                **means.get(track["track_id"], {"dominant": None, "mean": None, "valence": None}),
            }
            for track in aliases.list_persons(connection, session["session_id"])
        ],
        **run_facts,
    }


def _average_tracks(connection: sa.Connection, session_id: str) -> dict[int, dict[str, Any]]:
    """Return each person's dominant emotion, mean probabilities and mean valence."""
    persons = aliases.read_persons(connection, session_id)
    totals: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for rows in store.iterate_emotions(connection, session_id, ("track_id", *EMOTIONS), 10_000):
        table = np.array(rows, dtype=np.float64)
        track_ids, probabilities = table[:, 0].astype(int), table[:, 1:]
        terms = np.column_stack([probabilities, derive(probabilities).valences, np.ones(len(table))])
        for track_id in np.unique(track_ids).tolist():
            person = persons.get(track_id, track_id)
            totals.setdefault(person, np.zeros(_TOTALS))[:] += terms[track_ids == track_id].sum(axis=0)
    averages = {}
    for track_id, total in totals.items():
        *mean, valence = (total[:-1] / total[-1]).tolist()
        averages[track_id] = {
            "dominant": EMOTIONS[int(np.argmax(mean))],
            "mean": dict(zip(EMOTIONS, mean, strict=True)),
            "valence": valence,
        }
    return averages


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write ``summary`` to ``path`` as indented JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
