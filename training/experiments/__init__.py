"""Experiments: one module each, found by name. An experiment is a network and the stages that train it."""

import importlib
import pkgutil
from typing import Protocol, cast

import torch

from contracts.errors import UsageError
from contracts.model_card import InputContract
from models.networks import EmotionNet
from training.datasets import FaceDataset
from training.engine import Stage


class Experiment(Protocol):
    """What a module in this folder offers. ``NAME`` is the model's name as well."""

    NAME: str
    INPUT: InputContract
    WINDOW_LENGTH: int

    def make_network(self) -> EmotionNet: ...

    def make_stages(self, training: FaceDataset, selection: FaceDataset, device: torch.device) -> list[Stage]: ...


def list_experiments() -> list[str]:
    """Return the names of the experiments, which are those of this folder's modules."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_experiment(name: str) -> Experiment:
    """Return the experiment called ``name``.

    Raises:
        UsageError: there is none.
    """
    if name not in list_experiments():
        raise UsageError(f"There is no experiment {name!r}. Expected one of: {', '.join(list_experiments())}.")
    return cast(Experiment, importlib.import_module(f"{__name__}.{name}"))
