"""Face crops of real recordings, without labels: the file that ``emotrace crops`` writes, and its windows.

About half of all recordings are held out, always the same ones, so that what was trained on the others can be measured
on recordings that it has not seen; one person in two recordings may stand on both sides. The hash of a file decides, so
that the file alone tells which half it belongs to.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from contracts.model_card import InputContract

FILE_NAME = "recordings.npz"
INPUT = InputContract(size_px=48, channels=1)


@dataclass(frozen=True)
class Recordings:
    """The faces of R recordings, track by track, those of a track in order of time.

    ``crops`` uint8 (N 48 48); ``times_s`` (N) in seconds from the recording's start; ``track`` (N) is another number
    for each face and for each stretch of it without a gap; ``recording`` (N) counts ``names`` and ``hashes``, the
    files' names and SHA-256.
    """

    crops: NDArray[np.uint8]
    times_s: NDArray[np.float64]
    track: NDArray[np.int64]
    recording: NDArray[np.int64]
    names: tuple[str, ...]
    hashes: tuple[str, ...]

    def select(self, is_chosen: NDArray[np.bool_]) -> "Recordings":
        """Return the faces of the recordings that ``is_chosen`` (R); tracks keep their numbers."""
        rows = is_chosen[self.recording]
        number = np.cumsum(is_chosen) - 1
        return Recordings(
            self.crops[rows],
            self.times_s[rows],
            self.track[rows],
            number[self.recording[rows]],
            tuple(name for name, is_kept in zip(self.names, is_chosen, strict=True) if is_kept),
            tuple(sha256 for sha256, is_kept in zip(self.hashes, is_chosen, strict=True) if is_kept),
        )

    def find_held_out(self) -> NDArray[np.bool_]:
        """Return which recordings (R) are held out."""
        return np.array([is_held_out(sha256) for sha256 in self.hashes], dtype=bool)

    def list_windows(self, length: int) -> list[NDArray[np.int64]]:
        """Return the rows of windows of 2 to ``length`` crops, overlapping by half; a track of one crop has none."""
        borders = np.flatnonzero(np.diff(self.track)) + 1
        return [
            rows[start : start + length]
            for rows in np.split(np.arange(len(self.track)), borders)
            for start in range(0, max(len(rows) - length // 2, 1), length // 2)
            if len(rows) > 1
        ]


def is_held_out(sha256: str) -> bool:
    """Return whether the recording with this SHA-256 is never trained on; its name may change."""
    return int(sha256[:8], 16) % 2 == 1


def write_recordings(file: BinaryIO, recordings: Recordings) -> None:
    """Write ``recordings`` to an open file as npz."""
    np.savez_compressed(
        file,
        crops=recordings.crops,
        times_s=recordings.times_s,
        track=recordings.track,
        recording=recordings.recording,
        names=np.array(recordings.names),
        sha256=np.array(recordings.hashes),
    )


def read_recordings(path: Path) -> Recordings:
    """Read what ``write_recordings`` wrote.

    Raises:
        DataError: the file is missing, or is something else.
    """
    make_it = f"Make it with: emotrace crops VIDEO_OR_FOLDER... --out {path}"
    if not path.exists():
        raise DataError(f"There is no {path}, the face crops of real recordings. {make_it}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = Recordings(
                archive["crops"],
                archive["times_s"].astype(np.float64),
                archive["track"].astype(np.int64),
                archive["recording"].astype(np.int64),
                tuple(str(name) for name in archive["names"]),
                tuple(str(sha256) for sha256 in archive["sha256"]),
            )
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read as face crops ({error}). Expected an npz with crops (N 48 48 uint8), times_s, "
            f"track, recording, names and sha256. {make_it}"
        ) from None
    if problem := _find_problem(found):
        raise DataError(f"{path} holds {problem}. {make_it}")
    return found


def _find_problem(found: Recordings) -> str | None:
    """Return what is wrong with a file's arrays and what was expected, or None."""
    number, size_px = found.crops.size // INPUT.size_px**2, INPUT.size_px
    if found.crops.dtype != np.uint8 or found.crops.shape != (number, size_px, size_px):
        return f"crops of {found.crops.dtype} {found.crops.shape}. Expected uint8 (N, {size_px}, {size_px})"
    if any(values.shape != (number,) for values in (found.times_s, found.track, found.recording)):
        return f"{number} crops and not as many times, tracks and recordings. Expected one of each for a crop"
    if number == 0:
        return "no crops. Expected at least one face"
    if len(found.hashes) != len(found.names) or not 0 <= found.recording.min() <= found.recording.max() < len(
        found.names
    ):
        return f"{len(found.names)} names. Expected one name and one SHA-256 for each recording"
    if not all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in found.hashes):
        return "hashes that are no SHA-256. Expected 64 hexadecimal digits"
    is_same_track = np.diff(found.track) == 0
    if len(np.unique(found.track)) != np.count_nonzero(~is_same_track) + 1:
        return "tracks in pieces. Expected the crops of each track one after the other"
    if np.diff(found.recording)[is_same_track].any():
        return "a track in two recordings. Expected another number for each"
    if not np.isfinite(found.times_s).all() or (np.diff(found.times_s)[is_same_track] <= 0).any():
        return "times that do not grow. Expected seconds, in order within each track"
    return None
