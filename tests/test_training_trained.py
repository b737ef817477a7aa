"""Evaluating finished runs: the same figures as their records, and what a user is told when it cannot be done."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cli import evaluate as evaluate_command
from contracts.emotions import EMOTIONS
from contracts.errors import DataError, UsageError
from training.ckplus import CKPLUS_LABELS
from training.run import run_experiment

THREE = ("happy", "sad", "neutral")


def draw_bars(labels: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """Pictures in which the class is the row of a bright bar."""
    images = np.random.default_rng(seed).integers(0, 100, (len(labels), 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[3 + 6 * label : 8 + 6 * label] += 150
    return images


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013 in small, four of its test faces nearly in Training, and CK+ in small: 20 subjects, 7 sequences each."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    training, tested, private = (rng.integers(0, 7, number) for number in (400, 60, 30))
    for name, labels in (("training", training), ("publictest", tested), ("privatetest", private)):
        votes = np.zeros((len(labels), 10), np.uint8)
        votes[np.arange(len(labels)), np.array([4, 5, 6, 1, 3, 2, 0])[labels]] = 10
        images = draw_bars(labels, len(labels))
        np.savez(folder / f"{name}.npz", images=images, labels=labels, ferplus_votes=votes)
    subject, label = (array.ravel() for array in np.meshgrid(np.arange(20), np.arange(7), indexing="ij"))
    np.savez(
        folder / "ckplus48.npz",
        images=draw_bars(label, 7),
        labels=label,
        label_names=np.array(CKPLUS_LABELS),
        subject=subject,
        sequence=np.arange(len(label)),
        frame=np.zeros(len(label), np.int64),
    )
    return folder


def train(data: Path, experiment: str, folder: Path) -> Path:
    run_experiment(data, experiment, folder, device="cpu", threads=1, smoke=True, report=lambda line: None)
    # Training leaves it to the caller how many threads what follows may take.
    torch.set_num_threads(1)
    return folder


@pytest.fixture(scope="module")
def three(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, "cnn-three", tmp_path_factory.mktemp("runs") / "cnn-three-seed0")


@pytest.fixture(scope="module")
def folds(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, "dscnn_lstm-ckplus", tmp_path_factory.mktemp("runs") / "dscnn_lstm-ckplus-seed0")


def evaluate(capsys: pytest.CaptureFixture[str], data: Path, run: Path, **options: object) -> dict[str, object]:
    arguments = {"split": None, "labels": "fer2013", "model": None, "device": "cpu", "as_json": True, "picture": None}
    evaluate_command.run(data, run_folder=run, **{**arguments, **options})  # type: ignore[arg-type]
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("labels", ["fer2013", "ferplus"])
def test_a_run_has_the_figures_of_its_record(
    data: Path, three: Path, labels: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(capsys, data, three, labels=labels, split="PublicTest-B")
    recorded = json.loads((three / "record.json").read_text())["metrics"]["PublicTest-B"][labels]
    assert found["n"] == recorded["n"]
    assert found["accuracy"] == pytest.approx(recorded["accuracy"], abs=1e-4)
    assert found["confusion_matrix"] == recorded["confusion_matrix"]
    assert tuple(found["per_class"]) == THREE  # type: ignore[arg-type]
    assert (found["model"], found["split"], found["backend"]) == ("cnn-three-seed0", "PublicTest-B", "torch")


def test_a_record_tells_near_duplicates_and_the_figures_without_them(three: Path) -> None:
    record = json.loads((three / "record.json").read_text())
    near, metrics = record["near_duplicates"], record["metrics"]["PublicTest-B"]
    assert near["of"] == metrics["fer2013"]["n"]
    assert near["pairs"]["PublicTest-B in Training"] == {"of": near["of"], "found": near["in_training"]}
    assert set(near["pairs"]) >= {"PublicTest-A in Training", "PublicTest-B in PublicTest-A"}
    for found in record["metrics_without_duplicates"].values():
        assert set(found) == {"n", "accuracy", "macro_f1"}
        assert found["n"] == near["of"] - near["in_training"]
    assert "conditions" not in record  # for headline systems only


def test_whoever_holds_the_private_split_can_measure_a_run_on_it(
    data: Path, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(capsys, data, three, split="PrivateTest", picture=tmp_path / "faces.png")
    labels = np.load(data / "privatetest.npz")["labels"]
    assert found["n"] == np.isin(labels, [EMOTIONS.index(name) for name in THREE]).sum()
    assert (tmp_path / "faces.png").read_bytes().startswith(b"\x89PNG")


def test_conditions_are_measured_for_a_run_and_drawn_on_one_face(
    data: Path, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(capsys, data, three, conditions=True, picture=tmp_path / "conditions.png")
    conditions = found["conditions"]
    assert isinstance(conditions, dict)
    assert conditions["as it is"]["accuracy"] == pytest.approx(found["accuracy"], abs=1e-4)
    assert set(conditions["dark"]) == {"n", "accuracy", "macro_precision", "macro_recall", "ms_per_image"}
    assert (tmp_path / "conditions.png").read_bytes().startswith(b"\x89PNG")
    evaluate_command.run(data, None, "fer2013", None, "cpu", False, None, run_folder=three, conditions=True)
    printed = capsys.readouterr().out
    assert "cnn-three-seed0 on PublicTest-B (fer2013): accuracy" in printed
    assert "mouth covered" in printed


def test_a_run_on_ck_plus_answers_for_each_fold_with_the_network_that_has_not_seen_it(
    data: Path, folds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(capsys, data, folds)
    record = json.loads((folds / "record.json").read_text())
    assert found["n"] == record["metrics"]["CK+"]["n"] == 28
    assert found["confusion_matrix"] == record["metrics"]["CK+"]["confusion_matrix"]
    summary = record["metrics"]["CK+"]
    assert found["folds"] == {"number": 2, "mean": summary["mean"], "std": summary["std"]}
    assert tuple(found["per_class"]) == CKPLUS_LABELS  # type: ignore[arg-type]
    evaluate_command.run(data, None, "fer2013", None, "cpu", False, None, run_folder=folds)
    assert "Over 2 folds by subject: accuracy 0." in capsys.readouterr().out


def test_options_that_ck_plus_cannot_serve_are_refused(
    data: Path, folds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="Leave out --split, --without-duplicates and --conditions"):
        evaluate(capsys, data, folds, split="PublicTest-B")


def test_another_ck_plus_than_the_run_knew_is_refused(
    data: Path, folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays = dict(np.load(data / "ckplus48.npz"))
    np.savez(tmp_path / "ckplus48.npz", **{**arrays, "images": arrays["images"][::-1]})
    with pytest.raises(DataError, match=r"another CK\+ than dscnn_lstm-ckplus was trained on"):
        evaluate(capsys, tmp_path, folds)


def test_faces_that_training_holds_nearly_are_left_out(
    data: Path, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = dict(np.load(data / "publictest.npz"))
    shutil.copy(data / "training.npz", tmp_path)
    training = dict(np.load(data / "training.npz"))
    happy = int(np.flatnonzero(training["labels"] == EMOTIONS.index("happy"))[0])
    tested["images"][0], tested["labels"][0] = training["images"][happy], EMOTIONS.index("happy")
    np.savez(tmp_path / "publictest.npz", **tested)
    every = evaluate(capsys, tmp_path, three, split="PublicTest")
    some = evaluate(capsys, tmp_path, three, split="PublicTest", without_duplicates=True)
    left_out = some["left_out"]
    assert isinstance(left_out, dict)
    assert left_out["of"] == every["n"]
    assert left_out["near_duplicates"] >= 1
    assert some["n"] == left_out["of"] - left_out["near_duplicates"]


@pytest.mark.parametrize("split", ["Training", None])
def test_duplicates_need_a_split_to_be_compared_with(
    data: Path, three: Path, split: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    where = data if split else data / "publictest.npz"
    with pytest.raises(UsageError, match="compares with the Training split"):
        evaluate(capsys, where, three, split=split, without_duplicates=True)


def test_a_folder_that_holds_no_finished_run_is_said_plainly(
    data: Path, three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match=r"holds no finished run: record\.json is missing"):
        evaluate(capsys, data, tmp_path)
    record = json.loads((three / "record.json").read_text())
    (tmp_path / "record.json").write_text(json.dumps({**record, "experiment": "forgotten"}))
    with pytest.raises(DataError, match=r"experiment that this release does not have.*'forgotten'"):
        evaluate(capsys, data, tmp_path)
    shutil.copy(three / "record.json", tmp_path)
    with pytest.raises(DataError, match=r"network\.safetensors does not hold the weights of cnn-three"):
        evaluate(capsys, data, tmp_path)
    (tmp_path / "network.safetensors").write_bytes(b"damaged" * 20)
    with pytest.raises(DataError, match=r"network\.safetensors does not hold the weights of cnn-three"):
        evaluate(capsys, data, tmp_path)


def test_a_model_and_a_run_together_are_refused(data: Path, three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="Both --model and --run"):
        evaluate(capsys, data, three, model="production")
