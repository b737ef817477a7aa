"""Predictions: probabilities of the right shape and order that depend on a window alone."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.errors import ModelError, UsageError
from contracts.model_card import InputContract
from models.backends import BackendChoice, find_openvino
from models.checkpoints import load_network, save_model
from models.networks import EmotionNet, NetworkConfig
from models.predictor import EmotionPredictor
from models.preprocessing import standardise

Window = NDArray[np.uint8]
# What the rounding of bfloat16 may change a probability by.
CLOSE = 1e-2


def draw_window(length: int, seed: int) -> Window:
    """A window of blurry patterns: noise alone looks the same to any network."""
    coarse = np.random.default_rng(seed).integers(0, 256, (length, 6, 6), dtype=np.uint8)
    return np.repeat(np.repeat(coarse, 8, 1), 8, 2)


def list_times(windows: Sequence[Window], step_s: float = 0.1, start_s: float = 0.0) -> list[list[float]]:
    """Times of crops that follow each other steadily."""
    return [[start_s + step_s * position for position in range(len(window))] for window in windows]


def predict(predictor: EmotionPredictor, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
    """Predict windows of ten crops per second."""
    return predictor.predict(windows, list_times(windows))


@pytest.fixture(scope="module")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model whose answers differ from window to window, with batch statistics as after training."""
    torch.manual_seed(0)
    network = EmotionNet(NetworkConfig(8, block_channels=(16, 32), lstm_hidden=16))
    torch.nn.init.normal_(network.window_head.weight, std=3.0)
    network.train()
    with torch.no_grad():
        for seed in range(30):
            network.compute_features(standardise(torch.from_numpy(draw_window(16, seed))))
        # Sharp answers around a uniform one.
        features = network.eval().compute_features(standardise(torch.from_numpy(draw_window(16, 99))))
        network.emotion_head.weight *= 60
        network.emotion_head.bias.copy_(-network.emotion_head.weight @ features.mean(0))
    return save_model(
        tmp_path_factory.mktemp("model"),
        network,
        name="small",
        input_contract=InputContract(48, 1),
        window_length=16,
        temperature=1.5,
    )


@pytest.fixture(scope="module", params=["torch", "openvino"])
def backend(request: pytest.FixtureRequest) -> BackendChoice:
    if request.param == "openvino" and not find_openvino():
        pytest.skip("OpenVINO is not at hand")
    name: BackendChoice = request.param
    return name


@pytest.fixture(scope="module")
def predictor(card_path: Path, backend: BackendChoice) -> EmotionPredictor:
    return EmotionPredictor(str(card_path), "cpu", backend)


def test_every_crop_gets_seven_probabilities_that_sum_to_one(predictor: EmotionPredictor) -> None:
    windows = [draw_window(length, length) for length in (1, 7, 16, 3)]
    found = predict(predictor, windows)
    assert [rows.shape for rows in found] == [(1, 7), (7, 7), (16, 7), (3, 7)]
    for rows in found:
        assert rows.dtype == np.float32
        assert (rows >= 0).all()
        assert np.abs(rows.sum(1) - 1).max() < 1e-6


def test_the_answers_differ_between_windows(predictor: EmotionPredictor) -> None:
    """Without this, the tests of independence below would say nothing."""
    rows = np.concatenate(predict(predictor, [draw_window(16, seed) for seed in range(4)]))
    assert np.ptp(rows, axis=0).max() > 0.2


def test_a_window_does_not_depend_on_what_else_is_in_the_batch(predictor: EmotionPredictor) -> None:
    windows = [draw_window(1 + seed % 16, seed) for seed in range(40)]
    together = predict(predictor, windows)
    for window, rows in zip(windows, together, strict=True):
        (alone,) = predict(predictor, [window])
        assert np.abs(rows - alone).max() < CLOSE


def test_padding_does_not_change_a_short_window(predictor: EmotionPredictor) -> None:
    short = draw_window(2, 1)
    (alone,) = predict(predictor, [short])
    padded, _ = predict(predictor, [short, draw_window(16, 2)])
    assert np.abs(padded - alone).max() < CLOSE


def test_the_serving_network_answers_like_the_trained_one(predictor: EmotionPredictor, card_path: Path) -> None:
    network, card = load_network(card_path)
    window = draw_window(16, 5)
    with torch.inference_mode():
        crops, times_s = standardise(torch.from_numpy(window))[None], torch.tensor(list_times([window]))
        logits = network(crops, times_s, torch.tensor([16]))[0]
    expected = (logits / card.temperature).softmax(-1).numpy()
    (found,) = predict(predictor, [window])
    assert np.abs(found - expected).max() < 2 * CLOSE


