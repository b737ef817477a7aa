"""Figures of a model on labelled faces, through the same code that serves: one crop as a window of one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from models.predictor import EmotionPredictor, LabelKind, compute_probabilities
from training.datasets import FaceDataset, find_majority

NUM_BINS = 15
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class ClassFigures:
    """``n`` is the number of faces that truly show the emotion; a ratio with nothing below the line is 0."""

    precision: float
    recall: float
    f1: float
    n: int


@dataclass(frozen=True)
class Evaluation:
    """How well a model agrees with ``labels`` on ``n`` faces.

    ``confusion_matrix`` counts faces, rows true and columns predicted, in the order of ``EMOTIONS``. ``macro_f1`` is
    the mean F1 of the emotions that occur as truth or prediction. ``coverage_accuracy`` holds (threshold, share of
    faces whose confidence reaches it, accuracy on those, or None where there are none).
    """

    n: int
    accuracy: float
    macro_f1: float
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[int]]
    ece: float
    model: str
    labels: LabelKind
    coverage_accuracy: list[tuple[float, float, float | None]]


def evaluate(predictor: EmotionPredictor, dataset: FaceDataset, labels: LabelKind) -> Evaluation:
    """Compare the predictor's answers with ``labels``, without test-time augmentation.

    ``ferplus`` compares with the majority of FER+'s voters and leaves out what has none among the seven emotions;
    ``fer2013`` compares all images with their original labels, through the head that learned those. Both divide the
    logits by the model's one temperature, which was fitted on FER+ majorities.

    Raises:
        DataError: there are no votes, or no face has a majority.
        ModelError: the crops are not what the model takes.
    """
    labelled, truth = select_labelled(dataset, labels)
    logits = compute_still_logits(predictor, labelled, labels)
    probabilities = compute_probabilities(logits, predictor.card.temperature)
    return score(probabilities, truth, predictor.card.model_id, labels)


def select_labelled(dataset: FaceDataset, labels: LabelKind) -> tuple[FaceDataset, NDArray[np.int64]]:
    """Return the faces that ``labels`` say something of, and their class indices (N).

    Raises:
        DataError: there are no votes, or no face has a majority.
    """
    truth = find_majority(dataset.get_votes()) if labels == "ferplus" else dataset.labels
    if not (truth >= 0).any():
        raise DataError(f"No face of {dataset.name} has a majority among the seven emotions. Give more images.")
    return dataset.select(truth >= 0, dataset.name), truth[truth >= 0]


def compute_still_logits(predictor: EmotionPredictor, dataset: FaceDataset, labels: LabelKind) -> NDArray[np.float32]:
    """Return the logits (N K) of each image as a window of one."""
    return np.concatenate(predictor.compute_logits(list(dataset.images[:, None]), labels))


def score(probabilities: NDArray[np.float32], truth: NDArray[np.int64], model: str, labels: LabelKind) -> Evaluation:
    """Return the figures of ``probabilities`` (N K) against class indices (N)."""
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    right = predicted == truth
    confusion = np.zeros((len(EMOTIONS), len(EMOTIONS)), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    num_true, num_predicted = confusion.sum(1), confusion.sum(0)
    per_class = {
        emotion: ClassFigures(
            precision=_divide(confusion[k, k], num_predicted[k]),
            recall=_divide(confusion[k, k], num_true[k]),
            f1=_divide(2 * confusion[k, k], num_true[k] + num_predicted[k]),
            n=int(num_true[k]),
        )
        for k, emotion in enumerate(EMOTIONS)
    }
    occurring = [per_class[EMOTIONS[k]].f1 for k in np.flatnonzero(num_true + num_predicted)]
    return Evaluation(
        n=len(truth),
        accuracy=float(right.mean()),
        macro_f1=float(np.mean(occurring)),
        per_class=per_class,
        confusion_matrix=confusion.tolist(),
        ece=compute_ece(confidence, right),
        model=model,
        labels=labels,
        coverage_accuracy=[_measure_coverage(confidence, right, threshold) for threshold in THRESHOLDS],
    )


def compute_ece(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Return the expected calibration error: the mean gap between confidence and accuracy over 15 equal bins.

    Bins are open below and closed above and weigh as many faces as they hold (Guo et al. 2017, equation 3).
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(np.int64) - 1, 0, NUM_BINS - 1)
    gaps = np.bincount(bins, weights=confidence.astype(np.float64) - right, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def _measure_coverage(
    confidence: NDArray[np.float32], right: NDArray[np.bool_], threshold: float
) -> tuple[float, float, float | None]:
    kept = confidence >= threshold
    return threshold, float(kept.mean()), float(right[kept].mean()) if kept.any() else None


def _divide(above: np.int64, below: np.int64) -> float:
    return float(above / below) if below else 0.0
