"""The one training loop: stages, epochs, batches; checkpoints that resume bit-exactly; an averaged copy of the weights.

An experiment is a list of stages. A stage says which parameters learn, how long, at what rate, and how one epoch's
batches become losses; everything else is here.
"""

import json
import pickle
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from contracts.errors import DataError
from models.networks import EmotionNet


@dataclass(frozen=True)
class Stage:
    """One phase of training.

    ``make_losses(network, generator)`` yields one loss per batch of one epoch; its randomness comes from the generator
    alone. ``measure(network)`` returns figures on the selection half, never on the reported one.
    """

    name: str
    epochs: int
    batches_per_epoch: int
    learning_rate: float
    weight_decay: float
    parameters: Callable[[EmotionNet], list[nn.Parameter]]
    make_losses: Callable[[EmotionNet, Generator], Iterator[Tensor]]
    measure: Callable[[EmotionNet], dict[str, float]]
    average_decay: float = 0.999


Report = Callable[[str], None]


def train(network: EmotionNet, stages: list[Stage], folder: Path, seed: int, report: Report) -> EmotionNet:
    """Train ``network`` through ``stages`` and return the averaged weights' network.

    After each epoch ``folder/checkpoint.pt`` holds all that a later call needs to go on as if it had never stopped,
    and ``folder/curves.jsonl`` one line of figures. ``report`` takes a line of progress.

    Raises:
        DataError: the folder holds a damaged checkpoint, or one of other stages or another seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = {"seed": seed, "stages": [[stage.name, stage.epochs, stage.batches_per_epoch] for stage in stages]}
    checkpoint_path = folder / "checkpoint.pt"
    averaged = deepcopy(network)
    saved = _read_checkpoint(checkpoint_path, plan)
    first_stage, first_epoch = 0, 0
    if saved:
        first_stage, first_epoch = saved["stage"], saved["epoch"]
        network.load_state_dict(saved["network"])
        averaged.load_state_dict(saved["averaged"])
        where = f"{stages[first_stage].name}, epoch {first_epoch + 1}" if first_stage < len(stages) else "the end"
        report(f"going on from {checkpoint_path}: {where}")
    for index, stage in enumerate(stages[first_stage:], first_stage):
        start = first_epoch if index == first_stage else 0
        if index > 0 and start == 0:
            # A stage starts from the averaged weights of the one before.
            network.load_state_dict(averaged.state_dict())
        optimiser, schedule = _prepare(network, stage)
        if saved and start > 0:
            optimiser.load_state_dict(saved["optimiser"])
            schedule.load_state_dict(saved["schedule"])
        for epoch in range(start, stage.epochs):
            figures = _train_epoch(network, averaged, stage, optimiser, schedule, seed + 1000 * index + epoch)
            is_last = epoch + 1 == stage.epochs
            _save(
                checkpoint_path,
                {
                    "plan": plan,
                    "stage": index + is_last,
                    "epoch": 0 if is_last else epoch + 1,
                    "network": network.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                },
            )
            with (folder / "curves.jsonl").open("a") as curves:
                curves.write(json.dumps({"stage": stage.name, "epoch": epoch + 1, **figures}) + "\n")
            shown = ", ".join(f"{name} {value:g}" for name, value in figures.items())
            left_min = figures["seconds"] * (stage.epochs - epoch - 1) / 60
            report(f"{stage.name} {epoch + 1}/{stage.epochs}: {shown} ({left_min:.0f} min left in this stage)")
    return averaged.eval()


def _read_checkpoint(path: Path, plan: dict[str, object]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        # Our own file; weights_only keeps torch.load from running code even so.
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
        # PyTorch's own message recommends an unsafe way of reading.
        raise DataError(f"{path} cannot be read as a checkpoint. Delete it to start this run over.") from None
    if saved["plan"] != plan:
        raise DataError(
            f"{path} belongs to another run ({saved['plan']}). Expected {plan}; give another --out, or delete the "
            "folder to start over."
        )
    return saved


def _prepare(network: EmotionNet, stage: Stage) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimiser = torch.optim.SGD(
        stage.parameters(network), stage.learning_rate, momentum=0.9, nesterov=True, weight_decay=stage.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, stage.learning_rate, stage.epochs * stage.batches_per_epoch, pct_start=0.2, div_factor=10
    )
    return optimiser, schedule


def _train_epoch(
    network: EmotionNet,
    averaged: EmotionNet,
    stage: Stage,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    seed: int,
) -> dict[str, float]:
    start = time.monotonic()
    # Seeding by epoch makes a resumed run draw what the undisturbed one would have drawn.
    torch.manual_seed(seed)
    device = next(network.parameters()).device
    generator = Generator(device=device).manual_seed(seed)
    network.train()
    total = torch.zeros((), device=device)
    batches = 0
    for loss in stage.make_losses(network, generator):
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        _average(averaged, network, stage.average_decay)
        total += loss.detach()
        batches += 1
    averaged.eval()
    return {
        "loss": round(float(total) / batches, 4),
        **{name: round(value, 4) for name, value in stage.measure(averaged).items()},
        "seconds": round(time.monotonic() - start, 1),
    }


@torch.no_grad()
def _average(averaged: EmotionNet, network: EmotionNet, decay: float) -> None:
    """Move the averaged weights and batch statistics towards the network's; counters are copied."""
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _save(path: Path, state: dict[str, object]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)
