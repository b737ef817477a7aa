"""The tables of the report, as Markdown."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from contracts.emotions import EMOTIONS
from training.results import NONE, Results, Row, format_values

RATIOS = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
RATIO_TITLES = ("accuracy", "macro precision", "macro recall", "macro F1")
FER_TITLES = (*RATIO_TITLES, "FER+ n", "FER+ accuracy", "FER+ macro F1")


def make_table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def make_headline_table(results: Results) -> str:
    """Return the figures of the headline systems with and without the faces that are nearly in Training."""
    lines = []
    for row in results.list_headlines():
        if not row.records:
            lines.append([row.title, "not measured", *[NONE] * 7, row.reason])
        for kind, words in (("ferplus", "FER+ majority"), ("fer2013", "original"), ("own", "CK+")):
            if row.list_figures(kind):
                without = [
                    record["metrics_without_duplicates"][kind]
                    for record in row.records
                    if kind in record.get("metrics_without_duplicates", {})
                ]
                lines.append(
                    [
                        row.title,
                        words,
                        row.count_faces(kind),
                        *(format_values(row.list_values(kind, key)) for key in ("accuracy", "macro_f1")),
                        f"{without[0]['n']:,}" if without else NONE,
                        *(format_values([found[key] for found in without]) for key in ("accuracy", "macro_f1")),
                        *tell_training(row),
                    ]
                )
    titles = ("system", "labels", "n", "accuracy", "macro F1", "n without", "accuracy without", "macro F1 without")
    return make_table((*titles, "epochs", "hardware"), lines)


def make_figures_table(rows: list[Row]) -> str:
    """Return the figures of rows on one data set and with the same classes, beside what the papers claim."""
    is_folds = rows[0].data == "ckplus"
    titles = (*RATIO_TITLES, "folds") if is_folds else FER_TITLES
    lines = []
    for row in rows:
        claim = f"claim: {row.claim:.3f}" if row.claim is not None else NONE
        if not row.records:
            lines.append([row.title, claim, "not measured", *[NONE] * len(titles), NONE, NONE, row.reason])
            continue
        kind = "own" if is_folds else "fer2013"
        figures = [format_values(row.list_values(kind, key)) for key in RATIOS]
        if is_folds:
            figures.append(str(len(row.list_figures("own")) // len(row.records)))
        else:
            figures.append(row.count_faces("ferplus"))
            figures += [format_values(row.list_values("ferplus", key)) for key in ("accuracy", "macro_f1")]
        seeds = ", ".join(str(record["seed"]) for record in row.records)
        lines.append([row.title, claim, row.count_faces(kind), *figures, seeds, *tell_training(row)])
    return make_table(("system", "the paper", "n", *titles, "seeds", "epochs", "hardware"), lines)


def make_cost_table(rows: list[Row]) -> str:
    """Return what training and answering cost, for rows with records."""
    lines = []
    for row in rows:
        records = row.records
        per_epoch = {
            stage: float(np.median([record["seconds_per_epoch"][stage] for record in records]))
            for stage in records[0]["seconds_per_epoch"]
        }
        lines.append(
            [
                row.title,
                "; ".join(f"{stage} {seconds:.1f}" for stage, seconds in per_epoch.items()),
                f"{np.mean([record['seconds'] for record in records]) / 60:.1f}",
                format_values([_find_ms_per_image(record) for record in records], digits=2),
                f"{records[0]['parameters']:,}",
                _describe_origin(records[0]),
            ]
        )
    titles = ("system", "seconds per epoch", "minutes of training", "ms per image", "parameters", "trained from")
    return make_table(titles, lines)


def _describe_origin(record: dict[str, Any]) -> str:
    origin = f"the weights of {record['starts_from']}" if record["starts_from"] else "random weights"
    # Records of before there were teachers do not name one.
    return f"{origin}, taught by {record['taught_by']}" if record.get("taught_by") else origin


def make_recall_table(results: Results) -> str:
    """Return the recall of each emotion by the original labels, for paper A's rows and the headline systems."""
    chosen = [row for row in results.rows if row.group == "paper A" or row in results.list_headlines()]
    rows = [row for row in chosen if row.labels == EMOTIONS and row.list_figures("fer2013")]
    if not rows:
        return ""
    lines = [
        [
            row.title,
            *(
                format_values([figures["per_class"][emotion]["recall"] for figures in row.list_figures("fer2013")])
                for emotion in EMOTIONS
            ),
            *tell_training(row),
        ]
        for row in rows
    ]
    counts = rows[0].list_figures("fer2013")[0]["per_class"]
    lines.append(["faces", *(f"{counts[emotion]['n']:,}" for emotion in EMOTIONS), "", ""])
    return make_table(("system", *EMOTIONS, "epochs", "hardware"), lines)


def make_condition_table(rows: list[Row], key: str, digits: int) -> str:
    """Return one figure under each condition, a column for each row that was measured under conditions."""
    names = list(rows[0].records[0]["conditions"])
    lines = [
        [
            name,
            *(format_values([record["conditions"][name][key] for record in row.records], digits) for row in rows),
        ]
        for name in names
    ]
    return make_table(("condition", *(row.title for row in rows)), lines)


def list_with_conditions(results: Results) -> list[Row]:
    return [row for row in results.list_measured() if all("conditions" in record for record in row.records)]


def make_duplicates_table(results: Results) -> str:
    """Return how many faces of each split are nearly in another, by the data that the records name."""
    found: dict[tuple[str, str, int, int, int], None] = {}
    for row in results.list_measured():
        classes = "seven emotions" if row.labels == EMOTIONS else ", ".join(row.labels)
        for record in row.records:
            near = record.get("near_duplicates", {})
            for pair, counts in near.get("pairs", {}).items():
                found[classes, pair, counts["of"], counts["found"], near["max_distance"]] = None
    lines = [
        [classes, pair, f"{of:,}", f"{number:,}", f"{number / of:.1%}", str(distance)]
        for classes, pair, of, number, distance in found
    ]
    return (
        make_table(("classes", "pair", "faces", "near-duplicates", "share", "most bits apart"), lines) if lines else ""
    )


def make_runs_table(results: Results) -> str:
    """Return the exact command of each record."""
    lines = [
        [
            row.name,
            str(record["seed"]),
            f"`{record['command']}`",
            record["date"],
            record["torch"],
            ", ".join(f"{name} {data['sha256'][:8]}" for name, data in record["data_sets"].items()),
        ]
        for row in results.list_measured()
        for record in row.records
    ]
    return make_table(("experiment", "seed", "command", "date", "torch", "data (SHA-256 begins)"), lines)


def tell_training(row: Row) -> tuple[str, str]:
    """Return the epochs of each stage and the hardware, which stand beside each figure."""
    told = list(dict.fromkeys(_tell_epochs(record["epochs"]) for record in row.records))
    return " / ".join(told), "; ".join(row.list_of("hardware"))


def _tell_epochs(epochs: dict[str, Any]) -> str:
    return str(*epochs.values()) if len(epochs) == 1 else ", ".join(f"{stage} {n}" for stage, n in epochs.items())


def _find_ms_per_image(record: dict[str, Any]) -> float:
    folds = [fold["ms_per_image"] for fold in record.get("folds", [])]
    return float(np.mean(folds)) if folds else float(record["ms_per_image"])
