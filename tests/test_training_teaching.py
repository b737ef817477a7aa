"""Learning from a teacher beside the labels."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from contracts.emotions import EMOTIONS
from models.networks import EmotionNet, NetworkConfig
from training.settings_paper_a import THREE_EMOTIONS
from training.teaching import SHARE, make_taught_loss

SMOOTHING = 0.1
CROPS, LABELS = torch.randn(8, 1, 48, 48), torch.arange(8) % 3


class Answer(nn.Module):
    """Says ``logits`` of whatever it is asked."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, _: Tensor) -> Tensor:
        return self.logits


@pytest.fixture
def teacher() -> EmotionNet:
    torch.manual_seed(0)
    network = EmotionNet(NetworkConfig(block_channels=(16, 16, 24), stem_channels=8, lstm_hidden=8)).eval()
    # Untrained networks are sure of nothing; this one is of happiness.
    network.original_head.bias.data[EMOTIONS.index("happy")] = 3.0
    return network


def ask(teacher: EmotionNet, names: tuple[str, ...]) -> Tensor:
    """The teacher's answer about the original labels ``names``."""
    with torch.no_grad():
        said: Tensor = teacher.original_head(teacher.compute_features(CROPS[:, 0]))
    return said[:, [EMOTIONS.index(name) for name in names]]


@pytest.mark.parametrize("names", [EMOTIONS, THREE_EMOTIONS], ids=len)
def test_who_agrees_with_the_teacher_learns_from_the_labels_alone(teacher: EmotionNet, names: tuple[str, ...]) -> None:
    pupil = Answer(ask(teacher, names))
    loss = make_taught_loss(teacher, names, SMOOTHING)(pupil, CROPS, LABELS, None)
    by_labels = functional.cross_entropy(pupil.logits, LABELS, label_smoothing=SMOOTHING)
    assert loss.item() == pytest.approx((1 - SHARE) * by_labels.item(), abs=1e-5)


def test_who_learns_comes_closer_to_the_teacher_who_stays_as_it_is(teacher: EmotionNet) -> None:
    said, pupil = ask(teacher, THREE_EMOTIONS), Answer(torch.zeros(8, 3))
    compute_loss = make_taught_loss(teacher, THREE_EMOTIONS, SMOOTHING)
    optimiser = torch.optim.SGD(pupil.parameters(), 1.0)
    # The labels are what the teacher says, so nothing draws elsewhere.
    labels = said.argmax(-1)
    before = (pupil.logits.softmax(-1) - said.softmax(-1)).abs().mean().item()
    for _ in range(20):
        optimiser.zero_grad()
        compute_loss(pupil, CROPS, labels, None).backward()
        optimiser.step()
    assert (pupil.logits.argmax(-1) == labels).all()
    assert (pupil.logits.softmax(-1) - said.softmax(-1)).abs().mean().item() < before / 2
    assert all(parameter.grad is None for parameter in teacher.parameters())
