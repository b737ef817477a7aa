"""What the papers claim beside what was reached, what was tried for it, and what each part of a system changes."""

from typing import Any

import numpy as np

from training.report_tables import make_table, tell_training
from training.results import NONE, Results, Row, format_values

# Differences within this many standard errors are called noise.
_NOISE = 2.0


def tell_claims(results: Results) -> list[str]:
    """Return one line for each claim that was not reached, and all settings that were tried for it."""
    claims: dict[tuple[str, str, tuple[str, ...], float], list[Row]] = {}
    for row in results.rows:
        if row.claim is not None:
            claims.setdefault((row.group, row.data, row.labels, row.claim), []).append(row)
    missed = {claim: rows for claim, rows in claims.items() if _find_best(rows)[1] < claim[-1]}
    if not missed:
        return ["Every claim that was measured was reached."] if claims else []
    lines = []
    for (group, data, labels, claim), rows in missed.items():
        best, accuracy = _find_best(rows)
        reached = [format_values(best.list_values(best.kind, "accuracy")), best.title] if best.records else [NONE, NONE]
        difference = f"{100 * (accuracy - claim):+.1f} points" if best.records else NONE
        faithful = next((row for row in rows if row.records and "-paper" in row.name), None)
        faces = best.count_faces(best.kind)
        lines.append(
            [
                f"{group}, {_name_task(data, labels)}",
                f"{claim:.3f}",
                _tell_faithful(faithful),
                *reached,
                faces,
                difference,
            ]
        )
    titles = (
        "claim of",
        "claim (accuracy)",
        "in the paper's setting",
        "our highest, picked on half B",
        "by",
        "n",
        "difference",
    )
    table = make_table(titles, lines)
    claimed = [row for rows in missed.values() for row in rows]
    notes = dict.fromkeys(row.claim_note for row in claimed if row.claim_note)
    systems = dict.fromkeys((row.group, row.system) for row in claimed)
    measured = sum(any(row.records for row in rows) for rows in missed.values())
    return [
        f"The papers claim {len(claims)} accuracies that can be put to a data set. {measured} were not reached here by "
        f"any setting, {len(missed) - measured} were not measured.",
        table,
        *(f"*On the claims:* {note}" for note in notes),
        *(_tell_tried(results, group, system) for group, system in systems),
    ]


def tell_comparisons(results: Results) -> list[str]:
    """Return how far each system lies from the one from which it differs in one thing alone."""
    named = {row.name: row for row in results.list_measured()}
    pairs = [(row, named[row.compared_with]) for row in results.list_measured() if row.compared_with in named]
    if not pairs:
        return []
    lines = []
    for row, other in pairs:
        difference, error = _compare(row, other)
        verdict = "within the noise" if abs(difference) <= _NOISE * error else "better" if difference > 0 else "worse"
        lines.append([row.title, other.title, f"{difference:+.1f} ± {error:.1f}", verdict, *tell_training(row)])
    return [
        "Each of these differs in one thing from the system beside it (on CK+ each also begins with what its own like "
        "learned from FER2013). The difference of accuracy is in points, "
        "with its standard error: on FER2013 by the number of faces, as if both had been asked different ones, on CK+ "
        "over the folds. Neither knows how much another seed would change, and with few epochs a part that learns "
        "slowly is at a disadvantage: where the curves above still rise, these say nothing of the end.",
        make_table(("system", "compared with", "points", "", "epochs", "hardware"), lines),
    ]


def _tell_faithful(row: Row | None) -> str:
    if row is None:
        return NONE
    return f"{format_values(row.list_values(row.kind, 'accuracy'))} after {tell_training(row)[0]}"


def _compare(row: Row, other: Row) -> tuple[float, float]:
    """Return the difference of accuracy and its standard error, in points."""
    ours, theirs = (np.array(each.list_values(each.kind, "accuracy")) for each in (row, other))
    if row.data == "ckplus":
        by_fold = 100 * (ours - theirs)
        # One fold alone says nothing of its error.
        spread = by_fold.std(ddof=1) if len(by_fold) > 1 else np.inf
        return float(by_fold.mean()), float(spread / np.sqrt(len(by_fold)))
    n = row.list_figures(row.kind)[0]["n"]
    variance = sum(share * (1 - share) / n for share in (ours.mean(), theirs.mean()))
    return float(100 * (ours.mean() - theirs.mean())), float(100 * np.sqrt(variance))


def _find_best(rows: list[Row]) -> tuple[Row, float]:
    """Return the row with the highest accuracy, and that; 0 where none was measured."""
    reached = [row.compute_mean(row.kind, "accuracy") or 0.0 for row in rows]
    index = int(np.argmax(reached))
    return rows[index], reached[index]


def _name_task(data: str, labels: tuple[str, ...]) -> str:
    return "CK+" if data == "ckplus" else f"FER2013, {len(labels)} emotions"


def _tell_tried(results: Results, group: str, system: str) -> str:
    """Return a list of all settings of a system with the accuracy that each reached and the epochs it was trained."""
    lines = [f"What was tried for {system}:", ""]
    for task, rows in results.list_tasks(group).items():
        for row in rows:
            if row.system == system:
                reached = (
                    f"**{format_values(row.list_values(row.kind, 'accuracy'))}** after {tell_training(row)[0]} epochs"
                )
                told = reached if row.records else row.reason
                lines.append(f"- {row.title} ({_name_task(*task)}): {told}; {_tell_settings(row.config)}")
    return "\n".join(lines)


def _tell_settings(config: dict[str, Any]) -> str:
    """Return the settings as words, without what is switched off."""
    words = []
    for key, value in config.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            words.append(f"{name} ({_tell_settings(value)})")
        elif value is True:
            words.append(name)
        elif value is not None and value is not False and value != 0:
            words.append(f"{name} {value}")
    return ", ".join(words)
