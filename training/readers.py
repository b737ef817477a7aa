"""The files that labelled faces come in: Kaggle's ``fer2013.csv``, npz archives, and a folder per class."""

import csv
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.errors import DataError

SPLITS = ("Training", "PublicTest", "PrivateTest")
# FER+'s columns in their order. The last three are no emotion of ours.
VOTE_COLUMNS = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF",
)  # fmt: skip
_LABEL_NAMES = {"anger": "angry", "happiness": "happy", "sadness": "sad", "surprised": "surprise"}
# What those who cut FER2013 into folders call the splits.
_FOLDER_NAMES = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}
_PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp"}
_SIZE_PX = 48


class Faces(NamedTuple):
    """N crops: ``images`` uint8 (N 48 48), ``labels`` int64 (N), ``votes`` uint8 (N 10) or None."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.uint8] | None


def read_faces(path: Path, split: str) -> Faces:
    """Read ``split`` (empty for all) from a csv, an npz or a directory of either or of class folders.

    Raises:
        DataError: nothing readable is there, or it has other shapes, labels or splits than expected.
    """
    if path.is_dir():
        return _read_directory(path, split)
    if not path.exists():
        raise DataError(f"There is no data set at {path}. Expected a .csv, a .npz or a directory; check the path.")
    if path.suffix == ".npz":
        return _read_npz(path, split)
    if path.suffix == ".csv":
        return _read_csv(path, split)
    raise DataError(f"{path} is neither a .csv, a .npz nor a directory. Give Kaggle's fer2013.csv, for example.")


def has_splits(path: Path) -> bool:
    """Return whether the data at ``path`` is divided into splits: a csv or directory is, unless plainly one set."""
    if path.suffix == ".csv" and path.is_file():
        first = next(_read_rows(path), {})
        return "Usage" in first
    return path.is_dir() and not _find_class_folders(path)


def _read_directory(path: Path, split: str) -> Faces:
    if (path / "fer2013.csv").exists():
        return _read_csv(path / "fer2013.csv", split)
    if split:
        for archive in sorted(path.glob("*.npz")):
            if _find_split_in_name(archive) == split:
                return _read_npz(archive, split)
    for folder in (path / split, path / _FOLDER_NAMES[split]) if split else (path,):
        folders = _find_class_folders(folder)
        if folders:
            return _read_class_folders(folders)
    raise DataError(
        f"{path} holds no split {split or '(none asked for)'}. Expected fer2013.csv, an npz whose name ends in the "
        f"split's name, or one folder per class ({', '.join(EMOTIONS)}), inside train or test where splits are meant."
    )


def _find_split_in_name(path: Path) -> str | None:
    return next((split for split in SPLITS if path.stem.lower().endswith(split.lower())), None)


def _find_class_folders(path: Path) -> list[tuple[str, Path]]:
    """Return (emotion, folder) for each class folder in ``path``; none where ``path`` holds something else."""
    if not path.is_dir():
        return []
    children = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    named = [(_LABEL_NAMES.get(child.name.lower(), child.name.lower()), child) for child in children]
    if not any(name in EMOTIONS for name, _ in named):
        return []
    _refuse_unknown_labels(path, [name for name, _ in named])
    return named


def _refuse_unknown_labels(path: Path, names: list[str]) -> None:
    unknown = sorted(set(names) - set(EMOTIONS))
    if unknown:
        raise DataError(
            f"{path} has the labels {', '.join(unknown)}, which are not among emotrace's {', '.join(EMOTIONS)}. "
            "Take those images out of the copy that you give here."
        )


def _read_class_folders(folders: list[tuple[str, Path]]) -> Faces:
    images, labels = [], []
    for name, folder in folders:
        for picture in sorted(folder.iterdir()):
            if picture.suffix.lower() not in _PICTURE_SUFFIXES:
                continue
            image = cv2.imread(str(picture), cv2.IMREAD_GRAYSCALE)
            if image is None:
                raise DataError(f"{picture} is not a readable picture. Remove or replace it.")
            if image.shape != (_SIZE_PX, _SIZE_PX):
                image = cv2.resize(image, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_AREA)
            images.append(image.astype(np.uint8))
            labels.append(EMOTIONS.index(name))
    stacked = np.array(images, dtype=np.uint8).reshape(-1, _SIZE_PX, _SIZE_PX)
    return Faces(stacked, np.array(labels, dtype=np.int64), None)


def _read_npz(path: Path, split: str) -> Faces:
    named = _find_split_in_name(path)
    if split and named and named != split:
        raise DataError(f"{path} is {named} by its name, {split} was asked for. Give that file, or --split {named}.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable npz archive ({error}). Make it with numpy.savez.") from error
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None or labels is None or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"{path} holds {sorted(arrays)}. Expected at least 'images' (N 48 48 uint8) and integer 'labels' (N)."
        )
    if "label_names" in arrays:
        names = [_LABEL_NAMES.get(str(name), str(name)) for name in arrays["label_names"]]
        _refuse_unknown_labels(path, names)
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
            raise DataError(f"{path}: labels run from {labels.min()} to {labels.max()}, label_names has {len(names)}.")
        labels = np.array([EMOTIONS.index(name) for name in names])[labels]
    return _check(path, images, labels, arrays.get("ferplus_votes"))


def _read_csv(path: Path, split: str) -> Faces:
    images, labels, chosen, number = [], [], [], 0
    for number, row in enumerate(_read_rows(path), 1):
        if split and row.get("Usage", split) != split:
            continue
        try:
            pixels, label = np.array(row["pixels"].split(), dtype=np.int64), int(row["emotion"])
        except (KeyError, ValueError, AttributeError):
            raise DataError(
                f"{path}, data row {number}: expected the columns 'emotion' (0 to 6) and 'pixels' (numbers). Give "
                "Kaggle's fer2013.csv."
            ) from None
        if pixels.size != _SIZE_PX**2 or pixels.min() < 0 or pixels.max() > 255:
            raise DataError(
                f"{path}, data row {number}: found {pixels.size} pixels, expected {_SIZE_PX**2} from 0 to 255. "
                "The file may be cut short; copy it anew."
            )
        images.append(pixels.astype(np.uint8))
        labels.append(label)
        chosen.append(number - 1)
    votes_path = path.with_name("fer2013new.csv")
    votes = _read_votes(votes_path, path, number)[chosen] if votes_path.exists() else None
    stacked = np.array(images, dtype=np.uint8).reshape(-1, _SIZE_PX, _SIZE_PX)
    return _check(path, stacked, np.array(labels, dtype=np.int64), votes)


def _read_votes(path: Path, faces_path: Path, num_faces: int) -> NDArray[np.uint8]:
    """Return the votes (N 10) of FER+'s ``fer2013new.csv``, whose rows stand in the order of ``fer2013.csv``."""
    try:
        rows = [[int(row[column]) for column in VOTE_COLUMNS] for row in _read_rows(path)]
        votes = np.array(rows, dtype=np.uint8).reshape(-1, len(VOTE_COLUMNS))
    except (KeyError, ValueError, TypeError, OverflowError):
        raise DataError(f"{path} lacks a count of votes. Expected the columns {', '.join(VOTE_COLUMNS)}.") from None
    if len(votes) != num_faces:
        raise DataError(
            f"{path} has {len(votes)} rows, {faces_path} has {num_faces}. They must match row by row; take both whole."
        )
    return votes


def _read_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="") as file:
            yield from csv.DictReader(file, skipinitialspace=True)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a readable csv file ({error}). Give Kaggle's fer2013.csv.") from None


def _check(path: Path, images: NDArray[np.uint8], labels: NDArray[np.int64], votes: NDArray[np.uint8] | None) -> Faces:
    if images.dtype != np.uint8 or images.shape[1:] != (_SIZE_PX, _SIZE_PX):
        raise DataError(f"{path}: images are {images.dtype} {images.shape}. Expected uint8 (N, 48, 48).")
    if labels.shape != (len(images),) or (len(labels) and not 0 <= labels.min() <= labels.max() < len(EMOTIONS)):
        raise DataError(f"{path}: labels must be {len(images)} integers from 0 to 6, in the order {EMOTIONS}.")
    if votes is not None and votes.shape != (len(images), len(VOTE_COLUMNS)):
        raise DataError(f"{path}: votes are {votes.shape}. Expected ({len(images)}, {len(VOTE_COLUMNS)}).")
    return Faces(images, labels.astype(np.int64), votes)
