"""The shipped network's CNN learns from votes, labels and a teacher."""

import numpy as np
import pytest
import torch
from torch import Generator

from contracts.errors import DataError
from models.networks import EmotionNet, NetworkConfig
from training import stills as stills_module
from training.augmentation import MILD, mix
from training.datasets import FaceDataset
from training.engine import Stage, measure_nothing
from training.experiments import find_experiment
from training.stills import make_stills_stage, read_stills

CPU = torch.device("cpu")


def make_faces(number: int, votes_for: int | None = None) -> FaceDataset:
    """Faces of random pixels; all voters see ``votes_for``, or else what the label says."""
    rng = np.random.default_rng(0)
    labels = np.arange(number) % 7
    votes = np.zeros((number, 10), np.uint8)
    votes[np.arange(number), np.array([4, 5, 6, 1, 3, 2, 0])[labels] if votes_for is None else votes_for] = 10
    return FaceDataset("faces", rng.integers(0, 256, (number, 48, 48), dtype=np.uint8), labels, votes)


def make_network(seed: int) -> EmotionNet:
    torch.manual_seed(seed)
    return EmotionNet(NetworkConfig(stem_channels=8, block_channels=(8, 16), lstm_hidden=4, dropout=0.0))


def make_stage(teacher: EmotionNet | None = None, learning_rate: float = 0.1) -> Stage:
    stills = read_stills(make_faces(140), CPU)
    return make_stills_stage("stills", stills, 2, learning_rate, (32,), MILD, 0.0, measure_nothing, teacher)


def list_losses(network: EmotionNet, stage: Stage, epochs: int = 1) -> list[float]:
    optimiser = stage.make_optimiser(network)
    found = []
    for epoch in range(epochs):
        for loss in stage.make_losses(network, 0, Generator().manual_seed(epoch)):
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            found.append(float(loss.detach()))
    return found


def test_a_student_is_drawn_to_what_its_teacher_says() -> None:
    teacher = make_network(1).eval().requires_grad_(False)
    with torch.no_grad():
        teacher.emotion_head.bias[2] = 8.0
    student = make_network(2).train()
    list_losses(student, make_stage(teacher, learning_rate=0.05), epochs=30)
    crops = torch.randn(20, 32, 32)
    alone = make_network(2).train()
    list_losses(alone, make_stage(learning_rate=0.05), epochs=30)
    with torch.inference_mode():
        followed = student.eval().emotion_head(student.compute_features(crops)).softmax(-1)[:, 2].mean()
        by_itself = alone.eval().emotion_head(alone.compute_features(crops)).softmax(-1)[:, 2].mean()
    assert followed > by_itself + 0.3


def test_a_teacher_does_not_change() -> None:
    teacher = make_network(1).eval().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    list_losses(make_network(2).train(), make_stage(teacher))
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_the_temporal_part_is_left_alone() -> None:
    network = make_network(0).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    list_losses(network, make_stage())
    changed = {
        name.partition(".")[0] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"cnn", "emotion_head", "original_head"}


def test_pictures_that_are_no_faces_are_not_learned_from() -> None:
    with pytest.raises(DataError, match=r"faces has 0 faces\. Expected at least 128"):
        read_stills(make_faces(140, votes_for=9), CPU)


def test_rarer_emotions_weigh_more_and_the_mean_weight_is_one() -> None:
    faces = make_faces(140)
    faces.labels[:100] = 3
    stills = read_stills(faces, CPU)
    assert stills.label_weights[3] < 1 < stills.label_weights[1]
    share = stills.labels.sum(0) / stills.labels.sum()
    assert float((stills.label_weights * share).sum()) == pytest.approx(1)


@pytest.mark.parametrize("name", ["small", "base"])
def test_the_crops_of_served_networks_grow_over_the_epochs(name: str) -> None:
    network = find_experiment(name).make_network().train()
    sizes: list[int] = []
    network.cnn.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0].shape[-1]))
    stage = find_experiment(name).make_stages(make_faces(140), make_faces(30), CPU)[0]
    for epoch in (0, stage.epochs // 2, stage.epochs - 1):
        next(stage.make_losses(network, epoch, Generator().manual_seed(0)))
    assert sizes == [32, 38, 44]


def test_mixed_faces_are_sums_of_two_and_so_is_what_is_said_of_them() -> None:
    pictures, targets = torch.rand(200, 4, 4), torch.eye(200)
    mixed, wanted = mix(0.5, Generator().manual_seed(0), pictures, targets)
    assert torch.allclose(mixed, (wanted @ pictures.flatten(1)).view(200, 4, 4), atol=1e-5)
    assert torch.allclose(wanted.sum(1), torch.ones(200))
    assert (wanted.diagonal() >= 0.5).all()
    is_mixed = (wanted > 0).sum(1) == 2
    assert 70 < is_mixed.sum() < 130
    assert torch.equal(mixed[~is_mixed], pictures[~is_mixed])


def test_what_is_wanted_of_mixed_faces_is_mixed_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[torch.Tensor] = []
    compare = stills_module._compare

    def keep(said: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        wanted.append(targets)
        return compare(said, targets, weights)

    monkeypatch.setattr(stills_module, "_compare", keep)
    stills = read_stills(make_faces(140), CPU)
    for share, is_mixed in ((0.0, False), (1.0, True)):
        stage = make_stills_stage("s", stills, 2, 0.1, (32,), MILD, 0.0, measure_nothing, mixed_share=share)
        wanted.clear()
        list_losses(make_network(0).train(), stage)
        assert all(torch.allclose(targets.sum(1), torch.ones(len(targets))) for targets in wanted) and wanted
        assert all((targets.amax(1) < 0.999).float().mean() > 0.5 for targets in wanted) == is_mixed
