"""Labelled face crops: which images a split holds, and how FER+'s votes become targets.

A data set is images, the original labels and, where they exist, the FER+ votes of ten people per image. The
functions that turn votes into targets stand here because each is a fact about the data; ``readers`` knows the files.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from training.readers import SPLITS, VOTE_COLUMNS, has_splits, read_faces

# Column of each of our emotions in FER+'s order.
EMOTION_VOTE_COLUMNS = np.array([4, 5, 6, 1, 3, 2, 0])
# Weights learn from the first, everything is chosen on the second, figures are reported on the third.
TRAINING, SELECTION, REPORTED = "Training", "PublicTest-A", "PublicTest-B"
NON_FACE_COLUMN = VOTE_COLUMNS.index("NF")


@dataclass(frozen=True)
class FaceDataset:
    """N labelled crops: ``images`` uint8 (N 48 48), ``labels`` int64 (N), ``votes`` uint8 (N 10) or None.

    ``label_names`` are the classes that ``labels`` count: the product's emotions unless the set says otherwise.
    """

    name: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    votes: NDArray[np.uint8] | None
    label_names: tuple[str, ...] = EMOTIONS

    def __len__(self) -> int:
        return len(self.images)

    def select(self, mask: NDArray[np.bool_], name: str) -> "FaceDataset":
        votes = None if self.votes is None else self.votes[mask]
        return FaceDataset(name, self.images[mask], self.labels[mask], votes, self.label_names)

    def keep_labels(self, names: tuple[str, ...]) -> "FaceDataset":
        """Return the faces with one of the labels ``names``, which become the classes, in that order."""
        class_of = np.array([names.index(name) if name in names else -1 for name in self.label_names])
        kept = self.select(class_of[self.labels] >= 0, self.name)
        return replace(kept, labels=class_of[kept.labels], label_names=names)

    def get_votes(self) -> NDArray[np.uint8]:
        """Return the votes.

        Raises:
            DataError: the data set has none.
        """
        if self.votes is None:
            raise DataError(
                f"{self.name} has no FER+ votes. Put fer2013new.csv (github.com/microsoft/FERPlus) beside fer2013.csv, "
                "or an array 'ferplus_votes' (N, 10) into the npz; to compare with the original labels, use "
                "--labels fer2013."
            )
        return self.votes

    def compute_sha256(self) -> str:
        """Return one hash of all images, labels and votes, to name the data in run records and model cards."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        digest.update(self.labels.tobytes())
        if self.votes is not None:
            digest.update(np.ascontiguousarray(self.votes).tobytes())
        return digest.hexdigest()


def read_dataset(path: Path, split: str | None = None) -> FaceDataset:
    """Read ``split`` of the data set at ``path``.

    ``split`` is Training, PublicTest or PrivateTest, with ``-A`` or ``-B`` for one of its fixed halves; None takes
    all of a file that has no splits. A directory may hold ``fer2013.csv``, npz files named after the splits, or a
    folder per class (inside a folder per split, or ``train`` and ``test``, where a split is asked for). An npz holds
    one split and is taken whole, unless its name says that it is another one.

    Raises:
        DataError: nothing readable is there, or it has other shapes, labels or splits than expected.
    """
    base, _, half = (split or "").partition("-")
    if (split is not None and base not in SPLITS) or half not in ("", "A", "B"):
        raise DataError(
            f"The split {split!r} is unknown. Expected {', '.join(SPLITS)}, or one of them with -A or -B for a half."
        )
    faces = read_faces(path, base)
    if len(faces.images) == 0:
        raise DataError(f"{path} has no images of the split {base or 'any'}. Check --split and the file.")
    dataset = FaceDataset(base or path.stem, faces.images, faces.labels, faces.votes)
    if half:
        dataset = dataset.select(find_half_a(dataset.images) == (half == "A"), f"{base}-{half}")
    return dataset


def find_default_split(path: Path) -> str | None:
    """Return the split to report on: PublicTest-B where the data has splits, else None, which is everything."""
    return REPORTED if has_splits(path) else None


def find_half_a(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which images belong to half A: those whose pixels' SHA-256 begins with an even byte.

    Everything is chosen and calibrated on half A of PublicTest, figures are reported on half B. The rule depends on
    the image alone, so identical images never stand in both halves.
    """
    return np.array([hashlib.sha256(image.tobytes()).digest()[0] % 2 == 0 for image in images], dtype=bool)


def compute_soft_targets(votes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the vote distribution over our seven emotions (N K); all zero where no emotion had two votes.

    A single vote is taken for a slip, as in the FER+ paper (Barsoum et al. 2016); contempt, unknown and non-face
    votes are left out.
    """
    counts = votes[:, EMOTION_VOTE_COLUMNS].astype(np.float32)
    counts[counts < 2] = 0
    total = counts.sum(1, keepdims=True)
    targets: NDArray[np.float32] = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    return targets


def find_non_faces(votes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which images FER+ calls non-faces: no column has more votes than NF."""
    most: NDArray[np.bool_] = votes[:, NON_FACE_COLUMN] >= votes.max(1)
    return most


def find_majority(votes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the majority emotion's class index, or -1 where there is none to compare with.

    The majority is the largest of all ten vote columns; ties at the top, unknown, non-face and contempt are left out.
    """
    top = votes.max(1)
    is_tie = (votes == top[:, None]).sum(1) > 1
    class_of_column = np.full(votes.shape[1], -1, dtype=np.int64)
    class_of_column[EMOTION_VOTE_COLUMNS] = np.arange(len(EMOTIONS))
    return np.where(is_tie, -1, class_of_column[votes.argmax(1)])
