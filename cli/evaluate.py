"""``emotrace evaluate``: figures of a model, or of a finished training run, on labelled faces."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from cli.train import check_packages
from contracts.errors import UsageError
from contracts.model_card import DEFAULT_MODEL
from contracts.settings import read_settings
from models.backends import BackendChoice
from models.predictor import EmotionPredictor, LabelKind
from training.conditions import measure_conditions
from training.datasets import FaceDataset, find_default_split, read_dataset
from training.evaluation import Answers, Classifier, Evaluation, ServedClassifier, answer, join, keep_known

if TYPE_CHECKING:
    from training.trained import TrainedRun


@dataclass(frozen=True)
class Found:
    """What an evaluation found: ``answers`` by ``classifier`` (any fold's), and ``more`` for the JSON.

    ``faces`` are those that were asked for, before labels chose among them.
    """

    classifier: Classifier
    faces: FaceDataset
    answers: Answers
    split: str | None
    more: dict[str, Any] = field(default_factory=dict)


def run(
    data: Path,
    split: str | None,
    labels: str,
    model: str | None,
    device: str,
    as_json: bool,
    picture: Path | None,
    backend: BackendChoice | None = None,
    run_folder: Path | None = None,
    without_duplicates: bool = False,
    conditions: bool = False,
    attention: Path | None = None,
) -> None:
    """Evaluate ``model``, or the finished run in ``run_folder``, on ``split`` of ``data`` and print it.

    The split is by default PublicTest-B where there are splits; a run on CK+ answers for each of its folds.
    ``labels`` is ferplus or fer2013. Without a ``backend`` the one that serves is measured, by the settings.
    ``without_duplicates`` leaves out the faces that are nearly in the data's Training split. ``conditions`` measures
    also under what a camera in use meets. ``picture`` is a path to draw some faces to, or with ``conditions`` one
    face under all of them. ``attention`` is a path to draw where a run of paper B looks.

    Raises:
        UsageError: an argument cannot be used.
        DataError: the data or the run cannot be used.
        ModelError: the model cannot be used.
    """
    kind = _check_labels(labels)
    chosen: BackendChoice = backend or read_settings().backend
    if run_folder is not None and model is not None:
        raise UsageError("Both --model and --run were given. Give one of them.")
    if attention is not None and run_folder is None:
        raise UsageError("--attention draws where a run of paper B looks. Give its folder with --run.")
    trained = _read_run(run_folder, device, chosen) if run_folder is not None else None
    if trained is not None and trained.experiment.data == "ckplus":
        if split or without_duplicates or conditions:
            raise UsageError(
                "A run on CK+ is evaluated on the faces of its folds. Leave out --split, --without-duplicates and "
                "--conditions."
            )
        found = _evaluate_folds(trained, data)
    else:
        classifier = (
            trained.classifiers[0]
            if trained is not None
            else ServedClassifier(EmotionPredictor(model or DEFAULT_MODEL, device, chosen))
        )
        found = _evaluate_split(classifier, data, split or find_default_split(data), kind, without_duplicates)
    evaluation = found.answers.score()
    more = found.more
    if conditions:
        more = {**more, "conditions": measure_conditions(found.classifier, found.faces, kind)}
    if as_json:
        told = {**asdict(evaluation), "split": found.split or "all", "backend": found.classifier.backend}
        print(json.dumps({**told, **more}))
    else:
        _print_tables(evaluation, found, more)
    if picture is not None:
        from training.picture import draw_conditions, draw_faces  # matplotlib takes a moment to load

        if conditions:
            draw_conditions(found.classifier, found.faces, kind, picture)
        else:
            draw_faces(found.answers, picture)
    if attention is not None and trained is not None:
        trained.draw_attention(data, found.faces, attention)


def _read_run(folder: Path, device: str, backend: BackendChoice) -> "TrainedRun":
    check_packages("Evaluating a run")
    from training.trained import read_run

    return read_run(folder, device, backend)


def _check_labels(labels: str) -> LabelKind:
    match labels:
        case "ferplus" | "fer2013":
            return labels
    raise UsageError(
        f"The labels {labels!r} are unknown. Expected ferplus (FER+'s majorities) or fer2013 (the original ones)."
    )


def _evaluate_split(
    classifier: Classifier, data: Path, split: str | None, labels: LabelKind, without_duplicates: bool
) -> Found:
    faces = read_dataset(data, split)
    more = {}
    if without_duplicates:
        if split is None or split.startswith("Training"):
            raise UsageError(
                "--without-duplicates compares with the Training split. Give data with splits and another --split."
            )
        check_packages("Finding near-duplicates")
        from training.duplicates import leave_out_duplicates

        training = keep_known(read_dataset(data, "Training"), classifier)
        asked = keep_known(faces, classifier)
        faces = leave_out_duplicates(asked, training)
        more["left_out"] = {"near_duplicates": len(asked) - len(faces), "of": len(asked)}
    return Found(classifier, faces, answer(classifier, faces, labels), split, more)


def _evaluate_folds(trained: "TrainedRun", data: Path) -> Found:
    from training.measure import summarise_folds, to_figures

    parts = trained.answer_folds(data)
    summary = summarise_folds([to_figures(part.score()) for part in parts])
    answers = join(parts, trained.classifiers[0].name, "CK+")
    folds = {"number": len(parts), "mean": summary["mean"], "std": summary["std"]}
    return Found(trained.classifiers[0], answers.faces, answers, "each fold of CK+", {"folds": folds})


def _print_tables(evaluation: Evaluation, found: Found, more: dict[str, Any]) -> None:
    console = Console()
    console.print(
        f"{evaluation.model} on {found.faces.name} ({evaluation.labels}): accuracy {evaluation.accuracy:.4f}, "
        f"macro F1 {evaluation.macro_f1:.4f}, ECE {evaluation.ece:.4f}, {evaluation.n} faces; "
        f"computed by {found.classifier.backend} in {found.classifier.precision}",
        soft_wrap=True,
        highlight=False,
    )
    if "left_out" in more:
        left_out = more["left_out"]
        console.print(f"Left out: {left_out['near_duplicates']} of {left_out['of']} faces that are nearly in Training.")
    if "folds" in more:
        folds = more["folds"]
        accuracy, deviation = folds["mean"]["accuracy"], folds["std"]["accuracy"]
        console.print(f"Over {folds['number']} folds by subject: accuracy {accuracy:.4f} ± {deviation:.4f}.")
    confusion = Table("", *evaluation.per_class, title="Faces by true (rows) and predicted (columns) emotion")
    confusion.box = box.SIMPLE
    for emotion, counts in zip(evaluation.per_class, evaluation.confusion_matrix, strict=True):
        confusion.add_row(emotion, *map(str, counts))
    console.print(confusion)
    classes = Table("", "precision", "recall", "F1", "faces", box=box.SIMPLE)
    for emotion, figures in evaluation.per_class.items():
        ratios = (f"{value:.3f}" for value in (figures.precision, figures.recall, figures.f1))
        classes.add_row(emotion, *ratios, str(figures.n))
    console.print(classes)
    coverage = Table("confidence at least", "share of faces", "accuracy on those", box=box.SIMPLE)
    for threshold, share, accuracy in evaluation.coverage_accuracy:
        coverage.add_row(f"{threshold:.1f}", f"{share:.3f}", "none" if accuracy is None else f"{accuracy:.3f}")
    console.print(coverage)
    if "conditions" in more:
        _print_conditions(console, more["conditions"])


def _print_conditions(console: Console, conditions: dict[str, dict[str, Any]]) -> None:
    table = Table("condition", "accuracy", "macro precision", "macro recall", "ms per image", box=box.SIMPLE)
    for name, figures in conditions.items():
        ratios = (f"{figures[key]:.3f}" for key in ("accuracy", "macro_precision", "macro_recall"))
        table.add_row(name, *ratios, f"{figures['ms_per_image']:.2f}")
    console.print(table)
