"""Reading labelled faces: each layout gives the same images, labels and votes, or says what is wrong with it."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.errors import DataError
from training.datasets import (
    compute_soft_targets,
    find_default_split,
    find_half_a,
    find_majority,
    find_non_faces,
    read_dataset,
)
from training.readers import VOTE_COLUMNS

Images = NDArray[np.uint8]


def draw_images(number: int, seed: int = 0) -> Images:
    return np.random.default_rng(seed).integers(0, 256, (number, 48, 48), dtype=np.uint8)


def make_votes(**counts: int) -> list[int]:
    return [counts.get(column, 0) for column in VOTE_COLUMNS]


def write_csv(path: Path, images: Images, labels: list[int], usages: list[str] | None) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", *(["Usage"] if usages else [])])
        for index, image in enumerate(images):
            row = [labels[index], " ".join(map(str, image.flatten()))]
            writer.writerow([*row, usages[index]] if usages else row)


def write_votes(path: Path, votes: list[list[int]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Usage", "Image name", *VOTE_COLUMNS])
        writer.writerows([["Training", "", *row] for row in votes])


def write_pictures(folder: Path, images: Images) -> None:
    folder.mkdir(parents=True)
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index}.png"), image)


def test_a_csv_gives_the_rows_of_the_split_with_their_votes(tmp_path: Path) -> None:
    images = draw_images(4)
    usages = ["Training", "PublicTest", "PrivateTest", "PublicTest"]
    write_csv(tmp_path / "fer2013.csv", images, [0, 3, 6, 5], usages)
    write_votes(tmp_path / "fer2013new.csv", [make_votes(anger=10 - index) for index in range(4)])
    for path in (tmp_path, tmp_path / "fer2013.csv"):
        found = read_dataset(path, "PublicTest")
        assert np.array_equal(found.images, images[[1, 3]])
        assert found.labels.tolist() == [3, 5]
        assert found.votes is not None
        assert found.votes[:, VOTE_COLUMNS.index("anger")].tolist() == [9, 7]
        assert len(read_dataset(path, "PrivateTest")) == 1
        assert find_default_split(path) == "PublicTest-B"


def test_a_csv_without_votes_beside_it_has_none(tmp_path: Path) -> None:
    write_csv(tmp_path / "faces.csv", draw_images(2), [0, 1], None)
    found = read_dataset(tmp_path / "faces.csv")
    assert len(found) == 2
    with pytest.raises(DataError, match=r"no FER\+ votes. Put fer2013new.csv .* beside fer2013.csv"):
        found.get_votes()
    assert find_default_split(tmp_path / "faces.csv") is None


def test_votes_of_another_file_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "fer2013.csv", draw_images(3), [0, 1, 2], ["Training"] * 3)
    write_votes(tmp_path / "fer2013new.csv", [make_votes(anger=10)])
    with pytest.raises(DataError, match=r"has 1 rows, .* has 3"):
        read_dataset(tmp_path, "Training")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "data row 1: expected the columns 'emotion'"),
        ("emotion,pixels\n0,1 2 3\n", "data row 1: found 3 pixels, expected 2304"),
        ("emotion,pixels\n0,1 x 3\n", "data row 1: expected"),
        (f"emotion,pixels\n0,{' '.join(['300'] * 2304)}\n", "from 0 to 255"),
        (f"emotion,pixels\nhappy,{' '.join(['3'] * 2304)}\n", "data row 1: expected"),
        (f"emotion,pixels\n9,{' '.join(['3'] * 2304)}\n", "integers from 0 to 6"),
        ("emotion,pixels\n0\n", "data row 1: expected"),
        ("emotion,pixels\n", "has no images"),
        ("", "has no images"),
    ],
)
def test_a_csv_of_another_kind_is_refused_with_the_row(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "faces.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_dataset(path)


def test_an_npz_is_found_by_its_splits_name_or_given_directly(tmp_path: Path) -> None:
    images, votes = draw_images(6), np.tile(np.array(make_votes(fear=10), np.uint8), (6, 1))
    path = tmp_path / "fer2013_privatetest.npz"
    np.savez(path, images=images, labels=np.arange(6, dtype=np.uint8), ferplus_votes=votes)
    for found in (read_dataset(tmp_path, "PrivateTest"), read_dataset(path, "PrivateTest"), read_dataset(path)):
        assert np.array_equal(found.images, images)
        assert found.labels.tolist() == list(range(6))
        assert found.votes is not None
    assert find_default_split(path) is None
    assert find_default_split(tmp_path) == "PublicTest-B"
    with pytest.raises(DataError, match="is PrivateTest by its name, Training was asked for"):
        read_dataset(path, "Training")
    with pytest.raises(DataError, match="holds no split PublicTest"):
        read_dataset(tmp_path, "PublicTest")


def test_an_npz_of_any_other_name_is_taken_whole_as_the_split(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    np.savez(path, images=draw_images(5), labels=np.zeros(5, np.int64))
    assert len(read_dataset(path, "PublicTest")) == 5


def test_an_npz_may_name_its_labels_in_another_order(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    names = np.array(["neutral", "anger", "happiness"])
    np.savez(path, images=draw_images(3), labels=np.array([0, 1, 2]), label_names=names)
    assert [EMOTIONS[label] for label in read_dataset(path).labels] == ["neutral", "angry", "happy"]


def test_an_npz_with_emotions_that_are_not_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    np.savez(path, images=draw_images(1), labels=np.array([0]), label_names=np.array(["contempt"]))
    with pytest.raises(DataError, match="has the labels contempt"):
        read_dataset(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": draw_images(2)}, "Expected at least 'images'"),
        ({"images": draw_images(2), "labels": np.array([0.5, 1])}, "integer 'labels'"),
        ({"images": draw_images(2), "labels": np.array([0])}, "labels must be 2 integers"),
        ({"images": draw_images(2), "labels": np.array([0, 7])}, "from 0 to 6"),
        ({"images": draw_images(2)[:, :40], "labels": np.array([0, 1])}, r"Expected uint8 \(N, 48, 48\)"),
        ({"images": draw_images(2) / 255, "labels": np.array([0, 1])}, "images are float64"),
        ({"images": draw_images(1), "labels": np.array([0]), "ferplus_votes": np.zeros((1, 8))}, "votes are"),
        ({"images": draw_images(1), "labels": np.array([4]), "label_names": np.array(["fear"])}, "label_names has 1"),
    ],
)
def test_an_npz_of_other_arrays_is_refused(
    tmp_path: Path, arrays: dict[str, NDArray[np.generic]], message: str
) -> None:
    path = tmp_path / "faces.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        read_dataset(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut short"])
def test_a_damaged_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "faces.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a readable npz"):
        read_dataset(path)


def test_a_single_array_in_place_of_an_archive_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "faces.npy", draw_images(2))
    (tmp_path / "faces.npy").rename(tmp_path / "faces.npz")
    with pytest.raises(DataError, match="not a readable npz"):
        read_dataset(tmp_path / "faces.npz")


def test_a_folder_per_class_is_read_whole(tmp_path: Path) -> None:
    write_pictures(tmp_path / "Anger", draw_images(2, 1))
    write_pictures(tmp_path / "happy", draw_images(3, 2))
    found = read_dataset(tmp_path, find_default_split(tmp_path))
    assert [EMOTIONS[label] for label in found.labels] == ["angry"] * 2 + ["happy"] * 3
    assert np.array_equal(found.images[2:], draw_images(3, 2))


def test_class_folders_are_found_inside_train_and_test(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train" / "sad", draw_images(2))
    write_pictures(tmp_path / "test" / "sad", draw_images(40, 1))
    assert len(read_dataset(tmp_path, "Training")) == 2
    assert len(read_dataset(tmp_path, "PublicTest")) == 40
    assert find_default_split(tmp_path) == "PublicTest-B"
    assert 0 < len(read_dataset(tmp_path, "PublicTest-B")) < 40


def test_a_folder_of_an_emotion_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "sad", draw_images(1))
    write_pictures(tmp_path / "contempt", draw_images(1))
    with pytest.raises(DataError, match="has the labels contempt"):
        read_dataset(tmp_path)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path / "sad", draw_images(1))
    (tmp_path / "sad" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png is not a readable picture"):
        read_dataset(tmp_path)


def test_larger_pictures_in_colour_become_grey_crops(tmp_path: Path) -> None:
    (tmp_path / "fear").mkdir()
    cv2.imwrite(str(tmp_path / "fear" / "face.jpg"), np.full((96, 90, 3), 200, np.uint8))
    assert read_dataset(tmp_path).images.shape == (1, 48, 48)


@pytest.mark.parametrize("split", ["Test", "Training-C", "", "-A"])
def test_an_unknown_split_is_refused(tmp_path: Path, split: str) -> None:
    with pytest.raises(DataError, match=r"is unknown\. Expected Training, PublicTest, PrivateTest"):
        read_dataset(tmp_path, split)


def test_nothing_at_the_path_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no data set at"):
        read_dataset(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no split"):
        read_dataset(tmp_path)
    (tmp_path / "faces.txt").touch()
    with pytest.raises(DataError, match=r"neither a \.csv, a \.npz nor a directory"):
        read_dataset(tmp_path / "faces.txt")


def test_the_halves_share_no_picture_and_lose_none(tmp_path: Path) -> None:
    path = tmp_path / "faces.npz"
    images = draw_images(100)
    images[50:] = images[:50]  # each picture twice
    np.savez(path, images=images, labels=np.zeros(100, np.int64))
    first, second = read_dataset(path, "PublicTest-A"), read_dataset(path, "PublicTest-B")
    assert len(first) + len(second) == 100
    assert not {image.tobytes() for image in first.images} & {image.tobytes() for image in second.images}
    assert find_half_a(first.images).all()


def test_a_data_sets_hash_tells_images_and_votes_apart(tmp_path: Path) -> None:
    hashes = set()
    for images, vote in ((draw_images(2), 10), (draw_images(2), 9), (draw_images(2, 1), 10)):
        path = tmp_path / "faces.npz"
        votes = np.array([make_votes(anger=vote)] * 2)
        np.savez(path, images=images, labels=np.zeros(2, np.int64), ferplus_votes=votes)
        hashes.add(read_dataset(path).compute_sha256())
    assert len(hashes) == 3


def test_the_majority_leaves_out_ties_and_what_is_no_emotion_of_ours() -> None:
    votes = np.array(
        [
            make_votes(happiness=6, neutral=4),
            make_votes(anger=5, sadness=5),
            make_votes(contempt=6, disgust=4),
            make_votes(unknown=6, fear=4),
            make_votes(NF=10),
            make_votes(surprise=3, unknown=2, NF=2),
        ],
        dtype=np.uint8,
    )
    found = [EMOTIONS[index] if index >= 0 else None for index in find_majority(votes)]
    assert found == ["happy", None, None, None, None, "surprise"]
    assert find_non_faces(votes).tolist() == [False, False, False, False, True, False]


def test_soft_targets_are_shares_of_votes_without_single_ones() -> None:
    votes = np.array([make_votes(happiness=6, neutral=2, fear=1, unknown=1), make_votes(NF=9, anger=1)], np.uint8)
    targets = compute_soft_targets(votes)
    assert dict(zip(EMOTIONS, targets[0].tolist(), strict=True)) == {
        **dict.fromkeys(EMOTIONS, 0.0),
        "happy": 0.75,
        "neutral": 0.25,
    }
    assert not targets[1].any()
