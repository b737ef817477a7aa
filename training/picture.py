"""A picture of labelled faces beside what a model says of them."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from contracts.emotions import EMOTIONS
from contracts.errors import UsageError
from models.predictor import EmotionPredictor, LabelKind, compute_probabilities
from training.datasets import FaceDataset
from training.evaluation import compute_still_logits, select_labelled

ROWS, COLUMNS = 4, 8
# Okabe and Ito's green and vermilion; the mark says the same to those who see no difference.
RIGHT_COLOUR, WRONG_COLOUR = "#00805B", "#D55E00"


def draw_faces(predictor: EmotionPredictor, dataset: FaceDataset, labels: LabelKind, path: Path, seed: int = 0) -> None:
    """Draw random faces, the same for the same ``seed``, with true and predicted emotion, to ``path``.

    Raises:
        DataError: there are no votes, or no face has a majority.
        UsageError: the path cannot be written or has no picture's suffix.
    """
    labelled, truth = select_labelled(dataset, labels)
    number = min(ROWS * COLUMNS, len(labelled))
    chosen = np.sort(np.random.default_rng(seed).choice(len(labelled), number, replace=False))
    faces = FaceDataset(labelled.name, labelled.images[chosen], labelled.labels[chosen], None)
    probabilities = compute_probabilities(compute_still_logits(predictor, faces, labels), predictor.card.temperature)

    figure = Figure(figsize=(COLUMNS * 1.5, ROWS * 1.9), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(ROWS, COLUMNS).flatten()
    for axis in axes:
        axis.axis("off")
    for axis, image, true, row in zip(axes, faces.images, truth[chosen], probabilities, strict=False):
        is_right = row.argmax() == true
        said = f"{EMOTIONS[row.argmax()]} {row.max():.0%}"
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(
            f"{'✓' if is_right else '✗'} {said}\ntrue: {EMOTIONS[true]}",
            fontsize=8,
            color=RIGHT_COLOUR if is_right else WRONG_COLOUR,
        )
    figure.suptitle(f"{predictor.card.model_id} on {dataset.name} ({labels})", fontsize=10)
    try:
        canvas.print_figure(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The picture {path} cannot be written ({error}). Give a .png in an existing folder."
        ) from None
