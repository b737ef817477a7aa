"""The temporal benchmark: does the network's view of a whole window beat its own CNN, frame by frame or smoothed?

Every system is the same model file: ``model`` reads windows, ``cnn`` the same crops as windows of one, and the others
smooth the CNN's probabilities. Standard errors are over clips, whose crops are not independent.

Tensor lines end with their shape: N clips, T crops in a clip, K emotions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from models.predictor import EmotionPredictor
from training.ckplus import STEP_S, CkPlus
from training.datasets import FaceDataset
from training.evaluation import Evaluation, score, select_labelled
from training.events import compute_event_f1, measure_lag
from training.smoothing import Probabilities, choose_smoother, list_smoothers
from training.temporal_sets import LENGTH, SET_NAMES, ClipSet, make_set

NEAR_CROPS = 4
CURVE_CROPS = 8
_WINDOWS_PER_PASS = 256
# Tuning wants a stable choice among a few smoothers, not a figure.
TUNING_CLIPS = 500
MAX_FLIPS_RATIO = 0.5
# As many crops as CK+ has of a sequence.
SHORT_CROPS = 3
JOINTLY, GENEROUSLY = "smoothed", "smoothed, tuned on this very set"


@dataclass(frozen=True)
class SetAnswers:
    """A set of clips and each system's probabilities (N T K) for it."""

    clips: ClipSet
    answers: dict[str, Probabilities]


def answer_by_window(predictor: EmotionPredictor, crops: NDArray[np.uint8], times_s: list[float]) -> Probabilities:
    """Return the model's probabilities (N T K) for clips of crops (N T H W) at ``times_s`` (T)."""
    return np.stack(_predict(predictor, list(crops), [times_s] * len(crops)))


def answer_by_frame(predictor: EmotionPredictor, crops: NDArray[np.uint8]) -> Probabilities:
    """Return the probabilities (N T K) for clips of crops (N T H W) when each crop is a window of one."""
    alone = crops.reshape(-1, 1, *crops.shape[2:])
    rows = _predict(predictor, list(alone), [[0.0]] * len(alone))
    return np.concatenate(rows).reshape(*crops.shape[:2], -1)


def _predict(
    predictor: EmotionPredictor, windows: list[NDArray[np.uint8]], times_s: list[list[float]]
) -> list[Probabilities]:
    out: list[Probabilities] = []
    for start in range(0, len(windows), _WINDOWS_PER_PASS):
        part = slice(start, start + _WINDOWS_PER_PASS)
        out += predictor.predict(windows[part], times_s[part])
    return out


def tune_smoother(predictor: EmotionPredictor, training: FaceDataset, number: int, seed: int) -> str:
    """Return the smoother that suits a mix of steady and switching clips of training stills best.

    Raises:
        DataError: the training data has no votes.
    """
    faces, truth = select_labelled(training, "ferplus")
    sets = [make_set(name, faces, truth, number, seed) for name in ("steady", "switching")]
    probabilities = np.concatenate([answer_by_frame(predictor, clips.crops) for clips in sets])
    return choose_smoother(probabilities, np.concatenate([clips.truth for clips in sets]))


def answer_set(predictor: EmotionPredictor, clips: ClipSet, smoother: str) -> SetAnswers:
    """Let all systems answer ``clips``; ``smoother`` is the jointly tuned one."""
    frames = answer_by_frame(predictor, clips.crops)
    best = choose_smoother(frames, clips.truth)
    return SetAnswers(
        clips,
        {
            "model": answer_by_window(predictor, clips.crops, clips.times_s),
            "cnn": frames,
            JOINTLY: list_smoothers()[smoother](frames),
            GENEROUSLY: list_smoothers()[best](frames),
        },
    )


def measure_set(found: SetAnswers, model_id: str) -> dict[str, Any]:
    """Return a set's figures: each system's, and how far the model lies above the others, in points."""
    clips = found.clips
    near = find_near(clips)
    systems = {name: _measure_system(clips, answer, near, model_id) for name, answer in found.answers.items()}
    right = {name: answer.argmax(-1) == clips.truth for name, answer in found.answers.items()}
    margins = {}
    for name in list(found.answers)[1:]:
        gain = right["model"].astype(np.float64) - right[name]
        margins[f"model - {name}"] = {"accuracy": _to_points(gain)}
        if near.any():
            margins[f"model - {name}"]["near_accuracy"] = _to_points(_select(gain, near))
    best = choose_smoother(found.answers["cnn"], clips.truth)
    return {"n": len(clips), "smoother_tuned_on_this_set": best, "systems": systems, "margins_points": margins}


