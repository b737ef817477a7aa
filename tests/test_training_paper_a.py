"""Paper A's systems: each trains, answers for any batch, and differs from its neighbours by what its name says."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from training.augmentation import MILD, augment_stills
from training.experiments import Experiment, cnn, cnn_bilstm, cnn_bilstm_residual, find_experiment, list_experiments
from training.networks.paper_a import CnnBilstm, serialise
from training.run import run_experiment
from training.settings_paper_a import OUR_SIZE, PAPER_SIZE, SMALL_SIZE, THREE_EMOTIONS
from training.supervised import Setting

MODULES = (cnn, cnn_bilstm, cnn_bilstm_residual)
EXPERIMENTS = {experiment.name: experiment for module in MODULES for experiment in module.EXPERIMENTS}
THREE = [name for name in EXPERIMENTS if name.endswith("-three")]


def write_split(path: Path, number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (number, 48, 48), dtype=np.uint8)
    np.savez(path, images=images, labels=rng.integers(0, 7, number))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_split(folder / "training.npz", 512, 0)
    write_split(folder / "publictest.npz", 60, 1)
    return folder


def read_setting(experiment: Experiment) -> dict[str, object]:
    setting = experiment.config["setting"]
    assert isinstance(setting, dict)
    return setting


# The paper states a figure for its CNN-BiLSTM only.
CLAIMED = {
    "cnn_bilstm-paper": 0.794,
    "cnn_bilstm": 0.794,
    "cnn_bilstm_residual": 0.794,
    "cnn_bilstm-paper-three": 0.89,
    "cnn_bilstm-three": 0.89,
    "cnn_bilstm_residual-three": 0.89,
    "cnn_bilstm_residual-taught-three": 0.89,
    "cnn_bilstm_residual-mixed-three": 0.89,
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_trains_and_writes_a_record(name: str, data: Path, tmp_path: Path) -> None:
    path = run_experiment(data, name, tmp_path, device="cpu", threads=1, smoke=True, report=lambda line: None)
    record = json.loads(path.read_text())
    assert record["group"] == "paper A"
    assert record["claim"] == CLAIMED.get(name)
    assert ("7,178 images" in record["claim_note"]) == (name in CLAIMED)
    assert record["epochs"] == {"faces": 1}
    assert record["config"]["setting"]["epochs"] > 1
    assert set(record["metrics"]["PublicTest-B"]["fer2013"]["per_class"]) == set(record["labels"])
    if name in THREE:
        assert record["labels"] == list(THREE_EMOTIONS)
        assert 0 < record["data_sets"]["Training"]["n"] < 512


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("number", [1, 5])
def test_a_network_answers_finitely_for_bytes_and_floats_alike(name: str, number: int) -> None:
    experiment = EXPERIMENTS[name]
    network = experiment.make_network().eval()
    crops = torch.randint(0, 256, (number, 48, 48), dtype=torch.uint8)
    crops[0] = 0  # a crop of one flat grey too
    with torch.inference_mode():
        of_bytes, of_floats = (network(experiment.preprocess(given)) for given in (crops, crops.float()))
    assert of_bytes.shape == (number, len(experiment.labels))
    assert of_bytes.isfinite().all()
    assert torch.equal(of_bytes, of_floats)


@pytest.mark.parametrize(("size", "steps"), [(PAPER_SIZE, 36), (OUR_SIZE, 9), (SMALL_SIZE, 9)])
def test_the_sequence_has_a_step_for_each_position_of_the_map(size, steps: int) -> None:
    network = CnnBilstm(size, 7).eval()
    assert size.num_steps == steps
    sequence = serialise(network.trunk(torch.zeros(2, 1, 48, 48)))
    assert sequence.shape == (2, steps, size.blocks[-1][-1])


def test_the_sequence_goes_row_by_row() -> None:
    rows = torch.arange(6).reshape(1, 1, 2, 3)
    assert serialise(rows)[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_answer_depends_on_both_ends_of_the_sequence() -> None:
    network = CnnBilstm(SMALL_SIZE, 7).eval()
    crops = torch.zeros(3, 1, 48, 48)
    crops[1, :, :8, :8] = 3
    crops[2, :, -8:, -8:] = 3
    with torch.inference_mode():
        plain, first, last = network(crops)
    assert not torch.allclose(plain, first)
    assert not torch.allclose(plain, last)


def test_crops_that_ours_learns_from_give_the_sequence_of_whole_ones() -> None:
    crops = torch.rand(4, 48, 48) * 255
    learned = augment_stills(crops, 40, torch.Generator().manual_seed(0), MILD)
    assert learned.shape == (4, 40, 40)
    assert learned.min() >= 0
    assert learned.max() <= 255
    trunk = CnnBilstm(OUR_SIZE, 7).trunk
    assert trunk(learned[:, None]).shape == trunk(crops[:, None]).shape


def test_the_residual_network_takes_the_weights_of_base() -> None:
    experiment = EXPERIMENTS["cnn_bilstm_residual-three"]
    assert experiment.starts_from == "base"
    base = find_experiment("base").make_network().state_dict()
    shapes = {name: tensor.shape for name, tensor in base.items() if name.startswith("cnn.")}
    own = {name: tensor.shape for name, tensor in experiment.make_network().state_dict().items()}
    assert shapes == {name: shape for name, shape in own.items() if name.startswith("cnn.")}


@pytest.mark.parametrize(
    ("name", "switches"),
    [
        ("augmented", {"augment"}),
        ("weighted", {"class_weights"}),
        ("oversampled", {"oversample"}),
        ("all", {"augment", "class_weights", "oversample"}),
    ],
)
def test_an_ablation_differs_from_plain_by_what_its_name_says(name: str, switches: set[str]) -> None:
    plain, changed = EXPERIMENTS["cnn_bilstm-plain"], EXPERIMENTS[f"cnn_bilstm-{name}"]
    before, after = read_setting(plain), read_setting(changed)
    assert {field.name for field in fields(Setting) if before.get(field.name) != after.get(field.name)} == switches
    assert not any(before[switch] for switch in switches)
    assert all(after[switch] for switch in switches)
    assert {**plain.config, "setting": None} == {**changed.config, "setting": None}


def test_the_papers_settings_are_those_it_states() -> None:
    stated = {"optimiser": "adam", "weight_decay": 0.0, "one_cycle": False, "augment": False, "epochs": 100}
    for name in ("cnn-paper", "cnn-paper-three", "cnn_bilstm-paper", "cnn_bilstm-paper-three"):
        setting = read_setting(EXPERIMENTS[name])
        assert setting | stated | {"learning_rate": 0.001, "batch": 16} == setting
    diverging = read_setting(EXPERIMENTS["cnn_bilstm-diverging"])
    assert diverging | stated | {"learning_rate": 0.1, "batch": 32} == diverging


def test_every_experiment_is_found_by_its_name() -> None:
    assert set(EXPERIMENTS) <= {experiment.name for experiment in list_experiments()}
