"""Figures: what is counted, and that the shipped model's card tells them truly."""

import io
import json
from contextlib import redirect_stdout
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cli import evaluate as evaluate_command
from contracts.emotions import EMOTIONS
from contracts.errors import DataError, UsageError
from contracts.model_card import InputContract, list_models, read_card
from models.checkpoints import save_model
from models.networks import EmotionNet, NetworkConfig
from models.predictor import EmotionPredictor, compute_probabilities
from training.calibration import compute_nll, fit_temperature
from training.datasets import FaceDataset, read_dataset
from training.evaluation import ServedClassifier, compute_ece, evaluate, score


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    network = EmotionNet(NetworkConfig(stem_channels=8, block_channels=(8, 16), lstm_hidden=4))
    folder = tmp_path_factory.mktemp("model")
    return str(save_model(folder, network, name="small", input_contract=InputContract(48, 1), window_length=16))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty random pictures; the votes of the first are a tie."""
    rng = np.random.default_rng(0)
    votes = np.zeros((40, 10), np.uint8)
    votes[np.arange(40), rng.integers(0, 7, 40)] = 8
    votes[0] = [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]
    path = tmp_path_factory.mktemp("data") / "fer2013_publictest.npz"
    images = rng.integers(0, 256, (40, 48, 48), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(40) % 7, ferplus_votes=votes)
    return path


def make_rows(*classes: int, confidence: float) -> NDArray[np.float32]:
    rows = np.full((len(classes), 7), (1 - confidence) / 6, np.float32)
    rows[np.arange(len(classes)), classes] = confidence
    return rows


def test_figures_are_those_counted_by_hand() -> None:
    """Truth: three angry, one happy. Said: angry, angry, happy; happy."""
    truth = np.array([0, 0, 0, 3])
    found = score(make_rows(0, 0, 3, 3, confidence=0.7), truth, "m-1", "ferplus")
    assert (found.n, found.accuracy) == (4, 0.75)
    angry, happy = found.per_class["angry"], found.per_class["happy"]
    assert [angry.precision, angry.recall, angry.f1, angry.n] == pytest.approx([1.0, 2 / 3, 0.8, 3])
    assert [happy.precision, happy.recall, happy.f1, happy.n] == pytest.approx([0.5, 1.0, 2 / 3, 1])
    assert found.per_class["fear"].n == found.per_class["fear"].f1 == 0
    assert found.macro_f1 == pytest.approx((0.8 + 2 / 3) / 2)
    assert found.confusion_matrix[0][3] == 1
    assert found.confusion_matrix[3][0] == 0
    assert np.sum(found.confusion_matrix) == 4
    assert found.ece == pytest.approx(0.05)


def test_an_emotion_that_is_only_predicted_counts_in_the_macro_f1() -> None:
    found = score(make_rows(0, 5, confidence=0.9), np.array([0, 0]), "m-1", "fer2013")
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    confidence = np.array([0.9] * 10 + [0.5] * 10, np.float32)
    right = np.array([True] * 9 + [False] + [True] * 3 + [False] * 7)
    assert compute_ece(confidence, right) == pytest.approx((0.0 + 0.2) / 2, abs=1e-6)
    # A gap above and one below in different bins do not cancel.
    assert compute_ece(np.array([1.0, 0.5], np.float32), np.array([False, True])) == pytest.approx(0.75)


def test_coverage_falls_with_the_threshold_and_an_empty_share_has_no_accuracy() -> None:
    rows = np.concatenate([make_rows(0, 1, confidence=0.85), make_rows(2, 3, confidence=0.55)])
    found = {row[0]: row[1:] for row in score(rows, np.array([0, 1, 2, 2]), "m-1", "ferplus").coverage_accuracy}
    assert found[0.0] == (1.0, 0.75)
    assert found[0.8] == (0.5, 1.0)
    assert found[0.9] == (0.0, None)


def test_the_fitted_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (5000, 7)).astype(np.float32)
    probabilities = compute_probabilities(logits, 1.0)
    truth = np.array([rng.choice(7, p=row / row.sum()) for row in probabilities.astype(np.float64)])
    temperature = fit_temperature(logits * 3, truth)
    assert temperature == pytest.approx(3.0, rel=0.05)
    assert compute_nll(logits * 3, truth, temperature) < compute_nll(logits * 3, truth, 1.0)


def test_images_without_a_majority_are_left_out_of_ferplus_alone(model: str, data: Path) -> None:
    classifier, dataset = ServedClassifier(EmotionPredictor(model, "cpu")), read_dataset(data)
    votes, originals = evaluate(classifier, dataset, "ferplus"), evaluate(classifier, dataset, "fer2013")
    assert (votes.n, originals.n) == (39, 40)
    assert [originals.per_class[emotion].n for emotion in EMOTIONS] == [6, 6, 6, 6, 6, 5, 5]
    assert votes.model == read_card(model).model_id


def test_data_without_votes_says_how_to_get_them(model: str) -> None:
    dataset = FaceDataset("mine", np.zeros((2, 48, 48), np.uint8), np.array([0, 1]), None)
    classifier = ServedClassifier(EmotionPredictor(model, "cpu"))
    with pytest.raises(DataError, match=r"fer2013new\.csv .* beside fer2013\.csv"):
        evaluate(classifier, dataset, "ferplus")
    assert evaluate(classifier, dataset, "fer2013").n == 2


def test_data_without_any_majority_is_refused(model: str) -> None:
    votes = np.full((2, 10), 1, np.uint8)
    dataset = FaceDataset("mine", np.zeros((2, 48, 48), np.uint8), np.array([0, 1]), votes)
    with pytest.raises(DataError, match="No face of mine has a majority"):
        evaluate(ServedClassifier(EmotionPredictor(model, "cpu")), dataset, "ferplus")


def test_the_command_prints_one_json_object_and_draws_a_picture(model: str, data: Path, tmp_path: Path) -> None:
    printed = io.StringIO()
    with redirect_stdout(printed):
        evaluate_command.run(data, None, "ferplus", model, "cpu", True, tmp_path / "faces.png")
    found = json.loads(printed.getvalue())
    assert set(found) == {
        *("n", "accuracy", "macro_precision", "macro_recall", "macro_f1", "per_class", "confusion_matrix"),
        *("ece", "model", "labels", "split", "coverage_accuracy", "backend"),
    }
    assert set(found["per_class"]["fear"]) == {"precision", "recall", "f1", "n"}
    assert (found["n"], found["split"], found["labels"]) == (39, "all", "ferplus")
    assert np.sum(found["confusion_matrix"]) == 39
    assert (tmp_path / "faces.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_a_table_for_people(model: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_command.run(data.parent, None, "fer2013", model, "cpu", False, None, "torch")
    printed = capsys.readouterr().out
    assert "on PublicTest-B (fer2013): accuracy 0." in printed
    assert "computed by torch in " in printed
    assert "Faces by true (rows) and predicted (columns) emotion" in printed
    assert "confidence at least" in printed


def test_the_same_seed_draws_the_same_picture(model: str, data: Path, tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        with redirect_stdout(io.StringIO()):
            evaluate_command.run(data, None, "fer2013", model, "cpu", True, tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


@pytest.mark.parametrize("name", ["absent/faces.png", "faces.docx"])
def test_a_picture_that_cannot_be_written_is_said_plainly(model: str, data: Path, tmp_path: Path, name: str) -> None:
    with redirect_stdout(io.StringIO()), pytest.raises(UsageError, match=r"cannot be written .* Give a \.png"):
        evaluate_command.run(data, None, "fer2013", model, "cpu", True, tmp_path / name)


def test_unknown_labels_are_refused(model: str, data: Path) -> None:
    with pytest.raises(UsageError, match="Expected ferplus"):
        evaluate_command.run(data, None, "affectnet", model, "cpu", True, None)


@pytest.mark.parametrize("name", list_models())
def test_a_shipped_models_figures_are_those_on_its_card(name: str, shared_data: Path) -> None:
    on_card = read_card(name).figures["PublicTest-B"]
    classifier = ServedClassifier(EmotionPredictor(name, "cpu"))
    dataset = read_dataset(shared_data, "PublicTest-B")
    for labels in ("ferplus", "fer2013"):
        found = evaluate(classifier, dataset, labels)
        assert found.n == on_card[labels]["n"]
        assert found.accuracy == pytest.approx(on_card[labels]["accuracy"], abs=0.005)
        assert found.macro_f1 == pytest.approx(on_card[labels]["macro_f1"], abs=0.01)
        assert found.ece == pytest.approx(on_card[labels]["ece"], abs=0.01)


@pytest.mark.parametrize("name", list_models())
def test_a_shipped_model_answers_a_real_window_alike_in_any_batch(name: str, shared_data: Path) -> None:
    faces = read_dataset(shared_data, "PublicTest-A").images[:150]
    predictor = EmotionPredictor(name, "cpu")
    cuts = [0, 1, 17, 20, 36, 45, 61, 77, 90, 100, 116, 120, 136, 150]
    windows = [faces[start:end] for start, end in pairwise(cuts)]
    times_s = [[0.1 * position for position in range(len(window))] for window in windows]
    for window, times, together in zip(windows, times_s, predictor.predict(windows, times_s), strict=True):
        (alone,) = predictor.predict([window], [times])
        assert np.abs(together - alone).max() < 1e-2
