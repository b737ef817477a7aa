"""Clips made from stills: what they show, and what they must never show."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from models.networks import EmotionNet, NetworkConfig
from training import corruptions
from training.clips import MAX_GAP_S, STEPS_S, draw_changes, draw_spoilt, draw_times, make_clips, render
from training.datasets import FaceDataset
from training.experiments import find_experiment

LENGTH = 16


def make_stills(number: int, seed: int = 0) -> Tensor:
    """Smooth grey pictures (N 3 48 48)."""
    noise = torch.rand((number * 3, 1, 6, 6), generator=Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(noise, size=(48, 48), mode="bilinear").reshape(number, 3, 48, 48)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def test_the_same_seed_makes_the_same_clips() -> None:
    stills = make_stills(4)
    first, second, other = (make_clips(stills, LENGTH, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.frames, second.frames)
    assert torch.equal(first.times_s, second.times_s)
    assert not torch.equal(first.frames, other.frames)


def test_clips_are_pictures_of_the_stills_at_growing_times() -> None:
    clips = make_clips(make_stills(64), LENGTH, seeded())
    assert clips.frames.shape == (64, LENGTH, 48, 48)
    assert clips.frames.min() >= 0 and clips.frames.max() <= 255
    steps = clips.times_s.diff(dim=1)
    assert (clips.times_s[:, 0] == 0).all()
    assert steps.min() > 0 and steps.max() <= MAX_GAP_S + 1e-4
    assert torch.allclose(clips.shares.sum(-1), torch.ones(64, LENGTH))


def test_rates_run_from_two_to_thirty_crops_per_second() -> None:
    steps = draw_times(2000, LENGTH, seeded()).diff(dim=1).median(dim=1).values
    assert steps.min() < 1.3 * STEPS_S[0] and steps.max() > 0.8 * STEPS_S[1]
    assert 0.3 < ((steps > 0.08) & (steps < 0.13)).float().mean() < 0.7


def test_more_changes_in_more_time() -> None:
    def count_changes(step_s: float) -> float:
        times_s = (torch.arange(LENGTH) * step_s).expand(2000, LENGTH)
        shown = draw_changes(times_s, 3, seeded()).argmax(-1)
        return float((shown.diff(dim=1) != 0).sum(1).float().mean())

    assert count_changes(1 / 30) < 0.4
    assert 0.4 < count_changes(0.1) < 1.0
    assert count_changes(0.5) > 1.5


def test_some_changes_are_sudden_and_some_take_a_moment() -> None:
    times_s = (torch.arange(LENGTH) / 30).expand(2000, LENGTH)
    shares = draw_changes(times_s, 3, seeded())
    has_changed = shares[:, -1, 0] < 0.01
    is_blended = ((shares > 0.01) & (shares < 0.99)).any(-1).any(-1)
    assert 0.3 < is_blended[has_changed].float().mean() < 0.7


def test_none_to_most_crops_are_spoilt_singly_by_turns_or_in_bursts() -> None:
    is_spoilt = draw_spoilt(3000, LENGTH, seeded())
    share = is_spoilt.float().mean(1)
    assert (share == 0).float().mean() > 0.1
    assert 0.25 < share.mean() < 0.45
    by_turns = (is_spoilt[:, 1:] != is_spoilt[:, :-1]).all(1)
    assert by_turns.float().mean() > 0.2
    longest = max(len(run) for row in is_spoilt.int().tolist() for run in "".join(map(str, row)).split("0"))
    assert longest >= 6


@pytest.mark.parametrize("corrupt", [*corruptions.SEEN, *corruptions.UNSEEN], ids=lambda corrupt: corrupt.__name__)
def test_a_stronger_corruption_leaves_less_of_the_crop(corrupt: corruptions.Corruption) -> None:
    crops = make_stills(30).flatten(0, 1)

    def measure_likeness(strength: float) -> float:
        spoilt = corrupt(crops, torch.full((len(crops),), strength), seeded()).clamp(0, 255)
        return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(crops, spoilt, strict=True)]))

    assert measure_likeness(1.0) < measure_likeness(0.3) < 1


def test_only_the_chosen_crops_are_spoilt() -> None:
    crops = make_stills(4).flatten(0, 1)
    kinds = torch.tensor([-1, 0, 1, 2, 3, 4, -1, -1, -1, -1, -1, -1])
    spoilt = corruptions.spoil(crops, kinds, torch.ones(12), corruptions.SEEN, seeded())
    changed = (spoilt != crops).flatten(1).any(1)
    assert changed.tolist() == (kinds >= 0).tolist()


def test_training_clips_never_show_what_is_kept_for_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: set[object] = set()

    def watch(crops: Tensor, kinds: Tensor, strengths: Tensor, known: Sequence[Any], generator: Generator) -> Tensor:
        shown.update(known)
        return corruptions.spoil(crops, kinds, strengths, known, generator)

    monkeypatch.setattr("training.clips.spoil", watch)
    experiment = find_experiment("production")
    stage = experiment.make_stages(make_faces(140), make_faces(30), torch.device("cpu"))[-1]
    next(stage.make_losses(experiment.make_network().train(), 0, seeded()))
    assert shown == set(corruptions.SEEN)
    assert not shown & set(corruptions.UNSEEN)


def test_the_light_of_clips_stays_within_the_gamma_that_training_may_use() -> None:
    flat = torch.full((50, 1, 48, 48), 127.5)
    times_s = (torch.arange(LENGTH) * 0.1).expand(50, LENGTH)
    nothing = torch.zeros((50, LENGTH), dtype=torch.bool)
    frames = render(flat, torch.ones(50, LENGTH, 1), times_s, nothing, corruptions.SEEN, (0, 1), seeded())
    gamma = torch.log(frames.mean((2, 3)) / 255) / math.log(0.5)
    assert gamma.log().abs().max() <= 0.5
    assert gamma.log().abs().max() > 0.2


def make_faces(number: int) -> FaceDataset:
    rng = np.random.default_rng(0)
    labels = np.arange(number) % 7
    votes = np.zeros((number, 10), np.uint8)
    votes[np.arange(number), np.array([4, 5, 6, 1, 3, 2, 0])[labels]] = 10
    return FaceDataset("faces", rng.integers(0, 256, (number, 48, 48), dtype=np.uint8), labels, votes)


def test_the_clips_stage_teaches_windows_and_leaves_single_crops_as_they_were() -> None:
    torch.manual_seed(0)
    network = EmotionNet(NetworkConfig(stem_channels=8, block_channels=(8, 16), lstm_hidden=4))
    stage = find_experiment("production").make_stages(make_faces(140), make_faces(30), torch.device("cpu"))[-1]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimiser = stage.make_optimiser(network)
    losses = list_losses(network, optimiser, stage.make_losses(network.train(), 0, seeded()))
    assert len(losses) == stage.batches_per_epoch == 4
    changed = {
        name.split(".")[0] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"lstm", "attention", "window_head"}
    assert set(stage.measure(network.eval())) == {"switching_accuracy"}


def list_losses(network: EmotionNet, optimiser: torch.optim.Optimizer, losses: Iterator[Tensor]) -> list[float]:
    """Take a step by each loss before the next one is made."""
    found = []
    for loss in losses:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found
