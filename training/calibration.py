"""Fit a model's temperature on one half of PublicTest and report its figures on the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.predictor import EmotionPredictor
from training.datasets import FaceDataset
from training.evaluation import Labels, ServedClassifier, evaluate, select_labelled


def calibrate(predictor: EmotionPredictor, selection: FaceDataset) -> tuple[float, dict[str, Any]]:
    """Return the temperature for ``predictor`` fitted on ``selection``, and a record of the fit for the card.

    The target is the majority of FER+'s votes, by negative log likelihood: a confidence of 0.8 then means that four
    of five such faces are named right, which is also what the reported calibration error measures.

    Raises:
        DataError: there are no votes, or no face has a majority.
    """
    faces, truth = select_labelled(selection, "ferplus")
    logits = ServedClassifier(predictor).compute_logits(faces.images, "ferplus")
    temperature = round(fit_temperature(logits, truth), 4)
    return temperature, {
        "split": selection.name,
        "target": "the majority of FER+ votes, by negative log likelihood",
        "n": len(truth),
        "nll_before": round(compute_nll(logits, truth, 1.0), 4),
        "nll_after": round(compute_nll(logits, truth, temperature), 4),
    }


def measure_reported(predictor: EmotionPredictor, reported: FaceDataset) -> dict[str, dict[str, Any]]:
    """Return the figures on ``reported`` for the card, by kind of label.

    Raises:
        DataError: there are no votes, or no face has a majority.
    """
    figures: dict[str, dict[str, Any]] = {}
    kinds: tuple[Labels, ...] = ("ferplus", "fer2013")
    for labels in kinds:
        evaluation = evaluate(ServedClassifier(predictor), reported, labels)
        figures[labels] = {
            "n": evaluation.n,
            "accuracy": round(evaluation.accuracy, 4),
            "macro_f1": round(evaluation.macro_f1, 4),
            "ece": round(evaluation.ece, 4),
            "f1": {emotion: round(of_class.f1, 4) for emotion, of_class in evaluation.per_class.items()},
        }
    return figures


def compute_nll(logits: NDArray[np.float32], truth: NDArray[np.int64], temperature: float) -> float:
    """Return the mean negative log likelihood (nats) of class indices (N) under logits (N K) / ``temperature``."""
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(1, keepdims=True)
    log_normaliser = np.log(np.exp(scaled).sum(1))
    return float((log_normaliser - scaled[np.arange(len(truth)), truth]).mean())


def fit_temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Return the temperature between 0.05 and 20 that makes class indices (N) most likely under logits (N K).

    The likelihood has one peak in the temperature, so a golden-section search over its logarithm finds it.
    """
    low, high = np.log(0.05), np.log(20.0)
    shrink = (np.sqrt(5) - 1) / 2
    while high - low > 1e-4:
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        if compute_nll(logits, truth, np.exp(left)) < compute_nll(logits, truth, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))
