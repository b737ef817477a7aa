"""CK+ comes in ten folds by subject, with its own labels."""

from pathlib import Path

import numpy as np
import pytest

from contracts.errors import DataError
from training.ckplus import CKPLUS_LABELS, read_ckplus


def write_ckplus(path: Path, num_subjects: int = 25, **changes: object) -> None:
    """Three frames of two sequences of each subject."""
    number = num_subjects * 6
    rng = np.random.default_rng(0)
    arrays = {
        "images": rng.integers(0, 256, (number, 48, 48), dtype=np.uint8),
        "labels": (np.arange(number) // 3 % 7).astype(np.uint8),
        "label_names": np.array(CKPLUS_LABELS),
        "subject": (np.arange(number) // 6 * 5 + 10).astype(np.int16),
        "sequence": (np.arange(number) // 3 % 2).astype(np.int16),
        "frame": (np.arange(number) % 3).astype(np.int16),
        **changes,
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]


def test_all_frames_of_a_subject_stand_in_one_fold(tmp_path: Path) -> None:
    write_ckplus(tmp_path / "ckplus48.npz")
    ckplus = read_ckplus(tmp_path)
    folds = ckplus.make_folds()
    assert len(folds) == 10
    assert sum(len(tested) for _, tested in folds) == len(ckplus.faces)
    whose = {image.tobytes(): subject for image, subject in zip(ckplus.faces.images, ckplus.subject, strict=True)}
    for training, tested in folds:
        assert len(training) + len(tested) == len(ckplus.faces)
        assert not {whose[image.tobytes()] for image in training.images} & {
            whose[image.tobytes()] for image in tested.images
        }


def test_the_set_keeps_its_own_labels(tmp_path: Path) -> None:
    write_ckplus(tmp_path / "faces.npz")
    faces = read_ckplus(tmp_path / "faces.npz").faces
    assert faces.label_names == CKPLUS_LABELS
    assert "contempt" in faces.label_names
    assert "neutral" not in faces.label_names


def test_the_real_set_has_the_published_numbers(shared_data: Path) -> None:
    ckplus = read_ckplus(shared_data)
    assert len(ckplus.faces) == 981
    assert len(np.unique(ckplus.subject)) == 118
    assert len({*zip(ckplus.subject.tolist(), ckplus.sequence.tolist(), strict=True)}) == 327


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"images": np.zeros((150, 44, 44), np.uint8)}, r"images are uint8 \(150, 44, 44\)"),
        ({"subject": np.zeros(3, np.int16)}, r"all else \(N\)"),
        ({"labels": np.full(150, 9)}, "labels must be integers from 0 to 6"),
        ({"label_names": np.array(["happy"] * 7)}, "Expected anger, contempt"),
    ],
)
def test_another_set_is_refused(tmp_path: Path, changes: dict[str, object], found: str) -> None:
    write_ckplus(tmp_path / "ckplus48.npz", **changes)
    with pytest.raises(DataError, match=found):
        read_ckplus(tmp_path)


def test_a_missing_or_damaged_file_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected an npz with images"):
        read_ckplus(tmp_path)
    (tmp_path / "ckplus48.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="Expected an npz with images"):
        read_ckplus(tmp_path)


def test_a_file_cut_short_is_said_to_be_unreadable(tmp_path: Path) -> None:
    write_ckplus(tmp_path / "ckplus48.npz")
    whole = (tmp_path / "ckplus48.npz").read_bytes()
    (tmp_path / "ckplus48.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="Expected an npz with images"):
        read_ckplus(tmp_path)
