"""CK+: posed expressions of 118 people, the last three frames of each sequence, in ten folds by subject.

As single faces they keep their own labels. Their ordered frames are also read by the product's emotions: one half of
the subjects may teach the temporal part, the other is held out.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from training.datasets import FaceDataset

NUM_FOLDS = 10
CKPLUS_LABELS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
FILE_NAME = "ckplus48.npz"
# CK+ was filmed at 30 frames per second; its contempt is none of our emotions.
STEP_S = 1 / 30
_EMOTIONS = {
    "anger": "angry", "disgust": "disgust", "fear": "fear", "happy": "happy", "sadness": "sad", "surprise": "surprise",
}  # fmt: skip


@dataclass(frozen=True)
class CkPlus:
    """CK+'s faces with, for each, whose it is (``subject``), of which ``sequence``, and which ``frame`` of that."""

    faces: FaceDataset
    subject: NDArray[np.int64]
    sequence: NDArray[np.int64]
    frame: NDArray[np.int64]

    def make_folds(self) -> list[tuple[FaceDataset, FaceDataset]]:
        """Return (training, test) faces of ten folds; all frames of a subject stand in one fold's test.

        Subjects are dealt out in the order of their numbers, which the set gave without regard to expression.
        """
        fold = self._find_folds()
        return [
            (
                self.faces.select(fold != index, f"CK+ without fold {index}"),
                self.faces.select(fold == index, f"CK+ fold {index}"),
            )
            for index in range(NUM_FOLDS)
        ]

    def halve(self) -> tuple["CkPlus", "CkPlus"]:
        """Return the faces of folds 0 to 4, which may teach the temporal part, and those of 5 to 9, held out."""
        is_held_out = self._find_folds() >= NUM_FOLDS // 2
        return self._select(~is_held_out, "CK+ folds 0 to 4"), self._select(is_held_out, "CK+ folds 5 to 9")

    def list_sequences(self) -> list[NDArray[np.int64]]:
        """Return the rows of each sequence in the order of its frames; those of contempt are left out."""
        is_known = self.find_emotions() >= 0
        # Sequences are numbered anew for each subject.
        _, sequence = np.unique(np.stack((self.subject, self.sequence)), axis=1, return_inverse=True)
        return [
            np.flatnonzero(sequence == number)[np.argsort(self.frame[sequence == number])]
            for number in np.unique(sequence[is_known])
        ]

    def find_emotions(self) -> NDArray[np.int64]:
        """Return the product's class index (N) of each face's label, -1 for contempt."""
        known = [_EMOTIONS.get(label) for label in CKPLUS_LABELS]
        return np.array([-1 if emotion is None else EMOTIONS.index(emotion) for emotion in known])[self.faces.labels]

    def _find_folds(self) -> NDArray[np.int64]:
        """Return the fold (N) in whose test each face stands."""
        _, position = np.unique(self.subject, return_inverse=True)
        return position % NUM_FOLDS

    def _select(self, is_chosen: NDArray[np.bool_], name: str) -> "CkPlus":
        return CkPlus(
            self.faces.select(is_chosen, name),
            self.subject[is_chosen],
            self.sequence[is_chosen],
            self.frame[is_chosen],
        )


def read_ckplus(path: Path) -> CkPlus:
    """Read CK+ from ``path``, an npz file or the folder with ``ckplus48.npz``.

    The file holds ``images`` uint8 (N 48 48), ``labels`` (N) that count ``label_names``, and ``subject``,
    ``sequence`` and ``frame`` (N). Its own seven labels, contempt among them and neutral not, are kept.

    Raises:
        DataError: the file is missing, or is something else.
    """
    path = path / FILE_NAME if path.is_dir() else path
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        names = tuple(str(name) for name in arrays["label_names"])
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
        subject, sequence, frame = (arrays[key].astype(np.int64) for key in ("subject", "sequence", "frame"))
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as CK+ ({error}). Expected an npz with images (N 48 48 uint8), labels, "
            "label_names, subject, sequence and frame."
        ) from None
    if (
        images.dtype != np.uint8
        or images.shape[1:] != (48, 48)
        or any(values.shape != (len(images),) for values in (labels, subject, sequence, frame))
    ):
        raise DataError(f"{path}: images are {images.dtype} {images.shape}. Expected uint8 (N, 48, 48), all else (N).")
    if len(labels) == 0 or not 0 <= labels.min() <= labels.max() < len(CKPLUS_LABELS):
        raise DataError(f"{path}: labels must be integers from 0 to 6, and at least one. Use the file as it was made.")
    if names != CKPLUS_LABELS:
        raise DataError(f"{path} has the labels {', '.join(names)}. Expected {', '.join(CKPLUS_LABELS)}.")
    return CkPlus(FaceDataset("CK+", images, labels, None, CKPLUS_LABELS), subject, sequence, frame)
