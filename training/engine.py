"""The one training loop: stages, epochs, batches; checkpoints that resume bit-exactly; an averaged copy of the weights.

An experiment is a list of stages. A stage says which parameters learn, how long, by which optimiser, and how one
epoch's batches become losses; everything else is here.
"""

import json
import math
import pickle
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from contracts.errors import DataError


def measure_nothing(_: nn.Module) -> dict[str, float]:
    """Measure nothing after an epoch, where there is no selection half."""
    return {}


@dataclass(frozen=True)
class Stage:
    """One phase of training: at most ``epochs`` epochs of ``batches_per_epoch`` steps of one experiment's network.

    ``make_losses(network, epoch, generator)`` yields one loss per batch of one epoch, counted from 0; its randomness
    comes from the generator alone. What it must remember from one epoch to the next stands in ``memory``, tensors that
    it changes in place and checkpoints keep. ``begin(network)`` changes the weights before the first epoch, for what
    is fitted and not learned; a stage of no epochs does only that.

    ``measure(network)`` returns figures on the selection half, never on the reported one. With a ``patience`` the
    stage ends after so many epochs without a better ``accuracy`` among them, and the best epoch's weights are kept.
    The rate follows one cycle up to the optimiser's own and down to almost nothing, or stays (``one_cycle`` False).
    ``average_decay`` is that of the averaged weights; at 0 they are the last ones.
    """

    name: str
    epochs: int
    batches_per_epoch: int
    make_optimiser: Callable[[Any], Optimizer]
    make_losses: Callable[[Any, int, Generator], Iterator[Tensor]]
    measure: Callable[[Any], dict[str, float]] = measure_nothing
    begin: Callable[[Any], None] | None = None
    patience: int | None = None
    one_cycle: bool = True
    average_decay: float = 0.999
    memory: dict[str, Tensor] = field(default_factory=dict)


Report = Callable[[str], None]
Network = TypeVar("Network", bound=nn.Module)


