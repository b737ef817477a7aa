"""Experiments: one module for each system, found by name.

A module offers ``EXPERIMENTS``: the system in each of its settings. An experiment is one row of the results: a
network, the stages that train it, what the paper claims for it. The loop, the protocol and the figures are elsewhere
(``engine``, ``run``, ``measure``).
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from torch import nn

from contracts.emotions import EMOTIONS
from contracts.errors import UsageError
from contracts.model_card import InputContract
from training.engine import Stage
from training.supervised import Preprocess

# The stages for (training faces, faces to select on or None, device), with the trained ``teacher`` and the
# ``sequences`` where there are such.
MakeStages = Callable[..., list[Stage]]


@dataclass(frozen=True)
class Served:
    """What the card of a served model says of its input."""

    input: InputContract
    window_length: int


@dataclass(frozen=True)
class Experiment:
    """One system in one setting.

    ``network(preprocess(crops))`` gives logits (N K) in the order of ``labels``, which name the classes of ``data``
    that it learns. ``group`` is the table it belongs to, ``title`` its words there; ``claim`` is the accuracy that the
    paper states, ``claim_note`` what one must know of that. ``config`` goes into the run record. ``starts_from`` names
    an experiment whose trained weights it begins with, where shapes agree; ``taught_by`` one whose trained network
    ``make_stages`` takes as ``teacher``; ``compared_with`` one from which it differs in one thing alone. With
    ``reads_sequences``, ``make_stages`` also takes ``sequences``, a ``training.sequences.Sequences``. ``served`` marks
    an ``EmotionNet`` that becomes a model with a card. ``measures_conditions`` marks a headline system, which is also
    measured under the conditions of ``training.conditions``.
    """

    name: str
    title: str
    group: Literal["production", "paper A", "paper B"]
    make_network: Callable[[], nn.Module]
    make_stages: MakeStages
    preprocess: Preprocess
    data: Literal["fer2013", "ckplus"] = "fer2013"
    labels: tuple[str, ...] = EMOTIONS
    claim: float | None = None
    claim_note: str = ""
    config: dict[str, object] = field(default_factory=dict)
    starts_from: str | None = None
    taught_by: str | None = None
    compared_with: str | None = None
    reads_sequences: bool = False
    served: Served | None = None
    measures_conditions: bool = False


@cache
def list_experiments() -> tuple[Experiment, ...]:
    """Return all experiments, by module name and then in the module's order."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(
        experiment for name in modules for experiment in importlib.import_module(f"{__name__}.{name}").EXPERIMENTS
    )


def find_experiment(name: str) -> Experiment:
    """Return the experiment called ``name``.

    Raises:
        UsageError: there is none.
    """
    found = {experiment.name: experiment for experiment in list_experiments()}
    if name not in found:
        raise UsageError(f"There is no experiment {name!r}. Expected one of: {', '.join(sorted(found))}.")
    return found[name]
