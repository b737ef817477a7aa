"""What makes a trained network a model that serves: a fitted temperature, figures, weights and a card."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from contracts.model_card import read_card
from models.checkpoints import save_model
from models.networks import EmotionNet
from models.predictor import EmotionPredictor
from training.calibration import calibrate, measure_reported
from training.datasets import FaceDataset
from training.experiments import Served

FIGURES_NOTE = "reported on half B; chosen and calibrated on half A; trained on neither"


def write_model(
    network: EmotionNet,
    name: str,
    served: Served,
    folder: Path,
    selection: FaceDataset,
    reported: FaceDataset,
    training: dict[str, Any],
    device: str,
    report: Callable[[str], None],
) -> Path:
    """Calibrate ``network`` on ``selection``, measure it on ``reported``, write its weights and card to ``folder``.

    ``training`` is what the card says of the training. Returns the card's path.

    Raises:
        DataError: a half has no FER+ votes, or no face with a majority.
    """
    save = partial(
        save_model,
        network=network,
        name=name,
        input_contract=served.input,
        window_length=served.window_length,
        training=training,
    )
    with tempfile.TemporaryDirectory() as draft:
        uncalibrated = EmotionPredictor(str(save(Path(draft))), device, backend="torch")
        temperature, calibration = calibrate(uncalibrated, selection)
        predictor = EmotionPredictor(str(save(Path(draft), temperature=temperature)), device, backend="torch")
        figures = measure_reported(predictor, reported)
    report(f"temperature {temperature}, fitted on {selection.name}")
    for labels, found in figures.items():
        report(
            f"{reported.name}, {labels}: accuracy {found['accuracy']}, macro F1 {found['macro_f1']}, ECE {found['ece']}"
        )
    card_figures = {"note": FIGURES_NOTE, "calibration": calibration, reported.name: figures}
    card_path = save(folder, temperature=temperature, figures=card_figures)
    report(f"wrote {card_path} ({read_card(str(card_path)).model_id}) and its weights")
    return card_path
