"""The training loop: a run that was cut off ends in the same weights as one that was not."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from contracts.errors import DataError
from models.networks import EmotionNet, NetworkConfig
from models.preprocessing import standardise
from training.augmentation import augment_stills
from training.engine import Stage, read_curves, train

SEED = 3


class PowerCutError(Exception):
    pass


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums of floats depend on how threads share them."""
    torch.set_num_threads(1)


def make_network() -> EmotionNet:
    torch.manual_seed(SEED)
    return EmotionNet(NetworkConfig(stem_channels=8, block_channels=(8, 16), lstm_hidden=4))


def make_losses(network: EmotionNet, epoch: int, generator: Generator) -> Iterator[Tensor]:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (24, 48, 48), dtype=np.uint8))
    for batch in torch.split(torch.randperm(24, generator=generator), 8):
        crops = standardise(augment_stills(images[batch].float(), 40, generator))
        logits = network(crops[:, None], torch.zeros(8, 1), torch.ones(8, dtype=torch.int64))[:, 0]
        yield torch.nn.functional.cross_entropy(logits, batch % 7)


def make_stages(epochs: tuple[int, int] = (2, 2)) -> list[Stage]:
    return [
        Stage(
            name=name,
            epochs=number,
            batches_per_epoch=3,
            make_optimiser=lambda network: torch.optim.SGD(network.parameters(), 0.05, momentum=0.9),
            make_losses=make_losses,
            measure=lambda network: {"weight": float(network.emotion_head.weight.detach().sum())},
            average_decay=0.9,
        )
        for name, number in zip(("first", "second"), epochs, strict=True)
    ]


def train_until(folder: Path, epochs: int) -> None:
    """Train and lose power after ``epochs`` epochs."""
    ended = count(1)

    def report(line: str) -> None:
        if "left in this stage" in line and next(ended) == epochs:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train(make_network(), make_stages(), folder, SEED, report)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_a_resumed_run_ends_in_the_same_weights_bit_for_bit(tmp_path: Path, epochs: int) -> None:
    """After the first epoch, at the border of two stages, within the second, and after the end."""
    straight = train(make_network(), make_stages(), tmp_path / "straight", SEED, lambda line: None)
    train_until(tmp_path / "cut", epochs)
    resumed = train(make_network(), make_stages(), tmp_path / "cut", SEED, lambda line: None)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert len((tmp_path / "cut" / "curves.jsonl").read_text().splitlines()) == 4


def test_training_changes_weights_and_reports_the_time_left(tmp_path: Path) -> None:
    lines: list[str] = []
    trained = train(make_network(), make_stages(), tmp_path, SEED, lines.append)
    assert not torch.equal(trained.emotion_head.weight, make_network().emotion_head.weight)
    assert not trained.training
    assert len(lines) == 4
    assert lines[0].startswith("first 1/2: loss ")
    assert lines[0].endswith("(0 min left in this stage)")


def test_a_resumed_run_says_where_it_goes_on(tmp_path: Path) -> None:
    train_until(tmp_path, 3)
    lines: list[str] = []
    train(make_network(), make_stages(), tmp_path, SEED, lines.append)
    assert lines[0].endswith("checkpoint.pt: second, epoch 2")
    train(make_network(), make_stages(), tmp_path, SEED, lines.append)
    assert lines[-1].endswith("checkpoint.pt: the end")


def test_the_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train_until(tmp_path, 1)
    with pytest.raises(DataError, match=r"belongs to another run: found .*seed.* Give another --out"):
        train(make_network(), make_stages(), tmp_path, SEED + 1, lambda line: None)
    with pytest.raises(DataError, match=r"found {'config': None}, expected {'config': 'another'}"):
        train(make_network(), make_stages(), tmp_path, SEED, lambda line: None, {"config": "another"})
    with pytest.raises(DataError, match="belongs to another run"):
        train(make_network(), make_stages((3, 2)), tmp_path, SEED, lambda line: None)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as a checkpoint\. Delete it to start this run over"):
        train(make_network(), make_stages(), tmp_path, SEED, lambda line: None)


