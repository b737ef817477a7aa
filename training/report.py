"""The results of all training runs as one page with figures, made from the stored run records alone."""

from collections.abc import Iterable
from pathlib import Path

from contracts.emotions import EMOTIONS
from contracts.errors import OutputError
from training.report_claims import tell_claims, tell_comparisons
from training.report_figures import draw_attention_means, draw_claims, draw_conditions, draw_confusions, draw_curves
from training.report_tables import (
    list_with_conditions,
    make_condition_table,
    make_cost_table,
    make_duplicates_table,
    make_figures_table,
    make_headline_table,
    make_recall_table,
    make_runs_table,
    tell_training,
)
from training.report_temporal import make_held_out_section, make_temporal_section
from training.results import GROUPS, Results, read_results

RESULTS_NAME = "RESULTS.md"
FIGURES_NAME = "figures"

HOW_TO_READ = """\
Everything here is made from the files in `training/records` by `emotrace report`: run records, and `notes.json`, which
says in words why a row has none.

- **Protocol, FER2013.** Weights learn from Training. PublicTest is cut in two fixed halves by the pictures' hashes:
  half A (PublicTest-A) is for choosing, figures are reported on half B (PublicTest-B). Temperatures are fitted on
  half A, and so are settings chosen; where a setting has a patience, half A also ends the training and picks the epoch.
  PrivateTest is never touched; whoever holds it runs
  `emotrace evaluate --data DATA --run FOLDER --split PrivateTest --labels fer2013`.
- **Protocol, CK+.** Ten folds by subject, nothing chosen on the fold that is tested; mean ± standard deviation over
  the folds, each of them the mean over the seeds.
- **Labels.** *Original* are FER2013's own labels, *FER+ majority* what most of ten voters saw (ties, unknown, non-face
  and contempt left out). Rows of three emotions are measured on the faces whose original label is one of them.
- **Macro** figures are means over the emotions, so that rare ones count as much as common ones.
- **±** is the standard deviation over folds on CK+ and over seeds elsewhere; a single number is a single seed.
- Every figure stands beside the number of faces it is counted on, the epochs that were trained (the most of any fold)
  and the hardware. **A figure marked as a claim is the paper's**, measured by its own protocol, and was not
  measured here.
- **Cost.** Milliseconds per image include preprocessing. They and the seconds of training were taken on a machine that
  often did other work too: read them as upper bounds, comparable on the same hardware only. Some records count
  milliseconds by the clock on the wall, the newer ones by the processor's time (`docs/decisions.md`). On a CPU a row of
  the papers' systems is meant to take half an hour, epochs cut accordingly; its minutes say where it took more.
- **Again.** The commands under *Runs* train; `emotrace evaluate --data DATA --run FOLDER --split PublicTest-B --labels
  fer2013` measures what they left in FOLDER. Learning curves are of the first seed and, on CK+, the first fold."""


def write_report(records: Path, out: Path) -> Path:
    """Write RESULTS.md and its figures to ``out`` from the records in ``records`` and return its path.

    The same records give the same bytes.

    Raises:
        DataError: a record cannot be read.
        OutputError: ``out`` cannot be written.
    """
    results = read_results(records)
    figures = out / FIGURES_NAME
    sections = [
        ("How to read this", [HOW_TO_READ]),
        ("In short", _tell_headline(results, figures)),
        *((group[0].upper() + group[1:], _tell_group(results, group, figures)) for group in GROUPS),
        ("Recall by emotion", _tell_recall(results)),
        ("Conditions", _tell_conditions(results, figures)),
        ("Attention", _tell_attention(results, figures)),
        ("What each part changes", tell_comparisons(results)),
        ("Claims that could not be reproduced, and what was tried", tell_claims(results)),
        ("Emotion over time", make_temporal_section(results.temporal, figures)),
        ("What real sequences teach", make_held_out_section(results.held_out)),
        ("Near-duplicates between splits", _tell_duplicates(results)),
        ("Runs", _tell_runs(results)),
    ]
    text = "\n\n".join(["# Results of training", *(_join(title, parts) for title, parts in sections if any(parts))])
    path = out / RESULTS_NAME
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}). Give another --out.") from None
    return path


def _join(title: str, parts: Iterable[str]) -> str:
    return "\n\n".join([f"## {title}", *(part for part in parts if part)])


