"""summary.json: what a run read, found and needed, on one page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from contracts import store
from contracts.emotions import EMOTIONS
from contracts.ledger import Ledger
from contracts.persons import list_persons, read_persons
from reports.derived import derive
from reports.output import replace_file

_TOTALS = len(EMOTIONS) + 2  # the sums of the seven probabilities, of the valence, and the number of rows


def build_summary(
    connection: sa.Connection, session: Mapping[str, Any], ledger: Ledger, run_facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the summary of ``session`` (from ``store.read_session``) as plain JSON values.

    Tracks of one person (``contracts.persons``) are one. A track's ``valence`` is the mean over its rows of
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
            for track in list_persons(connection, session["session_id"])
        ],
        **run_facts,
    }


def _average_tracks(connection: sa.Connection, session_id: str) -> dict[int, dict[str, Any]]:
    """Return each person's dominant emotion, mean probabilities and mean valence."""
    persons = read_persons(connection, session_id)
    totals: dict[int, np.ndarray[Any, np.dtype[np.float64]]] = {}
    for rows in store.iterate_emotions(connection, session_id, ("track_id", "pts", *EMOTIONS), 10_000):
        probabilities = np.array([row[2:] for row in rows], dtype=np.float64)
        person_ids = np.array([persons.find(track_id, pts) for track_id, pts, *_ in map(tuple, rows)])
        terms = np.column_stack([probabilities, derive(probabilities).valences, np.ones(len(rows))])
        for person_id in np.unique(person_ids).tolist():
            totals.setdefault(person_id, np.zeros(_TOTALS))[:] += terms[person_ids == person_id].sum(axis=0)
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
