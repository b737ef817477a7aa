"""Real sequences for the temporal part: CK+'s ordered frames with their emotions, and windows of recordings without.

Both leave out what is held out to be measured: half of CK+'s subjects and about half of the recordings.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataError
from training.ckplus import FILE_NAME as CKPLUS_NAME
from training.ckplus import STEP_S, read_ckplus
from training.recordings import FILE_NAME as RECORDINGS_NAME
from training.recordings import Recordings, read_recordings
from training.windows import WINDOW_LENGTH


@dataclass(frozen=True)
class WindowSet:
    """W windows, the short ones padded: ``crops`` uint8 (W T H W), ``times_s`` float32 (W T) from 0, ``lengths`` (W).

    Padding repeats the last crop and its time.
    """

    crops: NDArray[np.uint8]
    times_s: NDArray[np.float32]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.crops)


@dataclass(frozen=True)
class Sequences:
    """What the temporal part learns from beside clips made from stills.

    ``posed`` are CK+'s sequences, of the class indices ``emotions`` (W), one for each; ``real`` are windows of
    recordings, of which no emotion is known. ``origins`` says for the record what they were made of.
    """

    posed: WindowSet
    emotions: NDArray[np.int64]
    real: WindowSet
    origins: dict[str, Any]


def read_sequences(data: Path) -> Sequences:
    """Read ``ckplus48.npz`` and ``recordings.npz`` in the folder ``data``, or beside the file ``data``.

    Raises:
        DataError: one of them is missing or something else, or holds nothing that may be trained on.
    """
    folder = data if data.is_dir() else data.parent
    path = folder / RECORDINGS_NAME
    recordings = read_recordings(path)
    chosen, is_near = _choose_recordings(recordings)
    windows = chosen.list_windows(WINDOW_LENGTH)
    ckplus, _ = read_ckplus(folder / CKPLUS_NAME).halve()
    posed = ckplus.list_sequences()
    if not windows:
        raise DataError(
            f"{path} has {len(recordings.names)} recordings, none of which may be trained on with two crops of one "
            f"face: {recordings.find_held_out().sum()} are held out, and {is_near.sum()} show faces of these. Add "
            "recordings."
        )
    if not posed:
        raise DataError(f"{folder / CKPLUS_NAME} has no sequences of our emotions in folds 0 to 4. Use the whole set.")
    origins = {
        "ckplus": {"n": len(ckplus.faces), "sha256": ckplus.faces.compute_sha256(), "folds": "0 to 4"},
        "recordings": {
            "n": len(chosen.crops),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            # Numbers alone: records and cards are passed on, and the names of recordings are their owners' business.
            "trained_on": len(chosen.names),
            "held_out": int(recordings.find_held_out().sum()),
            "left_out_with_faces_of_held_out_ones": int(is_near.sum()),
        },
    }
    return Sequences(
        _pad([(ckplus.faces.images[rows], np.arange(len(rows), dtype=np.float64) * STEP_S) for rows in posed]),
        ckplus.find_emotions()[[rows[0] for rows in posed]],
        _pad([(chosen.crops[rows], chosen.times_s[rows]) for rows in windows]),
        origins,
    )


def _choose_recordings(recordings: Recordings) -> tuple[Recordings, NDArray[np.bool_]]:
    """Return the recordings that may be trained on, and which others (R) show faces of held-out ones.

    Two cuts of one recording have different hashes; what is held out in one is not to be learned from the other.
    """
    # Imported here, because what only measures needs none of the packages of training.
    from training.duplicates import compute_hashes, find_near

    is_held_out = recordings.find_held_out()
    hashes = compute_hashes(recordings.crops)
    near = find_near(hashes, hashes[is_held_out[recordings.recording]])
    is_near = np.bincount(recordings.recording, near, len(recordings.names)) > 0
    return recordings.select(~is_held_out & ~is_near), is_near & ~is_held_out


def _pad(windows: Sequence[tuple[NDArray[np.uint8], NDArray[np.float64]]]) -> WindowSet:
    lengths = np.array([len(times_s) for _, times_s in windows])
    padded = [np.minimum(np.arange(lengths.max()), length - 1) for length in lengths]
    return WindowSet(
        np.stack([crops[rows] for (crops, _), rows in zip(windows, padded, strict=True)]),
        np.stack(
            [
                (times_s[rows] - times_s[0]).astype(np.float32)
                for (_, times_s), rows in zip(windows, padded, strict=True)
            ]
        ),
        lengths,
    )