def make_counting_stage(accuracies: list[float], **changes: Any) -> Stage:
    """A stage whose weight grows by one per epoch and whose accuracies are given."""
    left = iter(accuracies)

    def make_losses(network: nn.Linear, epoch: int, generator: Generator) -> Iterator[Tensor]:
        yield -network.weight.sum()

    options: dict[str, Any] = {
        "name": "counting",
        "epochs": len(accuracies),
        "batches_per_epoch": 1,
        "make_optimiser": lambda network: torch.optim.SGD(network.parameters(), 1.0),
        "make_losses": make_losses,
        "measure": lambda network: {"accuracy": next(left)},
        "one_cycle": False,
        "average_decay": 0.0,
        **changes,
    }
    return Stage(**options)


def make_zero() -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    return network


def test_a_stage_with_patience_ends_early_and_keeps_its_best_epoch(tmp_path: Path) -> None:
    stage = make_counting_stage([0.1, 0.5, 0.4, 0.5, 0.9], patience=2)
    trained = train(make_zero(), [stage], tmp_path, SEED, lambda line: None)
    assert trained.weight.item() == 2
    assert [line["epoch"] for line in read_curves(tmp_path)] == [1, 2, 3, 4]


def test_a_resumed_stage_remembers_its_best_epoch(tmp_path: Path) -> None:
    def lose_power(line: str) -> None:
        if line.startswith("counting 2/"):
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train(make_zero(), [make_counting_stage([0.5, 0.4, 0, 0], patience=3)], tmp_path, SEED, lose_power)
    resumed = make_counting_stage([0.3, 0.2, 0, 0], patience=3)
    trained = train(make_zero(), [resumed], tmp_path, SEED, lambda line: None)
    assert trained.weight.item() == 1


def test_what_a_stage_fits_at_its_beginning_is_in_the_averaged_weights(tmp_path: Path) -> None:
    def begin(network: nn.Linear) -> None:
        nn.init.constant_(network.weight, 100)

    stages = [make_counting_stage([0]), make_counting_stage([0], name="fitted", begin=begin, average_decay=0.5)]
    trained = train(make_zero(), stages, tmp_path, SEED, lambda line: None)
    assert trained.weight.item() == 100.5


def test_what_a_stage_remembers_survives_a_power_cut(tmp_path: Path) -> None:
    seen: list[float] = []

    def make_stage() -> Stage:
        memory = {"sum": torch.zeros(1)}

        def make_losses(network: nn.Linear, epoch: int, generator: Generator) -> Iterator[Tensor]:
            seen.append(float(memory["sum"]))
            memory["sum"] += epoch + 1
            yield -network.weight.sum()

        return make_counting_stage([0, 0, 0], make_losses=make_losses, memory=memory)

    def lose_power(line: str) -> None:
        if line.startswith("counting 2/"):
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train(make_zero(), [make_stage()], tmp_path, SEED, lose_power)
    train(make_zero(), [make_stage()], tmp_path, SEED, lambda line: None)
    assert seen == [0, 1, 3]


def test_a_loss_that_is_no_number_stays_readable_in_the_curves(tmp_path: Path) -> None:
    def make_losses(network: nn.Linear, epoch: int, generator: Generator) -> Iterator[Tensor]:
        yield network.weight.sum() * float("nan")

    train(make_zero(), [make_counting_stage([0, 0], make_losses=make_losses)], tmp_path, SEED, lambda line: None)
    assert [line["loss"] for line in read_curves(tmp_path)] == [None, None]


def test_the_curves_can_be_opened_in_tensorboard(tmp_path: Path) -> None:
    train(make_zero(), [make_counting_stage([0.25])], tmp_path, SEED, lambda line: None)
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"counting/accuracy" in events.read_bytes()