def _measure_system(clips: ClipSet, answer: Probabilities, near: NDArray[np.bool_], model_id: str) -> dict[str, Any]:
    predicted = answer.argmax(-1)
    right = (predicted == clips.truth).astype(np.float64)
    frames = score(answer.reshape(-1, len(EMOTIONS)), clips.truth.ravel(), model_id, "ferplus")
    figures: dict[str, Any] = {
        "accuracy": _to_points(right),
        "accuracy_of_clear": round(100 * float(right[~clips.is_spoilt].mean()), 2),
        "accuracy_of_spoilt": round(100 * float(right[clips.is_spoilt].mean()), 2),
        "frame_macro_f1": round(frames.macro_f1, 4),
        "event_f1": round(compute_event_f1(clips.truth, predicted), 4),
        "ece": round(frames.ece, 4),
    }
    if near.any():
        lag, missed = measure_lag(predicted, clips.truth, clips.switch_at)
        figures["near_accuracy"] = _to_points(_select(right, near))
        figures["lag_crops"] = round(lag, 3) if lag is not None else None
        figures["switches_missed"] = round(missed, 4)
        figures["accuracy_by_distance"] = measure_curve(right, clips.switch_at)
    return figures


def find_near(clips: ClipSet) -> NDArray[np.bool_]:
    """Return which crops (N T) are among the four before the switch or the four from it on; none in steady clips."""
    distance = np.arange(LENGTH)[None, :] - clips.switch_at[:, None]
    near: NDArray[np.bool_] = (distance >= -NEAR_CROPS) & (distance < NEAR_CROPS)
    return near & (clips.switch_at < LENGTH)[:, None]


def measure_curve(right: NDArray[np.float64], switch_at: NDArray[np.int64]) -> dict[int, float]:
    """Return the accuracy in percent by distance from the switch in crops; 0 is the second still's first."""
    distance = np.arange(right.shape[1])[None, :] - switch_at[:, None]
    return {
        step: round(100 * float(right[distance == step].mean()), 2)
        for step in range(-CURVE_CROPS, CURVE_CROPS)
        if (distance == step).any()
    }


