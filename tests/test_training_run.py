"""A whole training run on a small data set: data in, a model that serves out."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from recorded_faces import make_recordings, save_recordings
from safetensors.torch import load_file
from test_training_ckplus import write_ckplus

from cli import train as train_command
from contracts.errors import DataError, UsageError
from contracts.model_card import read_card
from models.predictor import EmotionPredictor
from training.experiments import find_experiment, list_experiments
from training.records import RECORDS_DIR, read_record
from training.run import run_experiment


def write_split(path: Path, number: int, seed: int, with_votes: bool = True) -> None:
    """Pictures in which the emotion is the row of a bright bar, and all ten voters see it."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, number)
    images = rng.integers(0, 100, (number, 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 + 6 * label : 8 + 6 * label] += 150
    votes = np.zeros((number, 10), np.uint8)
    votes[np.arange(number), np.array([4, 5, 6, 1, 3, 2, 0])[labels]] = 10
    if with_votes:
        np.savez(path, images=images, labels=labels, ferplus_votes=votes)
    else:
        np.savez(path, images=images, labels=labels)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_split(folder / "training.npz", 600, 0)
    write_split(folder / "publictest.npz", 60, 1)
    return folder


def test_a_smoke_run_trains_calibrates_and_writes_a_model_that_serves(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_command.run(data, "small", tmp_path / "run", 5, "cpu", 1, True)
    path = tmp_path / "run" / "small-smoke.json"
    card = read_card(str(path))
    assert card.training["data_sets"]["Training"]["n"] == 512
    assert len(card.training["data_sets"]["PublicTest-A"]["sha256"]) == 64
    assert card.training["seed"] == 5
    assert card.training["epochs"] == {"stills": 1, "refine": 1, "clips": 1}
    assert card.training["seconds"] > 0
    assert card.training["command"].endswith("--seed 5 --threads 1 --smoke")
    assert card.figures["note"] == "reported on half B; chosen and calibrated on half A; trained on neither"
    assert set(card.figures["PublicTest-B"]) == {"ferplus", "fer2013"}
    halves = (card.figures["calibration"]["n"], card.figures["PublicTest-B"]["ferplus"]["n"])
    assert sum(halves) == 60
    times_s = [[0.1 * position for position in range(16)]]
    (rows,) = EmotionPredictor(str(path), "cpu").predict([np.zeros((16, 48, 48), np.uint8)], times_s)
    assert rows.shape == (16, 7)
    record = read_record(tmp_path / "run" / "record.json")
    assert (record["experiment"], record["seed"], record["group"]) == ("small", 5, "production")
    assert [line["stage"] for line in record["curves"]] == ["stills", "refine", "clips"]
    figures = record["metrics"]["PublicTest-B"]
    assert figures["ferplus"]["accuracy"] == card.figures["PublicTest-B"]["ferplus"]["accuracy"]
    assert np.sum(figures["fer2013"]["confusion_matrix"]) == figures["fer2013"]["n"]
    printed = capsys.readouterr().out
    assert "left in this stage" in printed
    assert f"wrote {path}" in printed

    # A finished run goes straight to calibration and writes the same model again.
    train_command.run(data, "small", tmp_path / "run", 5, "cpu", 1, True)
    assert "checkpoint.pt: the end" in capsys.readouterr().out
    assert read_card(str(path)).sha256 == card.sha256


def test_a_run_that_lost_power_between_stages_ends_in_the_same_model(data: Path, tmp_path: Path) -> None:
    def lose_power(line: str) -> None:
        if line.startswith("stills 1/1"):
            raise KeyboardInterrupt

    straight = run_experiment(data, "small", tmp_path / "straight", threads=1, smoke=True, report=lambda line: None)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(data, "small", tmp_path / "cut", threads=1, smoke=True, report=lose_power)
    resumed = run_experiment(data, "small", tmp_path / "cut", threads=1, smoke=True, report=lambda line: None)
    assert read_card(str(resumed)).sha256 == read_card(str(straight)).sha256


def test_the_shipped_model_goes_on_from_small_and_learns_from_base(data: Path, tmp_path: Path) -> None:
    for name in ("small", "base", "production"):
        path = run_experiment(data, name, tmp_path / f"{name}-seed0", threads=1, smoke=True, report=lambda line: None)
        assert read_card(str(path)).name == f"{name}-smoke"
        (rows,) = EmotionPredictor(str(path), "cpu").predict([np.zeros((2, 48, 48), np.uint8)], [[0.0, 0.1]])
        assert rows.shape == (2, 7)
    record = read_record(tmp_path / "production-seed0" / "record.json")
    assert (record["starts_from"], record["taught_by"]) == ("small", "base")
    taught, small = (load_file(tmp_path / f"{name}-seed0/network.safetensors") for name in ("production", "small"))
    # Two steps from where the other ended.
    moved = taught["emotion_head.weight"] - small["emotion_head.weight"]
    assert 0 < float(moved.abs().max()) < 0.1

    folder = tmp_path / "production-original-seed0"
    run_experiment(data, "production-original", folder, threads=1, smoke=True, report=lambda line: None)
    assert read_record(folder / "record.json")["metrics"]["PublicTest-B"]["fer2013"]["n"] > 0
    tuned = load_file(folder / "network.safetensors")
    assert 0 < float((tuned["original_head.weight"] - taught["original_head.weight"]).abs().max()) < 0.1


def test_the_model_that_learns_from_real_sequences_names_them_and_reads_single_crops_as_before(
    tmp_path: Path,
) -> None:
    write_split(tmp_path / "training.npz", 600, 0)
    write_split(tmp_path / "publictest.npz", 60, 1)
    name = "production-sequences"
    with pytest.raises(DataError, match=r"no .*recordings\.npz.* Make it with: emotrace crops"):
        run_experiment(tmp_path, name, tmp_path / f"{name}-seed0", threads=1, smoke=True)
    save_recordings(tmp_path / "recordings.npz", make_recordings())
    write_ckplus(tmp_path / "ckplus48.npz")
    for experiment in ("production", name):
        run_experiment(
            tmp_path, experiment, tmp_path / f"{experiment}-seed0", threads=1, smoke=True, report=lambda line: None
        )
    record = read_record(tmp_path / f"{name}-seed0" / "record.json")
    assert record["epochs"] == {"sequences": 1}
    assert record["sequences"]["recordings"]["trained_on"] == 1
    file_hash = hashlib.sha256((tmp_path / "recordings.npz").read_bytes()).hexdigest()
    assert record["sequences"]["recordings"]["sha256"] == file_hash
    card = read_card(str(tmp_path / f"{name}-seed0" / f"{name}-smoke.json"))
    assert card.training["sequences"] == record["sequences"]
    before, after = (load_file(tmp_path / f"{run}-seed0/network.safetensors") for run in ("production", name))
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"lstm", "attention", "window_head"}

    # Other recordings make another run.
    save_recordings(tmp_path / "recordings.npz", make_recordings(held_out=(False, False, True)))
    with pytest.raises(DataError, match=r"belongs to another run: found {'sequences': .* Give another --out"):
        run_experiment(tmp_path, name, tmp_path / f"{name}-seed0", threads=1, smoke=True, report=lambda line: None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"production needs the weights of small, which are missing .* --experiment small --seed 3 first"),
        (b"cut short", r"cannot be read as weights .* --experiment small --seed 3 first"),
        ({"other": torch.zeros(2)}, r"does not fit production\. Expected the weights of small"),
    ],
)
def test_weights_to_begin_with_that_cannot_be_used_are_explained(
    data: Path, tmp_path: Path, content: bytes | dict[str, torch.Tensor] | None, message: str
) -> None:
    weights = tmp_path / "small-seed3" / "network.safetensors"
    if content is not None:
        weights.parent.mkdir()
        weights.write_bytes(content if isinstance(content, bytes) else safetensors.torch.save(content))
    with pytest.raises(DataError, match=message):
        run_experiment(data, "production", tmp_path / "production-seed3", seed=3, threads=1)


