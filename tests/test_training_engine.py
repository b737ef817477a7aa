"""The training loop: a run that was cut off ends in the same weights as one that was not."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from contracts.errors import DataError
from models.networks import EmotionNet, NetworkConfig
from models.preprocessing import standardise
from training.augmentation import augment_stills
from training.engine import Stage, train

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


def make_losses(network: EmotionNet, generator: Generator) -> Iterator[Tensor]:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (24, 48, 48), dtype=np.uint8))
    for batch in torch.split(torch.randperm(24, generator=generator), 8):
        crops = standardise(augment_stills(images[batch].float(), 44, generator))
        logits = network(crops[:, None], torch.ones(8, dtype=torch.int64))[:, 0]
        yield torch.nn.functional.cross_entropy(logits, batch % 7)


def make_stages(epochs: tuple[int, int] = (2, 2)) -> list[Stage]:
    return [
        Stage(
            name=name,
            epochs=number,
            batches_per_epoch=3,
            learning_rate=0.05,
            weight_decay=1e-4,
            parameters=lambda network: list(network.parameters()),
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
    with pytest.raises(DataError, match=r"belongs to another run .* give another --out"):
        train(make_network(), make_stages(), tmp_path, SEED + 1, lambda line: None)
    with pytest.raises(DataError, match="belongs to another run"):
        train(make_network(), make_stages((3, 2)), tmp_path, SEED, lambda line: None)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as a checkpoint\. Delete it to start this run over"):
        train(make_network(), make_stages(), tmp_path, SEED, lambda line: None)
