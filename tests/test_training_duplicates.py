"""Near-duplicates: what counts as the same picture, and what a user is told of it."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets import FaceDataset, read_dataset
from training.duplicates import compute_hashes, count_duplicates, find_near, leave_out_duplicates


def make_pictures(number: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random pictures, as unlike each other as faces are or more."""
    coarse = np.random.default_rng(seed).integers(0, 256, (number, 8, 8)).astype(np.uint8)
    return np.stack([cv2.resize(picture, (48, 48), interpolation=cv2.INTER_CUBIC) for picture in coarse])


def make_dataset(name: str, images: NDArray[np.uint8]) -> FaceDataset:
    return FaceDataset(name, images, np.zeros(len(images), dtype=np.int64), None)


def test_a_picture_made_smaller_brighter_or_recompressed_is_still_the_same() -> None:
    pictures = make_pictures(20, 0)
    smaller = np.stack([cv2.resize(cv2.resize(picture, (32, 32)), (48, 48)) for picture in pictures])
    brighter = np.clip(pictures * 0.7 + 70, 0, 255).astype(np.uint8)
    coded = [cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1] for picture in pictures]
    recompressed = np.stack([cv2.imdecode(code, cv2.IMREAD_GRAYSCALE) for code in coded])
    known = compute_hashes(pictures)
    for changed in (pictures, smaller, brighter, recompressed):
        assert find_near(compute_hashes(changed), known).mean() >= 0.9


def test_other_pictures_are_not_the_same() -> None:
    assert not find_near(compute_hashes(make_pictures(200, 1)), compute_hashes(make_pictures(200, 2))).any()


def test_evaluation_leaves_out_what_is_nearly_in_training() -> None:
    tested = make_dataset("PublicTest-B", make_pictures(30, 3))
    training = make_dataset("Training", np.concatenate([make_pictures(300, 4), tested.images[:10] // 2]))
    kept = leave_out_duplicates(tested, training)
    assert len(kept) == 20
    assert kept.name == "PublicTest-B without near-duplicates"
    assert np.array_equal(kept.images, tested.images[10:])


def test_pairs_of_splits_are_counted_once() -> None:
    pictures = make_pictures(30, 5)
    hashes = {
        "Training": compute_hashes(pictures[:20]),
        "PublicTest-A": compute_hashes(pictures[15:25]),
        "PublicTest-B": compute_hashes(pictures[24:]),
    }
    assert count_duplicates(hashes) == {
        "PublicTest-A in Training": {"of": 10, "found": 5},
        "PublicTest-B in Training": {"of": 6, "found": 0},
        "PublicTest-B in PublicTest-A": {"of": 6, "found": 1},
    }


def test_pictures_that_fer2013_repeats_are_found_and_few_others_are(shared_data: Path) -> None:
    training, tested = read_dataset(shared_data, "Training"), read_dataset(shared_data, "PublicTest-B")
    some, known = tested.images[::2], training.images[::8]
    bytes_of_known = {image.tobytes() for image in known}
    identical = np.array([image.tobytes() in bytes_of_known for image in some])
    near = find_near(compute_hashes(some), compute_hashes(known))
    assert near[identical].all()
    assert 0 < identical.sum() < near.sum() < 0.05 * len(some)
