"""The figures of a trained network: on the reported half, by kind of label; over the folds of CK+."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.predictor import EmotionPredictor
from training.attention_maps import average_attention
from training.conditions import measure_conditions
from training.datasets import REPORTED, TRAINING, FaceDataset
from training.devices import read_clock_s
from training.duplicates import MAX_DISTANCE, compute_hashes, count_duplicates, find_near
from training.evaluation import Answers, Classifier, Evaluation, Labels, ServedClassifier, answer, find_truth
from training.experiments import Experiment
from training.trained import TrainedClassifier

DIGITS = 4
WARM_UP_IMAGES = 256


def measure_faces(
    experiment: Experiment,
    network: nn.Module,
    splits: dict[str, FaceDataset],
    device: torch.device,
    card_path: Path | None = None,
) -> dict[str, Any]:
    """Return what a record says of a network's answers: ``metrics`` by split and kind of label, ``ms_per_image``.

    A served model is measured through its predictor, by its card at ``card_path``. FER2013 is reported on half B
    alone, against the original labels and against FER+'s majorities, and once more without the faces that are nearly
    in Training; other sets against their ``own`` labels.
    """
    classifier: Classifier = (
        ServedClassifier(EmotionPredictor(str(card_path), device.type, backend="torch"))
        if card_path is not None
        else TrainedClassifier(experiment, network, device)
    )
    if experiment.data != "fer2013":
        (reported,) = splits.values()
        ms_per_image = _time(classifier, reported, "own")
        found = answer(classifier, reported, "own").score()
        return {"metrics": {reported.name: {"own": to_figures(found)}}, "ms_per_image": ms_per_image}
    reported = splits[REPORTED]
    kinds = [kind for kind in _list_kinds(reported) if (find_truth(reported, kind) >= 0).any()]
    ms_per_image = _time(classifier, reported, kinds[-1])
    answers = {kind: answer(classifier, reported, kind) for kind in kinds}
    record = {
        **({"card": card_path.name} if card_path is not None else {}),
        "metrics": {REPORTED: {kind: to_figures(found.score()) for kind, found in answers.items()}},
        "ms_per_image": ms_per_image,
        **_measure_without_duplicates(answers, splits),
    }
    attention = average_attention(network, reported)
    if attention is not None:
        record["attention"] = attention
    if experiment.measures_conditions:
        # A model that serves answers FER+'s question; what a paper reports is about the original labels.
        kind: Labels = "ferplus" if experiment.served is not None else "fer2013"
        record |= {"conditions_labels": kind, "conditions": measure_conditions(classifier, reported, kind)}
    return record


def to_figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation as a record holds it, ratios rounded to four digits."""
    plain = asdict(evaluation)
    for key in ("model", "labels", "coverage_accuracy"):
        del plain[key]
    return {key: _round(value) for key, value in plain.items()}


def summarise_folds(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation over folds of each ratio, the number of faces, and the summed confusions."""
    names = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
    values = {name: [fold[name] for fold in figures] for name in names}
    return {
        "n": sum(fold["n"] for fold in figures),
        "mean": {name: round(float(np.mean(of_name)), DIGITS) for name, of_name in values.items()},
        "std": {name: round(float(np.std(of_name, ddof=1)), DIGITS) for name, of_name in values.items()},
        "confusion_matrix": np.sum([fold["confusion_matrix"] for fold in figures], axis=0).tolist(),
    }


def _list_kinds(faces: FaceDataset) -> tuple[Labels, ...]:
    return ("fer2013",) if faces.votes is None else ("fer2013", "ferplus")


def _measure_without_duplicates(answers: dict[Labels, Answers], splits: dict[str, FaceDataset]) -> dict[str, Any]:
    """Return how many reported faces are nearly in Training, and the figures of the others by kind of label."""
    hashes = {name: compute_hashes(faces.images) for name, faces in splits.items()}
    is_near = find_near(hashes[REPORTED], hashes[TRAINING])
    figures = {}
    for kind, found in answers.items():
        is_kept: NDArray[np.bool_] = ~is_near[find_truth(splits[REPORTED], kind) >= 0]
        if is_kept.any():
            scored = to_figures(found.select(is_kept).score())
            figures[kind] = {name: scored[name] for name in ("n", "accuracy", "macro_f1")}
    return {
        "near_duplicates": {
            "of": len(is_near),
            "in_training": int(is_near.sum()),
            "max_distance": MAX_DISTANCE,
            "pairs": count_duplicates(hashes),
        },
        "metrics_without_duplicates": figures,
    }


def _time(classifier: Classifier, faces: FaceDataset, labels: Labels) -> float:
    """Return the milliseconds (see ``read_clock_s``) of each image, preprocessing included, after a pass to warm up."""
    classifier.compute_logits(faces.images[:WARM_UP_IMAGES], labels)
    start_s = read_clock_s(classifier.device)
    classifier.compute_logits(faces.images, labels)
    return round(1000 * (read_clock_s(classifier.device) - start_s) / len(faces), 3)


def _round(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _round(item) for key, item in value.items()}
    return value
