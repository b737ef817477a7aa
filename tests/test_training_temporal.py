"""The temporal benchmark: its clips, its figures, and a whole run on a small untrained model."""

import hashlib
import json
import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_training_ckplus import write_ckplus

from contracts.emotions import EMOTIONS
from contracts.messages import CropSequence
from contracts.model_card import InputContract
from models.checkpoints import save_model
from models.networks import EmotionNet, NetworkConfig
from models.predictor import EmotionPredictor
from training import temporal
from training.ckplus import CKPLUS_LABELS, CkPlus, read_ckplus
from training.datasets import FaceDataset
from training.flips import answer_windows, measure_flips
from training.recordings import is_held_out
from training.report import write_report
from training.results import read_results
from training.temporal_sets import LENGTH, MIN_RUN, SET_NAMES, ClipSet, make_set

BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "temporal.py"


@pytest.fixture(scope="module")
def card_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a small untrained network whose window part has something to say."""
    torch.manual_seed(0)
    network = EmotionNet(NetworkConfig(stem_channels=8, block_channels=(8, 16), lstm_hidden=4))
    torch.nn.init.normal_(network.window_head.weight)
    folder = tmp_path_factory.mktemp("model")
    return save_model(folder, network, name="small", input_contract=InputContract(48, 1), window_length=16)


@pytest.fixture(scope="module")
def predictor(card_path: Path) -> EmotionPredictor:
    return EmotionPredictor(str(card_path), "cpu")


def make_faces(number: int, seed: int = 0) -> FaceDataset:
    rng = np.random.default_rng(seed)
    votes = np.zeros((number, 10), np.uint8)
    labels = rng.integers(0, 7, number)
    votes[np.arange(number), np.array([4, 5, 6, 1, 3, 2, 0])[labels]] = 10
    return FaceDataset("faces", rng.integers(0, 256, (number, 48, 48), dtype=np.uint8), labels, votes)


def make_answers(clips: ClipSet, predicted: np.ndarray) -> np.ndarray:
    return np.eye(7, dtype=np.float32)[predicted].reshape(*clips.truth.shape, 7)


@pytest.mark.parametrize("name", SET_NAMES)
def test_a_set_is_the_same_for_the_same_seed(name: str) -> None:
    faces = make_faces(30)
    first, second, other = (make_set(name, faces, faces.labels, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.crops, second.crops)
    assert not np.array_equal(first.crops, other.crops)
    assert first.crops.shape == (5, LENGTH, 48, 48) and first.crops.dtype == np.uint8
    assert np.allclose(np.diff(first.times_s), 0.1)


@pytest.mark.parametrize("name", SET_NAMES)
def test_every_second_crop_is_spoilt(name: str) -> None:
    faces = make_faces(30)
    clips = make_set(name, faces, faces.labels, 20, 0)
    assert (clips.is_spoilt[:, 1:] != clips.is_spoilt[:, :-1]).all()
    assert 0 < clips.is_spoilt[:, 0].mean() < 1


def test_a_switching_clip_changes_its_emotion_once_and_a_steady_one_never() -> None:
    faces = make_faces(30)
    switching = make_set("switching", faces, faces.labels, 50, 0)
    assert ((np.diff(switching.truth) != 0).sum(1) == 1).all()
    assert (np.argmax(np.diff(switching.truth) != 0, axis=1) + 1 == switching.switch_at).all()
    assert (switching.switch_at.min(), switching.switch_at.max()) == (MIN_RUN, LENGTH - MIN_RUN)
    assert (np.diff(make_set("steady", faces, faces.labels, 50, 0).truth) == 0).all()


def test_figures_are_those_counted_by_hand() -> None:
    """The model errs on the two crops after the switch, the CNN on every spoilt crop."""
    faces = make_faces(30)
    clips = make_set("switching", faces, faces.labels, 40, 0)
    distance = np.arange(LENGTH)[None, :] - clips.switch_at[:, None]
    wrong = (clips.truth + 1) % 7
    first = clips.truth[:, :1].repeat(LENGTH, 1)
    model = make_answers(clips, np.where((distance == 0) | (distance == 1), first, clips.truth))
    cnn = make_answers(clips, np.where(clips.is_spoilt, wrong, clips.truth))
    found = temporal.measure_set(temporal.SetAnswers(clips, {"model": model, "cnn": cnn}), "small-1")
    of_model, of_cnn = found["systems"]["model"], found["systems"]["cnn"]
    assert of_model["accuracy"] == {"mean": 87.5, "se": 0.0}
    assert of_model["near_accuracy"] == {"mean": 75.0, "se": 0.0}
    assert (of_model["lag_crops"], of_model["switches_missed"]) == (2.0, 0.0)
    assert of_model["accuracy_by_distance"][0] == 0 and of_model["accuracy_by_distance"][2] == 100
    assert of_cnn["accuracy"]["mean"] == 50
    assert (of_cnn["accuracy_of_clear"], of_cnn["accuracy_of_spoilt"]) == (100, 0)
    assert of_cnn["event_f1"] < 0.1 < of_model["event_f1"]
    assert found["margins_points"]["model - cnn"] == {
        "accuracy": {"mean": 37.5, "se": 0.0},
        "near_accuracy": {"mean": 25.0, "se": 0.0},
    }


def test_a_steady_set_has_no_figures_of_a_switch() -> None:
    faces = make_faces(30)
    clips = make_set("steady", faces, faces.labels, 4, 0)
    answer = make_answers(clips, clips.truth)
    found = temporal.measure_set(temporal.SetAnswers(clips, {"model": answer, "cnn": answer}), "small-1")
    assert "near_accuracy" not in found["systems"]["model"]
    assert found["margins_points"]["model - cnn"] == {"accuracy": {"mean": 0.0, "se": 0.0}}


def test_the_cnn_alone_is_the_model_on_windows_of_one(predictor: EmotionPredictor) -> None:
    faces = make_faces(30)
    clips = make_set("steady", faces, faces.labels, 3, 0)
    frames = temporal.answer_by_frame(predictor, clips.crops)
    (alone,) = predictor.predict([clips.crops[2, 5:6]], [[0.0]])
    assert np.abs(frames[2, 5] - alone[0]).max() < 1e-2
    assert np.abs(temporal.answer_by_window(predictor, clips.crops, clips.times_s) - frames).max() > 1e-2


def make_ckplus(num_sequences: int) -> CkPlus:
    """Two sequences of three frames from each subject, in no order."""
    rng = np.random.default_rng(0)
    subject, sequence = np.repeat(np.arange(num_sequences) // 2, 3), np.repeat(np.arange(num_sequences) % 2, 3)
    labels = np.repeat(np.arange(num_sequences) % len(CKPLUS_LABELS), 3)
    images = rng.integers(0, 256, (len(labels), 48, 48), dtype=np.uint8)
    faces = FaceDataset("CK+", images, labels, None, CKPLUS_LABELS)
    order = rng.permutation(len(labels))
    frame = np.tile([7, 8, 9], num_sequences)
    return CkPlus(faces.select(order, "CK+"), subject[order], sequence[order], frame[order])


def test_ckplus_is_read_in_order_without_contempt(predictor: EmotionPredictor) -> None:
    ckplus = make_ckplus(14)
    found = temporal.measure_ckplus(predictor, ckplus)
    assert (found["n_frames"], found["n_sequences"]) == (36, 12)
    margin = found["accuracy"]["model"]["mean"] - found["accuracy"]["cnn"]["mean"]
    assert found["margin_points"]["mean"] == pytest.approx(margin, abs=0.02)


def test_each_of_ckplus_sequences_is_one_event(predictor: EmotionPredictor, monkeypatch: pytest.MonkeyPatch) -> None:
    ckplus = make_ckplus(14)
    truth = dict(zip((image.tobytes() for image in ckplus.faces.images), ckplus.find_emotions(), strict=True))
    broken = ckplus.faces.images[ckplus.list_sequences()[0][1]].tobytes()
    neutral = EMOTIONS.index("neutral")

    def predict(windows: list[np.ndarray], _: object) -> list[np.ndarray]:
        """All right as windows; alone, the middle frame of one sequence is named neutral."""
        keys = [[crop.tobytes() for crop in window] for window in windows]
        named = [[neutral if key == broken and len(row) == 1 else truth[key] for key in row] for row in keys]
        return [np.eye(7, dtype=np.float32)[row] for row in named]

    monkeypatch.setattr(predictor, "predict", predict)
    found = temporal.measure_ckplus(predictor, ckplus)
    # One event of twelve is broken into three, none of which overlaps it by half.
    assert found["event_f1"] == {"model": 1.0, "cnn": pytest.approx(2 * 11 / (12 + 14), abs=1e-4)}
    # Of six frames of that emotion five are found; neutral, which CK+ has not, is no class of the mean.
    assert found["frame_macro_f1"] == {"model": 1.0, "cnn": pytest.approx((5 + 2 * 5 / 11) / 6, abs=1e-4)}


def make_sequence(times_s: list[float], store: tuple[int, int], track_id: int = 1) -> CropSequence:
    number = len(times_s)
    crops = np.random.default_rng(number).integers(0, 256, (number, 48, 48), dtype=np.uint8)
    return CropSequence(
        session_id="s", track_id=track_id, model_id="small", store_from=store[0], store_to=store[1],
        pts=tuple(range(number)), times_s=tuple(times_s), frame_indices=tuple(range(number)),
        boxes=((0.0, 0.0, 9.0, 9.0),) * number, detection_scores=(1.0,) * number, qualities=(1.0,) * number,
        shape=(number, 48, 48), crops=crops.tobytes(),
    )  # fmt: skip


def test_stitched_windows_hold_each_stored_crop_once_and_break_at_gaps(predictor: EmotionPredictor) -> None:
    sequences = [
        make_sequence([0.0, 0.1, 0.2, 0.3], (0, 2)),
        make_sequence([0.0, 0.1], (0, 2), track_id=2),
        make_sequence([0.0, 0.1, 0.2, 0.3, 3.0, 3.1], (2, 6)),
    ]
    timelines = answer_windows(predictor, sequences, "centred mean, radius 1", 1.0)
    assert [timeline.times_s.tolist() for timeline in timelines] == [[0.0, 0.1, 0.2, 0.3], [3.0, 3.1], [0.0, 0.1]]
    found = measure_flips(timelines)
    assert found["crops"] == 8
    assert found["face_minutes"] == pytest.approx(0.5 / 60, abs=1e-3)
    assert found["systems"]["model"]["mean_distance_from_model"] == 0


def make_folders(parent: Path) -> tuple[Path, Path]:
    """A folder with both FER2013 splits, and an empty one for videos."""
    data, videos = parent / "data", parent / "videos"
    data.mkdir()
    videos.mkdir()
    for seed, name in enumerate(("training", "publictest")):
        faces = make_faces(60, seed)
        np.savez(data / f"fer2013_{name}.npz", images=faces.images, labels=faces.labels, ferplus_votes=faces.votes)
    return data, videos


def test_the_whole_benchmark_runs_and_writes_record_and_pictures(
    tmp_path: Path, card_path: Path, predictor: EmotionPredictor, carphone: Path
) -> None:
    data, videos = make_folders(tmp_path)
    shutil.copy(carphone, videos / "carphone.mp4")
    run = runpy.run_path(str(BENCHMARK))["run"]
    record = json.loads(run(data, videos, str(card_path), 3, 0, tmp_path / "out").read_text())
    assert set(record["sets"]) == set(SET_NAMES)
    assert record["model_id"] == predictor.card.model_id
    assert record["real_recordings"]["clips"]["carphone.mp4"]["crops"] > 10
    assert len(record["floors"]) == 7
    assert str(tmp_path) not in record["command"]
    assert [path.name for path in (tmp_path / "out" / "records").iterdir()] == ["temporal-small.json"]
    assert (tmp_path / "out" / "runs" / "temporal_clips.png").exists()
    page = write_report(tmp_path / "out" / "records", tmp_path / "out").read_text()
    for name in ("temporal_switch-small.png", "temporal_real-small.png"):
        assert f"figures/{name}" in page and (tmp_path / "out" / "figures" / name).stat().st_size > 10_000
    margin = record["sets"]["switching"]["margins_points"]["model - smoothed, tuned on this very set"]["accuracy"]
    assert re.search(rf"switching: points over the best .* at least 8 \| [a-z*]+ \| {margin['mean']} \|", page)


def test_on_held_out_data_only_what_is_never_trained_on_is_measured(
    tmp_path: Path, card_path: Path, carphone: Path
) -> None:
    data, videos = make_folders(tmp_path)
    write_ckplus(data / "ckplus48.npz")
    # What an mp4's reader skips makes other files of one clip, on either side.
    for number in range(4):
        (videos / f"{number}.mp4").write_bytes(carphone.read_bytes() + b"\0\0\0\x08free" * number)
    kept = {path.name for path in videos.iterdir() if is_held_out(hashlib.sha256(path.read_bytes()).hexdigest())}
    assert 0 < len(kept) < 4
    run = runpy.run_path(str(BENCHMARK))["run"]
    path = run(data, videos, str(card_path), 3, 0, tmp_path / "out", held_out=True)
    record = json.loads(path.read_text())
    assert path.name == "temporal-held-out-small.json" and record["command"].endswith("--held-out")
    assert set(record["real_recordings"]["clips"]) == kept
    _, held_out = read_ckplus(data).halve()
    assert record["ckplus_ordered_frames"]["n_sequences"] == len(held_out.list_sequences())
    assert 0 <= record["short_windows"]["named_neutral"]["model"]["mean"] <= 100 and record["short_windows"]["n"] > 0
    assert read_results(tmp_path / "out" / "records").temporal == []