def test_the_columns_follow_the_product_whatever_the_weights_order(
    predictor: EmotionPredictor, backend: BackendChoice, card_path: Path, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.json"
    card = json.loads(card_path.read_text())
    turned.write_text(json.dumps({**card, "labels": list(reversed(EMOTIONS))}))
    turned.with_suffix(".safetensors").write_bytes(card_path.with_suffix(".safetensors").read_bytes())
    window = draw_window(4, 3)
    (straight,) = predict(predictor, [window])
    (reordered,) = predict(EmotionPredictor(str(turned), "cpu", backend), [window])
    assert np.array_equal(reordered, straight[:, ::-1])


def test_the_two_kinds_of_label_come_from_two_heads(predictor: EmotionPredictor) -> None:
    windows = [draw_window(3, 1), draw_window(1, 2)]
    times_s = list_times(windows)
    votes, originals = (predictor.compute_logits(windows, times_s, kind) for kind in ("ferplus", "fer2013"))
    assert [rows.shape for rows in originals] == [(3, 7), (1, 7)]
    assert not np.allclose(votes[0], originals[0])
    # The original head looks at each crop alone.
    (alone,) = predictor.compute_logits([windows[0][:1]], [[0.0]], "fer2013")
    assert np.allclose(originals[0][0], alone[0], atol=0.05)


def test_a_flat_grey_crop_gives_finite_probabilities(predictor: EmotionPredictor) -> None:
    (rows,) = predict(predictor, [np.full((2, 48, 48), 128, np.uint8)])
    assert np.isfinite(rows).all()


def test_no_windows_give_no_answers(predictor: EmotionPredictor) -> None:
    assert predictor.predict([], []) == []


def test_only_the_steps_between_crops_matter_not_the_clock(predictor: EmotionPredictor) -> None:
    """A Unix clock in float32 would step by two minutes."""
    windows = [draw_window(16, 4), draw_window(5, 5)]
    since_start = predictor.predict(windows, list_times(windows))
    unix = predictor.predict(windows, list_times(windows, start_s=1.7e9))
    for one, other in zip(since_start, unix, strict=True):
        assert np.abs(one - other).max() < 1e-4


def test_the_same_crops_at_another_rate_are_read_differently(predictor: EmotionPredictor) -> None:
    windows = [draw_window(16, 4)]
    (slow,), (fast,) = (predictor.predict(windows, list_times(windows, step_s)) for step_s in (0.1, 1 / 30))
    assert np.abs(slow - fast).max() > 0.05


def test_a_still_picture_has_no_rate(predictor: EmotionPredictor) -> None:
    window = draw_window(1, 4)
    (early,), (late,) = predictor.predict([window], [[0.0]]), predictor.predict([window], [[99.0]])
    assert np.array_equal(early, late)


def test_a_crop_without_a_time_is_refused(predictor: EmotionPredictor) -> None:
    with pytest.raises(ModelError, match=r"4 crops came with 3 times\. Give one time per crop"):
        predictor.predict([draw_window(4, 0)], [[0.0, 0.1, 0.2]])


@pytest.mark.parametrize(
    "window",
    [
        np.zeros((4, 44, 44), np.uint8),
        np.zeros((4, 48, 48, 3), np.uint8),
        np.zeros((48, 48), np.uint8),
        np.zeros((0, 48, 48), np.uint8),
        np.zeros((17, 48, 48), np.uint8),
        np.zeros((4, 48, 48), np.float32),
    ],
)
def test_crops_of_another_shape_are_refused(predictor: EmotionPredictor, window: Window) -> None:
    with pytest.raises(ModelError, match=r"expects grey uint8 crops \(T, 48, 48\) with T from 1 to 16"):
        predict(predictor, [draw_window(2, 0), window])


def test_an_unknown_device_is_refused(card_path: Path) -> None:
    with pytest.raises(UsageError, match="Expected auto, cpu or cuda"):
        EmotionPredictor(str(card_path), "tpu")


def test_a_gpu_that_is_not_there_is_said_to_be_missing(card_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="finds no usable NVIDIA GPU"):
        EmotionPredictor(str(card_path), "cuda")
    assert EmotionPredictor(str(card_path), "auto").device_name == "cpu"


def test_a_predictor_tells_its_model(predictor: EmotionPredictor) -> None:
    assert predictor.card.model_id.startswith("small-")
    assert predictor.window_length == 16
    assert predictor.device_name == "cpu"


def test_a_worker_remembers_its_latest_crops_and_answers_overlapping_windows_like_one_that_does_not() -> None:
    following = EmotionPredictor("production", "cpu", crops_kept=20)
    size = following.card.input.size_px
    crops = draw_window(40, seed=1)[:, :size, :size]
    windows, times = [crops[start : start + 16] for start in range(0, 24, 2)], np.arange(16) / 10
    in_turn = [following.predict([window], [times])[0] for window in windows]
    for index in (0, -1):
        (alone,) = EmotionPredictor("production", "cpu").predict([windows[index]], [times])
        np.testing.assert_allclose(in_turn[index], alone, atol=CLOSE)
    assert len(following._seen) == 20


@pytest.mark.parametrize(("crops_kept", "passes"), [(0, 32), (16, 16)])
def test_only_a_predictor_that_was_asked_to_remembers_so_that_other_figures_are_of_the_whole_work(
    card_path: Path, monkeypatch: pytest.MonkeyPatch, crops_kept: int, passes: int
) -> None:
    predictor = EmotionPredictor(str(card_path), "cpu", "torch", crops_kept)
    compute, seen = predictor.backend.compute_features, []
    monkeypatch.setattr(type(predictor.backend), "compute_features", lambda _, x: seen.append(len(x)) or compute(x))
    window = draw_window(16, 1)
    first, second = predict(predictor, [window]), predict(predictor, [window])
    assert sum(seen) == passes
    np.testing.assert_array_equal(first[0], second[0])