def test_a_folder_never_goes_on_with_another_experiments_weights(data: Path, tmp_path: Path) -> None:
    """The two differ in their settings alone: same network, same stages."""
    run_experiment(data, "cnn_bilstm-plain", tmp_path, threads=1, smoke=True, report=lambda line: None)
    with pytest.raises(DataError, match=r"found {'experiment': 'cnn_bilstm-plain', 'config': .* Give another --out"):
        run_experiment(data, "cnn_bilstm-weighted", tmp_path, threads=1, smoke=True, report=lambda line: None)


@pytest.mark.parametrize("name", ["small", "base", "production", "production-mixed", "production-original"])
def test_the_plans_are_those_of_the_finished_runs(data: Path, name: str) -> None:
    """A finished run folder is exported only while the plan stays what it was."""
    from training.datasets import read_dataset

    plan, experiment = read_record(RECORDS_DIR / f"{name}-seed1.json")["epochs"], find_experiment(name)
    teacher = find_experiment("base").make_network()
    helpers = {"teacher": teacher} if experiment.taught_by else {}
    stages = experiment.make_stages(
        read_dataset(data, "Training"), read_dataset(data, "PublicTest-A"), torch.device("cpu"), **helpers
    )
    assert {stage.name: stage.epochs for stage in stages} == plan


@pytest.mark.parametrize("name", [experiment.name for experiment in list_experiments()])
def test_the_settings_are_those_of_the_finished_runs(name: str) -> None:
    """Another setting would make another run of a finished folder, and of a row another than its record tells."""
    for path in RECORDS_DIR.glob(f"{name}-seed*.json"):
        config = read_record(path)["config"]
        # The run of ``small`` is older than the settings in records.
        assert config == json.loads(json.dumps(find_experiment(name).config)) or (name == "small" and not config)


def test_one_file_under_two_names_cannot_be_trained_on(data: Path, tmp_path: Path) -> None:
    write_split(tmp_path / "faces.npz", 200, 2)
    with pytest.raises(DataError, match="Every image of PublicTest-A is also in Training"):
        run_experiment(tmp_path / "faces.npz", "small", tmp_path / "run", smoke=True)


def test_data_without_votes_cannot_be_trained_on(tmp_path: Path) -> None:
    write_split(tmp_path / "training.npz", 200, 0, with_votes=False)
    write_split(tmp_path / "publictest.npz", 60, 1, with_votes=False)
    with pytest.raises(DataError, match=r"Training has no FER\+ votes"):
        run_experiment(tmp_path, "small", tmp_path / "run", smoke=True)


def test_too_few_faces_for_one_batch_are_refused(tmp_path: Path) -> None:
    write_split(tmp_path / "training.npz", 50, 0)
    write_split(tmp_path / "publictest.npz", 60, 1)
    with pytest.raises(DataError, match=r"Training has 50 faces\. Expected at least 128"):
        run_experiment(tmp_path, "small", tmp_path / "run", smoke=True)


def test_an_unknown_experiment_names_the_known_ones(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no experiment 'larger'\. Expected one of: .*production"):
        run_experiment(data, "larger", tmp_path / "run")


def test_a_run_folder_that_cannot_be_made_is_said_plainly(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be made .* Give another --out"):
        run_experiment(data, "production", tmp_path / "file", smoke=True)
