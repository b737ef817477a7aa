"""``emotrace crops``: recordings in, a training file of their faces out."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import RunEmotrace
from make_videos import write_video

from cli import crops as crops_command
from contracts.errors import DataError, OutputError, UsageError
from contracts.model_card import InputContract
from ingest.face_windows import PROFILE, join_tracks, read_face_windows
from ingest.windows import FaceCrop, WindowBuffer
from models.detection import find_default_detector, make_detector
from training.recordings import is_held_out, read_recordings


@pytest.fixture
def folder(tmp_path: Path, carphone: Path) -> Path:
    """A folder with a recording of a man in a car, and one without a face."""
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(carphone, folder / "deep" / "carphone.mp4")
    write_video(folder / "pattern.mp4", range(0, 1000, 40))
    return folder


def test_a_folders_faces_become_a_file_that_training_reads(
    run_emotrace: RunEmotrace, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "data" / "recordings.npz"
    done = run_emotrace("crops", folder, "--out", out)
    assert done.returncode == 0, done.stderr
    sha256 = hashlib.sha256((folder / "deep" / "carphone.mp4").read_bytes()).hexdigest()
    found = read_recordings(out)
    assert (found.names, found.hashes) == (("carphone.mp4",), (sha256,))
    # Four seconds at ten crops per second, the face always there.
    assert len(found.crops) == 40 and found.crops.shape[1:] == (48, 48)
    assert np.allclose(np.diff(found.times_s), 0.1, atol=0.02)
    assert set(found.track) == set(found.recording) == {0}
    assert "1/2 carphone.mp4: 40 faces in 1 track, " + ("held out" if is_held_out(sha256) else "for training") in (
        done.stdout
    )
    assert "2/2 pattern.mp4: no face, left out" in done.stdout
    assert [path.name for path in out.parent.iterdir()] == ["recordings.npz"]


def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_written(
    run_emotrace: RunEmotrace, folder: Path, tmp_path: Path
) -> None:
    (folder / "broken.mp4").write_bytes(b"no video at all")
    done = run_emotrace("crops", folder, "--out", tmp_path / "recordings.npz")
    assert done.returncode == 3
    assert "broken.mp4 cannot be opened as a video" in done.stderr and "Traceback" not in done.stderr
    assert read_recordings(tmp_path / "recordings.npz").names == ("carphone.mp4",)


def test_without_any_face_the_file_that_was_there_stays(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "recordings.npz"
    out.parent.mkdir()
    out.write_bytes(b"the file before")
    with pytest.raises(DataError, match=r"of 1 recordings 1 could be read, and none showed a face\."):
        crops_command.run([str(folder / "pattern.mp4")], out)
    assert out.read_bytes() == b"the file before"
    assert list(out.parent.iterdir()) == [out]


def test_a_place_that_cannot_be_written_is_said_before_anything_is_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"recordings\.npz cannot be written"):
        crops_command.run([str(folder)], tmp_path / "file" / "recordings.npz")
    with pytest.raises(UsageError, match=r"is a folder\. Name a file, for example .*recordings\.npz"):
        crops_command.run([str(folder)], tmp_path)
    assert "carphone" not in capsys.readouterr().out


def test_each_face_of_a_recording_comes_once_and_in_order(carphone: Path) -> None:
    detector = make_detector(find_default_detector())
    sequences = list(read_face_windows(carphone, detector, InputContract(48, 1), "m"))
    assert sum(len(sequence.pts) for sequence in sequences) > 40
    (track,) = join_tracks(iter(sequences))
    assert len(track.crops) == len(track.times_s) == sum(sequence.num_faces for sequence in sequences) == 40
    assert (np.diff(track.times_s) > 0).all()


def test_a_track_is_cut_at_a_gap_and_where_it_may_be_another_person() -> None:
    windows = WindowBuffer(PROFILE, "s", "m")

    def see(track_id: int, time_s: float, is_break: bool = False) -> list:
        crop = np.full((4, 4), round(10 * time_s), np.uint8)
        face = FaceCrop(round(10 * time_s), time_s, 0, (0.0, 0.0, 4.0, 4.0), 1.0, 1.0, crop)
        return list(windows.add(track_id, face, is_break))

    sequences = [window for step in range(30) for track in (1, 2) for window in see(track, step / 10)]
    sequences += [window for step in range(50, 55) for window in see(1, step / 10)]
    sequences += [window for step in range(30, 33) for window in see(2, step / 10, is_break=step == 30)]
    sequences += list(windows.flush_all())
    found = sorted([round(10 * time_s) for time_s in track.times_s] for track in join_tracks(iter(sequences)))
    assert found == sorted([[*range(30)], [*range(30)], [*range(50, 55)], [*range(30, 33)]])
