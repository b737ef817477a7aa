"""Figures of a classifier on labelled faces; a model that serves answers through the same code that serves."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from models.predictor import EmotionPredictor, LabelKind, compute_probabilities
from training.datasets import FaceDataset, find_majority

# FER+'s majorities, FER2013's original labels, or what another set says of itself.
Labels = Literal["ferplus", "fer2013", "own"]

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

    ``confusion_matrix`` counts faces, rows true and columns predicted, in the order of ``per_class``. The macro
    figures are means over the emotions that occur as truth or prediction. ``coverage_accuracy`` holds (threshold, share
    of faces whose confidence reaches it, accuracy on those, or None where there are none).
    """

    n: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[int]]
    ece: float
    model: str
    labels: str
    coverage_accuracy: list[tuple[float, float, float | None]]


class Classifier(Protocol):
    """Anything that names the emotion on single crops: a model that serves, a trained network.

    ``name`` is what figures and pictures call it, ``label_names`` are the classes (K) it knows. Its logits are divided
    by ``temperature``. ``backend`` computes them on ``device`` in ``precision``.
    """

    @property
    def name(self) -> str: ...
    @property
    def label_names(self) -> tuple[str, ...]: ...
    @property
    def temperature(self) -> float: ...
    @property
    def backend(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def device(self) -> torch.device: ...

    def compute_logits(self, images: NDArray[np.uint8], labels: Labels) -> NDArray[np.float32]:
        """Return the logits (N K) of each of the images (N H W), as an answer to ``labels``."""


class ServedClassifier:
    """A model that serves: each crop is a window of one, asked of the head that learned the labels."""

    def __init__(self, predictor: EmotionPredictor) -> None:
        self._predictor = predictor
        self.name = predictor.card.model_id
        self.label_names: tuple[str, ...] = EMOTIONS
        self.temperature = predictor.card.temperature
        self.backend = predictor.backend.name
        self.device = predictor.device
        self.precision = str(predictor.backend.precision).removeprefix("torch.")

    def compute_logits(self, images: NDArray[np.uint8], labels: Labels) -> NDArray[np.float32]:
        """Return the logits (N K) of each image.

        Raises:
            ModelError: the images are not what the model takes.
        """
        kind: LabelKind = "ferplus" if labels == "ferplus" else "fer2013"
        return np.concatenate(self._predictor.compute_logits(list(images[:, None]), [[0.0]] * len(images), kind))


@dataclass(frozen=True)
class Answers:
    """What the classifier ``model`` says of the N ``faces``: ``probabilities`` (N K), beside the ``truth`` (N).

    ``labels`` say the truth; classes are counted by ``faces.label_names``.
    """

    model: str
    labels: Labels
    faces: FaceDataset
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def select(self, mask: NDArray[np.bool_]) -> "Answers":
        faces = self.faces.select(mask, self.faces.name)
        return Answers(self.model, self.labels, faces, self.truth[mask], self.probabilities[mask])

    def score(self) -> Evaluation:
        return score(self.probabilities, self.truth, self.model, self.labels, self.faces.label_names)


def evaluate(classifier: Classifier, dataset: FaceDataset, labels: Labels) -> Evaluation:
    """Return the figures of the classifier's answers; see ``answer``."""
    return answer(classifier, dataset, labels).score()


def answer(classifier: Classifier, dataset: FaceDataset, labels: Labels) -> Answers:
    """Ask the classifier for the faces of ``dataset`` that have ``labels``, without test-time augmentation.

    ``ferplus`` is the majority of FER+'s voters and leaves out what has none among the emotions; ``fer2013`` and
    ``own`` are the original labels. Only faces whose original label the classifier knows are asked for. All logits
    are divided by the classifier's one temperature, which for a model that serves was fitted on FER+ majorities.

    Raises:
        DataError: there are no votes, or no face has such a label.
        ModelError: the crops are not what the model takes.
    """
    labelled, truth = select_labelled(keep_known(dataset, classifier), labels)
    logits = classifier.compute_logits(labelled.images, labels)
    return Answers(classifier.name, labels, labelled, truth, compute_probabilities(logits, classifier.temperature))


def keep_known(dataset: FaceDataset, classifier: Classifier) -> FaceDataset:
    """Return the faces whose original label the classifier knows, with its classes."""
    known = classifier.label_names
    return dataset if dataset.label_names == known else dataset.keep_labels(known)


def join(parts: list[Answers], model: str, name: str) -> Answers:
    """Return the answers of several classifiers of the same classes, such as those of folds, as those of one."""
    faces = FaceDataset(
        name,
        np.concatenate([part.faces.images for part in parts]),
        np.concatenate([part.faces.labels for part in parts]),
        None,
        parts[0].faces.label_names,
    )
    truth = np.concatenate([part.truth for part in parts])
    return Answers(model, parts[0].labels, faces, truth, np.concatenate([part.probabilities for part in parts]))


def select_labelled(dataset: FaceDataset, labels: Labels) -> tuple[FaceDataset, NDArray[np.int64]]:
    """Return the faces that ``labels`` say something of, and their class indices (N).

    Raises:
        DataError: there are no votes, or no face has such a label.
    """
    truth = find_truth(dataset, labels)
    if not (truth >= 0).any():
        names = "the seven emotions" if dataset.label_names == EMOTIONS else ", ".join(dataset.label_names)
        what = "majority" if labels == "ferplus" else "label"
        raise DataError(f"No face of {dataset.name} has a {what} among {names}. Give more images.")
    return dataset.select(truth >= 0, dataset.name), truth[truth >= 0]


def find_truth(dataset: FaceDataset, labels: Labels) -> NDArray[np.int64]:
    """Return the class index (N) of each face by ``labels``, -1 where they say nothing of it.

    Raises:
        DataError: there are no votes.
    """
    if labels != "ferplus":
        return dataset.labels
    names = dataset.label_names
    class_of = np.array([*(names.index(emotion) if emotion in names else -1 for emotion in EMOTIONS), -1])
    truth: NDArray[np.int64] = class_of[find_majority(dataset.get_votes())]
    return truth


def score(
    probabilities: NDArray[np.float32],
    truth: NDArray[np.int64],
    model: str,
    labels: str,
    label_names: tuple[str, ...] = EMOTIONS,
) -> Evaluation:
    """Return the figures of ``probabilities`` (N K) against class indices (N) of the classes ``label_names`` (K)."""
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    right = predicted == truth
    confusion = np.zeros((len(label_names), len(label_names)), dtype=np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    num_true, num_predicted = confusion.sum(1), confusion.sum(0)
    per_class = {
        emotion: ClassFigures(
            precision=_divide(confusion[k, k], num_predicted[k]),
            recall=_divide(confusion[k, k], num_true[k]),
            f1=_divide(2 * confusion[k, k], num_true[k] + num_predicted[k]),
            n=int(num_true[k]),
        )
        for k, emotion in enumerate(label_names)
    }
    occurring = [per_class[label_names[k]] for k in np.flatnonzero(num_true + num_predicted)]
    return Evaluation(
        n=len(truth),
        accuracy=float(right.mean()),
        macro_precision=float(np.mean([of_class.precision for of_class in occurring])),
        macro_recall=float(np.mean([of_class.recall for of_class in occurring])),
        macro_f1=float(np.mean([of_class.f1 for of_class in occurring])),
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
