"""Pictures of labelled faces beside what a classifier says of them."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contracts.errors import UsageError
from training.conditions import CONDITIONS, PLAIN, apply
from training.datasets import FaceDataset
from training.evaluation import Answers, Classifier, Labels, answer

ROWS, COLUMNS = 4, 8
CONDITION_COLUMNS = 6
# Okabe and Ito's green and vermilion; the mark says the same to those who see no difference.
RIGHT_COLOUR, WRONG_COLOUR = "#00805B", "#D55E00"


def draw_faces(answers: Answers, path: Path, seed: int = 0) -> None:
    """Draw random faces, the same for the same ``seed``, with true and predicted emotion, to ``path``.

    Raises:
        UsageError: the path cannot be written or has no picture's suffix.
    """
    number = min(ROWS * COLUMNS, len(answers.truth))
    chosen = np.sort(np.random.default_rng(seed).choice(len(answers.truth), number, replace=False))
    names = answers.faces.label_names
    figure, axes = _make_grid(ROWS, COLUMNS)
    for axis, index in zip(axes, chosen, strict=False):
        _draw_face(axis, answers, index, f"true: {names[answers.truth[index]]}")
    figure.suptitle(f"{answers.model} on {answers.faces.name} ({answers.labels})", fontsize=10)
    _write(figure, path)


def draw_conditions(classifier: Classifier, dataset: FaceDataset, labels: Labels, path: Path, seed: int = 0) -> None:
    """Draw one random face under every condition, with what the classifier says of it, to ``path``.

    Raises:
        DataError: there are no votes, or no face has such a label.
        UsageError: the path cannot be written or has no picture's suffix.
    """
    plain = answer(classifier, dataset, labels)
    right = np.flatnonzero(plain.probabilities.argmax(1) == plain.truth)
    # A face that is named right as it is, where there is one, so that what goes wrong is the condition's doing.
    index = int(np.random.default_rng(seed).choice(right if len(right) else len(plain.truth)))
    only: NDArray[np.bool_] = np.arange(len(plain.truth)) == index
    face = plain.faces.select(only, plain.faces.name)
    names = (PLAIN, *CONDITIONS)
    figure, axes = _make_grid(-(-len(names) // CONDITION_COLUMNS), CONDITION_COLUMNS)
    for axis, name in zip(axes, names, strict=False):
        changed = FaceDataset(face.name, apply(name, face.images), face.labels, face.votes, face.label_names)
        _draw_face(axis, answer(classifier, changed, labels), 0, name)
    emotion = face.label_names[plain.truth[index]]
    figure.suptitle(f"{classifier.name} on one face of {dataset.name}, truly {emotion} ({labels})", fontsize=10)
    _write(figure, path)


def _make_grid(rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(columns * 1.5, rows * 1.9), layout="constrained")
    axes = list(figure.subplots(rows, columns).flatten())
    for axis in axes:
        axis.axis("off")
    return figure, axes


def _draw_face(axis: Axes, answers: Answers, index: int, below: str) -> None:
    """Draw one face under what is said of it, marked as right or wrong, and a second line."""
    row = answers.probabilities[index]
    is_right = row.argmax() == answers.truth[index]
    said = f"{'✓' if is_right else '✗'} {answers.faces.label_names[row.argmax()]} {row.max():.0%}"
    axis.imshow(answers.faces.images[index], cmap="gray", vmin=0, vmax=255)
    axis.set_title(f"{said}\n{below}", fontsize=8, color=RIGHT_COLOUR if is_right else WRONG_COLOUR)


def _write(figure: Figure, path: Path) -> None:
    try:
        FigureCanvasAgg(figure).print_figure(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The picture {path} cannot be written ({error}). Give a .png in an existing folder."
        ) from None