def train(
    network: Network,
    stages: list[Stage],
    folder: Path,
    seed: int,
    report: Report,
    identity: dict[str, Any] | None = None,
) -> Network:
    """Train ``network`` through ``stages`` and return the averaged weights' network.

    ``identity`` is what else makes this run this run (experiment, settings, data), of plain JSON values.

    After each epoch ``folder/checkpoint.pt`` holds all that a later call needs to go on as if it had never stopped,
    ``folder/curves.jsonl`` one line of figures, and ``folder/tensorboard`` the same for TensorBoard. ``report`` takes
    a line of progress.

    Raises:
        DataError: the folder holds a damaged checkpoint, or one of other stages, another seed or identity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan = {
        **(identity or {}),
        "seed": seed,
        "stages": [[stage.name, stage.epochs, stage.batches_per_epoch] for stage in stages],
    }
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
        best: dict[str, Any] | None = None
        if start == 0:
            # A stage starts from the averaged weights of the one before.
            network.load_state_dict(averaged.state_dict())
            if stage.begin is not None:
                stage.begin(network)
                averaged.load_state_dict(network.state_dict())
        if stage.epochs == 0:
            continue
        optimiser, schedule = _prepare(network, stage)
        if saved and start > 0:
            best = saved["best"]
            optimiser.load_state_dict(saved["optimiser"])
            schedule.load_state_dict(saved["schedule"])
            for name, kept in stage.memory.items():
                kept.copy_(saved["memory"][name])
        for epoch in range(start, stage.epochs):
            figures = _train_epoch(network, averaged, stage, epoch, optimiser, schedule, seed + 1000 * index + epoch)
            is_last = epoch + 1 == stage.epochs
            if stage.patience is not None:
                best = _find_best(best, averaged, epoch, figures)
                is_last = is_last or epoch - best["epoch"] >= stage.patience
                if is_last:
                    averaged.load_state_dict(best["weights"])
            # Before the checkpoint, so that no epoch lacks its line; one run again after a crash has two.
            _write_figures(folder, stage.name, epoch + 1, figures)
            _save(
                checkpoint_path,
                {
                    "plan": plan,
                    "stage": index + is_last,
                    "epoch": 0 if is_last else epoch + 1,
                    "network": network.state_dict(),
                    "averaged": averaged.state_dict(),
                    "best": best,
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "memory": stage.memory,
                },
            )
            shown = ", ".join(f"{name} {value:g}" for name, value in figures.items() if value is not None)
            left_min = 0 if is_last else (figures["seconds"] or 0) * (stage.epochs - epoch - 1) / 60
            report(f"{stage.name} {epoch + 1}/{stage.epochs}: {shown} ({left_min:.0f} min left in this stage)")
            if is_last:
                break
    return averaged.eval()


def read_curves(folder: Path) -> list[dict[str, Any]]:
    """Return the figures of each epoch of the run in ``folder``: ``stage``, ``epoch`` (from 1), ``loss``, ``seconds``
    and what the stage measures. An epoch that was run again after a crash counts once, as it ended.
    """
    lines = [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]
    return list({(line["stage"], line["epoch"]): line for line in lines}.values())


def _read_checkpoint(path: Path, plan: dict[str, Any]) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        # Our own file; weights_only keeps torch.load from running code even so.
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
        # PyTorch's own message recommends an unsafe way of reading.
        raise DataError(f"{path} cannot be read as a checkpoint. Delete it to start this run over.") from None
    if saved["plan"] != plan:
        differing = [key for key in {**plan, **saved["plan"]} if saved["plan"].get(key) != plan.get(key)]
        found, expected = ({key: of_run.get(key) for key in differing} for of_run in (saved["plan"], plan))
        raise DataError(
            f"{path} belongs to another run: found {found}, expected {expected}. Give another --out, or delete the "
            "folder to start over."
        )
    return saved


def _prepare(network: nn.Module, stage: Stage) -> tuple[Optimizer, LRScheduler]:
    optimiser = stage.make_optimiser(network)
    if not stage.one_cycle:
        return optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, factor=1.0)
    rates = [group["lr"] for group in optimiser.param_groups]
    steps = stage.epochs * stage.batches_per_epoch
    return optimiser, OneCycleLR(optimiser, rates, steps, pct_start=0.2, div_factor=10)


def _train_epoch(
    network: nn.Module,
    averaged: nn.Module,
    stage: Stage,
    epoch: int,
    optimiser: Optimizer,
    schedule: LRScheduler,
    seed: int,
) -> dict[str, float | None]:
    start = time.monotonic()
    # Seeding by epoch makes a resumed run draw what the undisturbed one would have drawn.
    torch.manual_seed(seed)
    device = next(network.parameters()).device
    generator = Generator(device=device).manual_seed(seed)
    network.train()
    total = torch.zeros((), device=device)
    batches = 0
    for loss in stage.make_losses(network, epoch, generator):
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if stage.average_decay:
            _average(averaged, network, stage.average_decay)
        total += loss.detach()
        batches += 1
    if not stage.average_decay:
        averaged.load_state_dict(network.state_dict())
    averaged.eval()
    loss_mean = float(total) / batches
    return {
        # A run that diverged says so in its curve; JSON knows no NaN.
        "loss": round(loss_mean, 4) if math.isfinite(loss_mean) else None,
        **{name: round(value, 4) for name, value in stage.measure(averaged).items()},
        "seconds": round(time.monotonic() - start, 1),
    }


def _find_best(
    best: dict[str, Any] | None, averaged: nn.Module, epoch: int, figures: dict[str, float | None]
) -> dict[str, Any]:
    accuracy = figures["accuracy"] or 0.0
    if best is not None and accuracy <= best["accuracy"]:
        return best
    return {"epoch": epoch, "accuracy": accuracy, "weights": deepcopy(averaged.state_dict())}


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and batch statistics towards the network's; counters are copied."""
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def _write_figures(folder: Path, stage: str, epoch: int, figures: dict[str, float | None]) -> None:
    # Imported here, because what only reads curves needs no TensorBoard.
    from tensorboardX import SummaryWriter

    with (folder / "curves.jsonl").open("a") as curves:
        curves.write(json.dumps({"stage": stage, "epoch": epoch, **figures}) + "\n")
    with SummaryWriter(str(folder / "tensorboard")) as writer:
        for name, value in figures.items():
            if value is not None:
                writer.add_scalar(f"{stage}/{name}", value, epoch)


def _save(path: Path, state: dict[str, object]) -> None:
    """Write a checkpoint so that a crash leaves the old one or the new one, never half of one."""
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)
