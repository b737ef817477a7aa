"""Rows of the results: every experiment with its run records, or the reason why it has none."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from contracts.errors import DataError
from contracts.model_card import DEFAULT_MODEL
from training.datasets import REPORTED
from training.experiments import list_experiments
from training.records import read_record

GROUPS = ("production", "paper A", "paper B")
HEADLINES = ("production", "cnn_bilstm", "attention_lda", "attention_lda-ckplus")
CKPLUS = "CK+"
NOTES_NAME = "notes.json"
NONE = "–"


@dataclass(frozen=True)
class Row:
    """One experiment: what is known of it, its ``records``, one for each seed, or the ``reason`` why it has none.

    ``compared_with`` names the experiment from which it differs in one thing alone.
    """

    name: str
    title: str
    group: str
    data: str
    labels: tuple[str, ...]
    claim: float | None
    claim_note: str
    config: dict[str, Any]
    records: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    compared_with: str | None = None

    @property
    def system(self) -> str:
        """The system of which this is one setting: the name up to the first dash."""
        return self.name.partition("-")[0]

    @property
    def kind(self) -> str:
        """The labels that matter most: CK+'s own, FER2013's original ones, FER+'s majority for a model that serves."""
        if self.data == "ckplus":
            return "own"
        return "ferplus" if any("card" in record for record in self.records) else "fer2013"

    def list_figures(self, kind: str) -> list[dict[str, Any]]:
        """Return the figures by ``kind`` of label of each seed; on CK+ those of each fold of each seed."""
        if self.data == "ckplus":
            return [fold for record in self.records for fold in record["folds"]] if kind == "own" else []
        reported = [record["metrics"][REPORTED] for record in self.records]
        return [figures[kind] for figures in reported if kind in figures]

    def count_faces(self, kind: str) -> str:
        figures = self.list_figures(kind)
        return f"{(self.records[0]['metrics'][CKPLUS] if kind == 'own' else figures[0])['n']:,}" if figures else NONE

    def list_values(self, kind: str, key: str) -> list[float]:
        """Return a figure of each seed; on CK+ of each fold, the mean over the seeds."""
        if self.data == "ckplus":
            by_seed = [[fold[key] for fold in record["folds"]] for record in self.records] if kind == "own" else []
            return [float(np.mean(values)) for values in zip(*by_seed, strict=True)]
        return [figures[key] for figures in self.list_figures(kind)]

    def compute_mean(self, kind: str, key: str) -> float | None:
        values = self.list_values(kind, key)
        return float(np.mean(values)) if values else None

    def list_of(self, key: str) -> list[Any]:
        """Return what each record says under ``key``, each thing once."""
        return list(dict.fromkeys(str(record.get(key, NONE)) for record in self.records))


@dataclass(frozen=True)
class Results:
    """All rows in the order of the experiments, and the temporal benchmark's records, the default model's first.

    ``held_out`` are its records of held-out sequences alone, by which models that learned from others are compared.
    """

    rows: list[Row]
    temporal: list[dict[str, Any]]
    held_out: list[dict[str, Any]]

    def list_measured(self, group: str | None = None) -> list[Row]:
        return [row for row in self.rows if row.records and group in (None, row.group)]

    def list_tasks(self, group: str) -> dict[tuple[str, tuple[str, ...]], list[Row]]:
        """Return the rows of a group by (data, classes), FER2013 with all its emotions first and CK+ last."""
        tasks: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
        for row in self.rows:
            if row.group == group:
                tasks.setdefault((row.data, row.labels), []).append(row)
        return dict(sorted(tasks.items(), key=lambda task: (task[0][0] == "ckplus", -len(task[0][1]))))

    def list_headlines(self) -> list[Row]:
        return [row for name in HEADLINES for row in self.rows if row.name == name]


def read_results(folder: Path) -> Results:
    """Read the records in ``folder``, which may be absent, and put them to the experiments.

    ``notes.json`` there may say for an experiment why it has no record.

    Raises:
        DataError: a file is no record of this release, or no notes.
    """
    records = [read_record(path) for path in sorted(folder.glob("*.json")) if path.name != NOTES_NAME]
    reasons = _read_notes(folder / NOTES_NAME)
    of_name: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record.get("kind") == "training":
            of_name.setdefault(record["experiment"], []).append(record)
    rows = [
        replace(_make_row(_sort(of_name[experiment.name])), compared_with=experiment.compared_with)
        if experiment.name in of_name
        else Row(
            experiment.name,
            experiment.title,
            experiment.group,
            experiment.data,
            experiment.labels,
            experiment.claim,
            experiment.claim_note,
            experiment.config,
            reason=reasons.get(experiment.name, f"no run record yet: `emotrace train --experiment {experiment.name}`"),
            compared_with=experiment.compared_with,
        )
        for experiment in list_experiments()
    ]
    known = {row.name for row in rows}
    rows += [_make_row(_sort(found)) for name, found in sorted(of_name.items()) if name not in known]
    temporal = [record for record in records if record.get("kind") == "temporal"]
    temporal.sort(key=lambda record: (record["model_id"].rpartition("-")[0] != DEFAULT_MODEL, record["model_id"]))
    rows.sort(key=lambda row: GROUPS.index(row.group))
    held_out = [record for record in temporal if record.get("held_out")]
    return Results(rows, [record for record in temporal if not record.get("held_out")], held_out)


def format_values(values: list[float], digits: int = 3) -> str:
    """Return the mean, with the standard deviation where there are several values."""
    if not values:
        return NONE
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _make_row(records: list[dict[str, Any]]) -> Row:
    """Return the row of a measured experiment, as its first record describes it."""
    first = records[0]
    return Row(
        first["experiment"],
        first["title"],
        first["group"],
        first["data"],
        tuple(first["labels"]),
        first["claim"],
        first["claim_note"],
        first["config"],
        records,
    )


def _sort(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(records, key=lambda record: int(record["seed"]))


def _read_notes(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        return {str(name): str(reason) for name, reason in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} cannot be read ({error}). Expected JSON of the form {{experiment: reason}}.") from None
