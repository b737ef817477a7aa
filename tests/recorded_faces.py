"""Face crops of recordings that the tests make up, as ``emotrace crops`` writes them."""

import hashlib
from pathlib import Path

import numpy as np

from training.recordings import Recordings, is_held_out, write_recordings


def find_hash(held_out: bool, number: int = 0) -> str:
    """The SHA-256 of a made-up file that is held out, or of one that is not; each ``number`` gives another."""
    hashes = (hashlib.sha256(str(index).encode()).hexdigest() for index in range(1000))
    return [sha256 for sha256 in hashes if is_held_out(sha256) == held_out][number]


def make_recordings(lengths: tuple[int, ...] = (20, 5), held_out: tuple[bool, ...] = (False, True)) -> Recordings:
    """One recording for each of ``held_out``; each has tracks of ``lengths`` crops, of different noise."""
    size, number = sum(lengths), len(held_out)
    return Recordings(
        np.random.default_rng(0).integers(0, 256, (size * number, 48, 48), dtype=np.uint8),
        np.tile(np.concatenate([0.1 * np.arange(length) for length in lengths]), number),
        np.repeat(np.arange(len(lengths) * number), lengths * number),
        np.repeat(np.arange(number), size),
        tuple(f"clip{index}.mp4" for index in range(number)),
        tuple(find_hash(is_out, index) for index, is_out in enumerate(held_out)),
    )


def save_recordings(path: Path, recordings: Recordings) -> None:
    with path.open("wb") as file:
        write_recordings(file, recordings)
