"""Real sequences for the temporal part: what is read, what is held out, and what the stage learns from it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_faces import make_recordings, save_recordings
from test_training_ckplus import write_ckplus
from test_training_clips import list_losses, make_faces, seeded

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from models.networks import EmotionNet, NetworkConfig
from training.ckplus import CKPLUS_LABELS, read_ckplus
from training.engine import Stage, train
from training.recordings import is_held_out, read_recordings
from training.sequence_stage import make_sequences_stage
from training.sequences import read_sequences
from training.stills import read_stills

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    save_recordings(tmp_path / "recordings.npz", make_recordings())
    write_ckplus(tmp_path / "ckplus48.npz")
    return tmp_path


def make_network(seed: int = 0) -> EmotionNet:
    torch.manual_seed(seed)
    network = EmotionNet(NetworkConfig(stem_channels=8, block_channels=(8, 16), lstm_hidden=4))
    torch.nn.init.normal_(network.window_head.weight)
    return network


def make_stage(data: Path, teacher: EmotionNet, epochs: int = 1) -> Stage:
    sequences = read_sequences(data)
    return make_sequences_stage(epochs, read_stills(make_faces(140), CPU), make_faces(30), sequences, teacher.eval())


def test_about_half_of_all_recordings_are_held_out_whatever_their_names() -> None:
    rng = np.random.default_rng(0)
    share = np.mean([is_held_out(rng.bytes(32).hex()) for _ in range(2000)])
    assert 0.45 < share < 0.55
    recordings = make_recordings(held_out=(True, False, True))
    assert recordings.find_held_out().tolist() == [True, False, True]


def test_windows_overlap_by_half_and_stay_within_one_track() -> None:
    recordings = make_recordings(lengths=(16, 20, 1, 5, 40), held_out=(False,))
    windows = recordings.list_windows(16)
    starts = [(rows[0], len(rows)) for rows in windows]
    assert starts == [(0, 16), (16, 16), (24, 12), (37, 5), (42, 16), (50, 16), (58, 16), (66, 16)]
    assert all(len(set(recordings.track[rows])) == 1 for rows in windows)


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    recordings = make_recordings()
    save_recordings(tmp_path / "recordings.npz", recordings)
    found = read_recordings(tmp_path / "recordings.npz")
    assert np.array_equal(found.crops, recordings.crops) and np.array_equal(found.times_s, recordings.times_s)
    assert (found.names, found.hashes) == (recordings.names, recordings.hashes)


def test_a_missing_file_says_which_command_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no .*recordings\.npz.*emotrace crops VIDEO_OR_FOLDER\.\.\. --out"):
        read_sequences(tmp_path)
    save_recordings(tmp_path / "recordings.npz", make_recordings())
    with pytest.raises(DataError, match=r"ckplus48\.npz cannot be read as CK\+"):
        read_sequences(tmp_path)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"crops": np.zeros((50, 44, 44), np.uint8)}, r"crops of uint8 \(50, 44, 44\)\. Expected uint8 \(N, 48, 48\)"),
        ({"track": np.zeros(3, np.int64)}, "not as many times, tracks and recordings"),
        ({"recording": np.full(50, 7)}, "2 names. Expected one name and one SHA-256 for each recording"),
        ({"sha256": np.array(["x", "y"])}, "hashes that are no SHA-256"),
        ({"times_s": np.zeros(50)}, "times that do not grow"),
        ({"names": np.array([{}, {}], dtype=object)}, "cannot be read as face crops"),
        ({"crops": np.uint8(3)}, r"crops of uint8 \(\)\. Expected uint8 \(N, 48, 48\)"),
        ({"track": np.arange(50) % 2}, "tracks in pieces"),
        ({"recording": np.arange(50) % 2}, "a track in two recordings"),
        ({"times_s": None}, "cannot be read as face crops"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, changes: dict[str, np.ndarray | None], found: str) -> None:
    path = tmp_path / "recordings.npz"
    save_recordings(path, make_recordings())
    with np.load(path) as archive:
        arrays = {**archive, **changes}
    np.savez(path, **{name: values for name, values in arrays.items() if values is not None})
    with pytest.raises(DataError, match=f"{found}.* Make it with: emotrace crops"):
        read_recordings(path)


def test_a_file_cut_short_or_of_another_kind_is_said_to_be_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "recordings.npz"
    save_recordings(path, make_recordings())
    for content in (path.read_bytes()[:2000], b"nothing", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read as face crops"):
            read_recordings(path)


def test_what_is_held_out_is_not_trained_on_and_both_are_counted_without_their_names(data: Path) -> None:
    sequences, recordings = read_sequences(data), make_recordings()
    origins = sequences.origins["recordings"]
    assert (origins["trained_on"], origins["held_out"]) == (1, 1)
    assert "clip" not in str(origins)
    assert len(origins["sha256"]) == 64 and origins["n"] == 25
    trained = {crop.tobytes() for crop in recordings.crops[recordings.recording == 0]}
    assert {crop.tobytes() for window in sequences.real.crops for crop in window} == trained
    assert sequences.real.lengths.tolist() == [16, 12, 5]
    assert (sequences.real.times_s[:, 0] == 0).all()


def test_another_cut_of_a_held_out_recording_is_left_out_too(data: Path) -> None:
    recordings = make_recordings(held_out=(False, True, False))
    shows_second = recordings.recording == 2
    recordings.crops[shows_second] = recordings.crops[recordings.recording == 1]
    recordings.crops[shows_second] -= recordings.crops[shows_second] // 32
    save_recordings(data / "recordings.npz", recordings)
    origins = read_sequences(data).origins["recordings"]
    assert origins["trained_on"] == 1
    assert origins["left_out_with_faces_of_held_out_ones"] == 1


def test_recordings_of_which_all_are_held_out_are_too_few(data: Path) -> None:
    save_recordings(data / "recordings.npz", make_recordings(held_out=(True,)))
    with pytest.raises(DataError, match=r"has 1 recordings, none of which may be trained on .* Add recordings"):
        read_sequences(data)


def test_the_halves_of_ckplus_share_no_subject_and_are_the_folds(data: Path) -> None:
    ckplus = read_ckplus(data)
    training, held_out = ckplus.halve()
    assert len(training.faces) + len(held_out.faces) == len(ckplus.faces)
    assert not set(training.subject) & set(held_out.subject)
    in_folds = {image.tobytes() for _, tested in ckplus.make_folds()[5:] for image in tested.images}
    assert {image.tobytes() for image in held_out.faces.images} == in_folds


def test_posed_sequences_are_in_order_and_without_contempt(data: Path) -> None:
    ckplus, _ = read_ckplus(data).halve()
    sequences = read_sequences(data)
    is_contempt = ckplus.faces.labels == CKPLUS_LABELS.index("contempt")
    assert len(sequences.posed) == (~is_contempt).sum() // 3
    assert sequences.posed.crops.shape[1] == 3 and (sequences.posed.lengths == 3).all()
    frame_of = {image.tobytes(): frame for image, frame in zip(ckplus.faces.images, ckplus.frame, strict=True)}
    assert all([frame_of[crop.tobytes()] for crop in window] == [0, 1, 2] for window in sequences.posed.crops)
    names = ("angry", "", "disgust", "fear", "happy", "sad", "surprise")
    label_of = {image.tobytes(): label for image, label in zip(ckplus.faces.images, ckplus.faces.labels, strict=True)}
    for window, emotion in zip(sequences.posed.crops, sequences.emotions, strict=True):
        assert EMOTIONS[emotion] == names[label_of[window[0].tobytes()]]


def test_the_stage_teaches_windows_and_leaves_single_crops_as_they_were(data: Path) -> None:
    network, teacher = make_network(), make_network()
    stage = make_stage(data, teacher)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    losses = list_losses(network, stage.make_optimiser(network), stage.make_losses(network.train(), 0, seeded()))
    assert len(losses) == stage.batches_per_epoch == 8
    changed = {
        name.split(".")[0] for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])
    }
    assert changed == {"lstm", "attention", "window_head"}
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


def test_a_student_that_reads_what_the_teacher_reads_has_nothing_to_learn(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spare_all(batch: int, length: int, _: torch.Generator) -> torch.Tensor:
        return torch.zeros((batch, length), dtype=torch.bool)

    monkeypatch.setattr("training.sequence_stage.draw_spoilt", spare_all)
    assert follow(make_stage(data, make_network()), make_network(), seed=0) == pytest.approx(0, abs=1e-5)


def test_the_student_comes_to_say_of_spoilt_windows_what_the_teacher_says_of_clean_ones(data: Path) -> None:
    teacher, student = make_network(), make_network(seed=1)
    # The CNN and its head are the teacher's, as they are in the experiment.
    kept = {name: tensor for name, tensor in teacher.state_dict().items() if name.startswith(("cnn", "emotion_head"))}
    student.load_state_dict({**student.state_dict(), **kept})
    stage = make_stage(data, teacher)
    optimiser = stage.make_optimiser(student)
    found = [follow(stage, student, seed, optimiser) for seed in range(25)]
    assert np.mean(found[-5:]) < 0.7 * np.mean(found[:5])


def follow(stage: Stage, student: EmotionNet, seed: int, optimiser: torch.optim.Optimizer | None = None) -> float:
    """Return the loss of an epoch's first batch, which is one of recordings; with an optimiser, learn from it."""
    loss = next(iter(stage.make_losses(student.train(), 0, seeded(seed))))
    if optimiser is not None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


def test_a_run_that_lost_power_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    def lose_power(line: str) -> None:
        if line.startswith("sequences 1/2"):
            raise KeyboardInterrupt

    def go(folder: str, report: object = None) -> EmotionNet:
        stage = make_stage(data, make_network(), epochs=2)
        return train(make_network(), [stage], tmp_path / folder, 3, report or (lambda line: None))  # type: ignore[arg-type]

    straight = go("straight")
    with pytest.raises(KeyboardInterrupt):
        go("cut", lose_power)
    resumed = go("cut")
    assert all(
        torch.equal(first, second)
        for first, second in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
