"""``emotrace evaluate``: figures of a model on labelled faces."""

import json
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from contracts.emotions import EMOTIONS
from contracts.errors import UsageError
from models.predictor import EmotionPredictor, LabelKind
from training.datasets import find_default_split, read_dataset
from training.evaluation import Evaluation, evaluate


def run(
    data: Path, split: str | None, labels: str, model: str, device: str, as_json: bool, picture: Path | None
) -> None:
    """Evaluate ``model`` on ``split`` of ``data`` (by default PublicTest-B where there are splits) and print it.

    ``labels`` is ferplus or fer2013; ``picture`` is a path to draw some faces to.

    Raises:
        UsageError: an argument cannot be used.
        DataError: the data cannot be used.
        ModelError: the model cannot be used.
    """
    kind = _check_labels(labels)
    split = split or find_default_split(data)
    dataset = read_dataset(data, split)
    predictor = EmotionPredictor(model, device)
    evaluation = evaluate(predictor, dataset, kind)
    if as_json:
        print(json.dumps({**asdict(evaluation), "split": split or "all"}))
    else:
        _print_tables(evaluation, dataset.name)
    if picture is not None:
        from training.picture import draw_faces  # matplotlib takes a moment to load

        draw_faces(predictor, dataset, kind, picture)


def _check_labels(labels: str) -> LabelKind:
    match labels:
        case "ferplus" | "fer2013":
            return labels
    raise UsageError(
        f"The labels {labels!r} are unknown. Expected ferplus (FER+'s majorities) or fer2013 (the original ones)."
    )


def _print_tables(evaluation: Evaluation, data_name: str) -> None:
    console = Console()
    console.print(
        f"{evaluation.model} on {data_name} ({evaluation.labels}): accuracy {evaluation.accuracy:.4f}, "
        f"macro F1 {evaluation.macro_f1:.4f}, ECE {evaluation.ece:.4f}, {evaluation.n} faces",
        soft_wrap=True,
        highlight=False,
    )
    confusion = Table("", *EMOTIONS, title="Faces by true (rows) and predicted (columns) emotion", box=box.SIMPLE)
    for emotion, counts in zip(EMOTIONS, evaluation.confusion_matrix, strict=True):
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