def _select(values: NDArray[np.float64], chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return values (N T) with those not ``chosen`` as NaN."""
    return np.where(chosen, values, np.nan)


def _to_points(values: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean of values (N T, NaN left out) in percent and its standard error over clips."""
    by_clip = 100 * np.nanmean(values, 1)
    return {"mean": round(float(by_clip.mean()), 2), "se": round(float(by_clip.std(ddof=1) / np.sqrt(len(by_clip))), 2)}


def measure_sets(
    predictor: EmotionPredictor, faces: FaceDataset, number: int, seed: int, smoother: str
) -> dict[str, SetAnswers]:
    """Let all systems answer the four sets of ``number`` clips made from ``faces``.

    Raises:
        DataError: the faces have no votes.
    """
    labelled, truth = select_labelled(faces, "ferplus")
    return {name: answer_set(predictor, make_set(name, labelled, truth, number, seed), smoother) for name in SET_NAMES}


def measure_ckplus(predictor: EmotionPredictor, ckplus: CkPlus) -> dict[str, Any]:
    """Return the figures of windows over CK+'s sequences of three frames, and of their frames alone.

    All frames of a sequence carry its label, so each is one event. A model that learned from some of the subjects is to
    be given the others.
    """
    expected, sequences = ckplus.find_emotions(), ckplus.list_sequences()
    windows = [ckplus.faces.images[rows] for rows in sequences]
    times_s = [[index * STEP_S for index in range(len(rows))] for rows in sequences]
    alone = [image[None] for window in windows for image in window]
    answers = {
        "model": np.concatenate(_predict(predictor, windows, times_s)),
        "cnn": np.concatenate(_predict(predictor, alone, [[0.0]] * len(alone))),
    }
    rows = np.concatenate(sequences)
    borders = np.cumsum([len(sequence) for sequence in sequences])[:-1]
    truth = np.split(expected[rows], borders)
    predicted = {name: np.split(answer.argmax(1), borders) for name, answer in answers.items()}
    right = {
        name: np.array([np.mean(one == true) for one, true in zip(found, truth, strict=True)])[:, None]
        for name, found in predicted.items()
    }
    scored = {name: score(answer, expected[rows], name, "own") for name, answer in answers.items()}
    return {
        "n_frames": len(rows),
        "n_sequences": len(sequences),
        "accuracy": {name: _to_points(values) for name, values in right.items()},
        "frame_macro_f1": {name: round(_average_f1(found), 4) for name, found in scored.items()},
        "event_f1": {name: round(compute_event_f1(truth, found), 4) for name, found in predicted.items()},
        "margin_points": _to_points(right["model"] - right["cnn"]),
    }


def _average_f1(found: Evaluation) -> float:
    """Return the mean F1 of the emotions that occur: CK+ has no neutral, however often it is named."""
    return float(np.mean([figures.f1 for figures in found.per_class.values() if figures.n]))


def measure_short_windows(predictor: EmotionPredictor, faces: FaceDataset) -> dict[str, Any]:
    """Return how many percent of the neutral faces are named neutral when shown three times in a tenth of a second, and
    alone. CK+'s sequences are as short and never neutral: what is learned from them may be that.

    Raises:
        DataError: the faces have no votes.
        ValueError: none of them is neutral.
    """
    labelled, truth = select_labelled(faces, "ferplus")
    neutral = EMOTIONS.index("neutral")
    crops = np.repeat(labelled.images[truth == neutral][:, None], SHORT_CROPS, 1)
    answers = {
        "model": answer_by_window(predictor, crops, [index * STEP_S for index in range(SHORT_CROPS)]),
        "cnn": answer_by_frame(predictor, crops),
    }
    named = {name: _to_points((found.argmax(-1) == neutral).astype(np.float64)) for name, found in answers.items()}
    return {"crops": SHORT_CROPS, "step_s": round(STEP_S, 4), "n": len(crops), "named_neutral": named}


def list_floors(
    sets: dict[str, Any], ckplus: dict[str, Any] | None, real: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Return what the temporal part must reach to have a reason to exist: ``what``, ``found``, ``floor``, ``reached``.

    The best smoothing is one for all clips, because nobody knows beforehand which kind a face will be; ``harder`` is
    what is found against one tuned on the very set that is measured.
    """

    def gain(name: str, other: str, figure: str = "accuracy") -> float:
        return float(sets[name]["margins_points"][f"model - {other}"][figure]["mean"])

    floors = [
        _make_floor("steady: points over the CNN", gain("steady", "cnn"), 20),
        _make_floor("switching: points over the CNN", gain("switching", "cnn"), 20),
    ]
    for words, name, figure, floor in (
        ("steady", "steady", "accuracy", 1),
        ("switching", "switching", "accuracy", 8),
        ("near the switch", "switching", "near_accuracy", 8),
        ("switching, unseen", "switching, unseen", "accuracy", 3),
    ):
        row = _make_floor(f"{words}: points over the best smoothing", gain(name, JOINTLY, figure), floor)
        floors.append({**row, "harder": gain(name, GENEROUSLY, figure)})
    if ckplus:
        floors.append(_make_floor("CK+'s ordered frames: points over the CNN", ckplus["margin_points"]["mean"], 0))
    if real:
        flips = {name: figures["flips"] for name, figures in real["total"]["systems"].items()}
        is_calm = flips["model"] <= MAX_FLIPS_RATIO * flips["cnn"]
        ratio = real["total"]["flips_ratio_to_cnn"]
        floors.append(
            {"what": "real clips: flips over the CNN's", "found": ratio, "ceiling": MAX_FLIPS_RATIO, "reached": is_calm}
        )
    return floors


def _make_floor(what: str, found: float, floor: float) -> dict[str, Any]:
    return {"what": what, "found": found, "floor": floor, "reached": found >= floor}
