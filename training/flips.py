"""How calm a timeline of real video is: label flips per minute of face time, windows as served against single crops.

There is no truth to compare with, so the figures come with a guard: how far the model's probabilities lie from the
CNN's, plain and smoothed. A model that merely froze would have no flips and be far from both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.messages import CropSequence
from models.predictor import EmotionPredictor
from training.events import count_flips
from training.smoothing import Probabilities, list_smoothers


@dataclass(frozen=True)
class FaceTimeline:
    """One track without gaps: times (T) in seconds, the crops (T H W), and each system's probabilities (T K)."""

    times_s: NDArray[np.float64]
    crops: NDArray[np.uint8]
    answers: dict[str, Probabilities]

    @property
    def face_s(self) -> float:
        return float(self.times_s[-1] - self.times_s[0])


def answer_windows(
    predictor: EmotionPredictor, sequences: Sequence[CropSequence], smoother: str, max_gap_s: float
) -> list[FaceTimeline]:
    """Return the timelines that the stitched windows of one recording make: one per track and stretch without a gap.

    ``sequences`` are in the order of their emission; ``smoother`` names the one that stands beside the model.
    """
    windows = predictor.predict(
        [sequence.read_crops() for sequence in sequences], [sequence.times_s for sequence in sequences]
    )
    parts: dict[int, list[tuple[NDArray[np.float64], NDArray[np.uint8], Probabilities]]] = {}
    for sequence, answer in zip(sequences, windows, strict=True):
        stored = slice(sequence.store_from, sequence.store_to)
        times_s = np.array(sequence.times_s[stored])
        parts.setdefault(sequence.track_id, []).append((times_s, sequence.read_crops()[stored], answer[stored]))
    timelines = []
    for track in parts.values():
        times_s, crops, model = (np.concatenate(values) for values in zip(*track, strict=True))
        for stretch in np.split(np.arange(len(times_s)), np.flatnonzero(np.diff(times_s) > max_gap_s) + 1):
            alone = [crop[None] for crop in crops[stretch]]
            cnn = np.concatenate(predictor.predict(alone, [[0.0]] * len(alone)))
            smoothed = list_smoothers()[smoother](cnn)
            answers = {"model": model[stretch], "cnn": cnn, "smoothed": smoothed}
            timelines.append(FaceTimeline(times_s[stretch], crops[stretch], answers))
    return timelines


def measure_flips(timelines: Sequence[FaceTimeline]) -> dict[str, Any]:
    """Return the face time, and per system the flips, flips per minute and distance from the model (mean |p - q|)."""
    minutes = sum(timeline.face_s for timeline in timelines) / 60
    names = ("model", "cnn", "smoothed")
    flips = {name: sum(count_flips(line.answers[name].argmax(-1)) for line in timelines) for name in names}
    systems = {}
    for name in names:
        distances = [np.abs(timeline.answers[name] - timeline.answers["model"]).mean(1) for timeline in timelines]
        systems[name] = {
            "flips": flips[name],
            "flips_per_minute": round(flips[name] / minutes, 2) if minutes else None,
            "mean_distance_from_model": round(float(np.concatenate(distances).mean()), 4) if distances else None,
        }
    return {
        "face_minutes": round(minutes, 3),
        "crops": sum(len(timeline.times_s) for timeline in timelines),
        "flips_ratio_to_cnn": round(flips["model"] / flips["cnn"], 3) if flips["cnn"] else None,
        "systems": systems,
    }