def _tell_headline(results: Results, figures: Path) -> list[str]:
    measured = [row for row in results.list_headlines() if row.records]
    if not results.list_measured():
        return [
            "Nothing has been measured yet: there are no run records. Train with `emotrace train`, then report again."
        ]
    parts = [
        "The headline systems on all reported faces, and without those of which Training holds a near-duplicate:",
        make_headline_table(results),
    ]
    by_task = [row for group in GROUPS for rows in results.list_tasks(group).values() for row in rows if row.records]
    draw_claims(by_task, figures / "accuracy.png")
    parts.append(_show("accuracy.png", "Accuracy of every system, beside the paper's claim"))
    if measured:
        draw_confusions(measured, figures / "confusion.png")
        parts.append(_show("confusion.png", "Confusion matrices of the headline systems"))
    return parts


def _tell_group(results: Results, group: str, figures: Path) -> list[str]:
    parts: list[str] = []
    for task, rows in results.list_tasks(group).items():
        parts += [f"### {_name_task(*task)}", make_figures_table(rows)]
        measured = [row for row in rows if row.records]
        if measured:
            words = f"{group}-{task[0]}-{len(task[1])}"
            name = f"curves-{words.replace(' ', '-').lower()}.png"
            confusions = name.replace("curves", "confusion")
            draw_curves(measured, figures / name)
            draw_confusions(measured, figures / confusions)
            parts += [
                make_cost_table(measured),
                _show(name, f"Learning curves, {words}"),
                _show(confusions, f"Confusion matrices, {words}"),
            ]
    notes = dict.fromkeys(row.claim_note for row in results.rows if row.group == group and row.claim_note)
    return [*parts, *(f"*On the claims:* {note}" for note in notes)]


def _name_task(data: str, labels: tuple[str, ...]) -> str:
    if data == "ckplus":
        return f"CK+, ten folds by subject ({', '.join(labels)})"
    if labels == EMOTIONS:
        return "FER2013, seven emotions (PublicTest-B, original labels unless FER+ is said)"
    return f"FER2013, {len(labels)} emotions: {', '.join(labels)} (PublicTest-B, original labels unless FER+ is said)"


def _tell_recall(results: Results) -> list[str]:
    table = make_recall_table(results)
    text = (
        "The share of each emotion's faces that were named so, by the original labels of PublicTest-B. Disgust is rare."
    )
    return [text, table] if table else []


def _tell_conditions(results: Results, figures: Path) -> list[str]:
    rows = list_with_conditions(results)
    if not rows:
        return []
    kinds = {"ferplus": "FER+ majority", "fer2013": "original labels"}
    told = "; ".join(
        f"{row.title}: {kinds[row.records[0]['conditions_labels']]}, {', '.join(tell_training(row))}" for row in rows
    )
    draw_conditions(rows, figures / "accuracy-by-condition.png")
    parts = [
        "PublicTest-B under what a camera in use meets, made from the same faces (`training/conditions.py` says how). "
        "A picture that is turned is not a head that turns, and a grey patch is not a hand. "
        f"Labels, epochs and hardware: {told}.",
        _show("accuracy-by-condition.png", "Accuracy under each condition"),
    ]
    for key, title, digits in (
        ("accuracy", "Accuracy", 3),
        ("macro_precision", "Macro precision", 3),
        ("macro_recall", "Macro recall", 3),
        ("ms_per_image", "Milliseconds per image", 2),
    ):
        parts += [f"**{title}**", make_condition_table(rows, key, digits)]
    return parts


def _tell_attention(results: Results, figures: Path) -> list[str]:
    rows = [row for row in results.rows if row.records and row.records[0].get("attention")]
    if not rows:
        return []
    draw_attention_means(rows, figures / "attention.png")
    return [
        "Paper B's attention weighs the rows of the CNN's map. Below are its mean weights over PublicTest-B, by "
        "original label, first seed. `emotrace evaluate --data DATA --run FOLDER --attention MAPS.png` draws them on "
        "single faces, which the data set's terms do not allow here.",
        _show("attention.png", "Mean attention by row of the face and emotion"),
    ]


def _tell_duplicates(results: Results) -> list[str]:
    table = make_duplicates_table(results)
    text = (
        "FER2013 holds many pictures twice, also across its splits. Two are near-duplicates when their perceptual "
        "hashes of 64 bits are close; `training/duplicates.py` says how the distance was chosen. `emotrace evaluate "
        "--without-duplicates` leaves them out."
    )
    return [text, table] if table else []


def _tell_runs(results: Results) -> list[str]:
    if not results.list_measured():
        return ["There are no runs yet."]
    notes = [
        f"*{row.name}, seed {record['seed']}:* {record['note']}"
        for row in results.list_measured()
        for record in row.records
        if record.get("note")
    ]
    return [make_runs_table(results), *notes]


def _show(name: str, words: str) -> str:
    return f"![{words}]({FIGURES_NAME}/{name})"
