"""Finished runs: a run folder's weights, through the experiment's own network and preprocessing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import nn

from contracts.errors import DataError, UsageError
from models.backends import BackendChoice
from models.predictor import EmotionPredictor, find_device
from training.ckplus import read_ckplus
from training.datasets import FaceDataset
from training.devices import name_precision
from training.evaluation import Answers, Classifier, Labels, ServedClassifier, answer
from training.experiments import Experiment, find_experiment
from training.records import read_record
from training.supervised import compute_logits

RECORD_NAME = "record.json"
WEIGHTS_NAME = "network.safetensors"


class TrainedClassifier:
    """An experiment's network as it was trained: no temperature was fitted, and all labels get the same answer."""

    temperature = 1.0
    backend = "torch"

    def __init__(self, experiment: Experiment, network: nn.Module, device: torch.device, name: str = "") -> None:
        self.name = name or experiment.name
        self.label_names = experiment.labels
        self.network = network
        self.device, self.precision = device, name_precision(device)
        self._preprocess = experiment.preprocess

    def compute_logits(self, images: NDArray[np.uint8], _: Labels) -> NDArray[np.float32]:
        """Return the logits (N K) of each image."""
        on_device = torch.from_numpy(images).to(self.device)
        logits: NDArray[np.float32] = compute_logits(self.network, on_device, self._preprocess).cpu().numpy()
        return logits


@dataclass(frozen=True)
class TrainedRun:
    """A finished run: its record, and its one classifier, or one for each fold of CK+."""

    experiment: Experiment
    record: dict[str, Any]
    classifiers: list[Classifier]

    def answer_folds(self, data: Path) -> list[Answers]:
        """Ask each fold's classifier for the faces of its own fold, which it was not trained on.

        Raises:
            DataError: the data is not the CK+ that the run was trained on, so its folds hold other people.
        """
        ckplus = read_ckplus(data)
        if ckplus.faces.compute_sha256() != self.record["data_sets"]["CK+"]["sha256"]:
            raise DataError(
                f"{data} holds another CK+ than {self.experiment.name} was trained on, so its folds would hold other "
                "people. Give the same file, or train again."
            )
        folds = zip(self.classifiers, ckplus.make_folds(), strict=False)
        return [answer(classifier, tested, "own") for classifier, (_, tested) in folds]

    def draw_attention(self, data: Path, faces: FaceDataset, path: Path) -> None:
        """Draw where the network looks on some of ``faces``; on CK+ the first fold's, on the faces it is tested on.

        Raises:
            UsageError: it has no attention, or the path cannot be written.
        """
        from training.attention_maps import draw_attention  # matplotlib takes a moment to load

        first = self.classifiers[0]
        if self.experiment.data == "ckplus":
            faces = read_ckplus(data).make_folds()[0][1]
        draw_attention(first.network if isinstance(first, TrainedClassifier) else None, self.experiment, faces, path)


def read_run(folder: Path, device: str, backend: BackendChoice) -> TrainedRun:
    """Read the finished run in ``folder``; ``backend`` is for a model that serves.

    Raises:
        DataError: the folder has no record, an unknown experiment's, or no weights that fit.
        ModelError: the served model in it cannot be used.
        UsageError: the device or the backend cannot be used.
    """
    path = folder / RECORD_NAME
    if not path.exists():
        raise DataError(f"{folder} holds no finished run: {RECORD_NAME} is missing. Give a folder of emotrace train.")
    record = read_record(path)
    name = record.get("experiment")
    try:
        experiment = find_experiment(str(name))
    except UsageError as error:
        raise DataError(f"{path} is of an experiment that this release does not have. {error}") from None
    if experiment.served is not None:
        card_path = folder / str(record.get("card"))
        if not card_path.is_file():
            raise DataError(f"{folder} lacks the model card {card_path.name}. Run its command again: it is finished.")
        return TrainedRun(experiment, record, [ServedClassifier(EmotionPredictor(str(card_path), device, backend))])
    torch_device = find_device(device)
    folds = [folder / f"fold{index}" for index in range(len(record.get("folds", [])))] or [folder]
    classifiers: list[Classifier] = [
        TrainedClassifier(experiment, _read_network(experiment, fold, torch_device), torch_device, folder.name)
        for fold in folds
    ]
    return TrainedRun(experiment, record, classifiers)


def _read_network(experiment: Experiment, folder: Path, device: torch.device) -> nn.Module:
    path = folder / WEIGHTS_NAME
    network = experiment.make_network()
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path} does not hold the weights of {experiment.name} ({reason}). Train it again, or take the release "
            "that trained it."
        ) from None
    return network.requires_grad_(False).to(device).eval()
