"""Conditions: what each does to a face, and the figures that come of it."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.conditions import CONDITIONS, PLAIN, apply, measure_conditions
from training.datasets import FaceDataset
from training.evaluation import Labels

GREY = 128


def make_faces(number: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(30, 200, (number, 48, 48), dtype=np.uint8)


class UpperHalfReader:
    """A classifier that reads the answer from the upper left corner: class 1 where it is bright."""

    name, temperature, backend, precision = "reader", 1.0, "by hand", "exact"
    label_names, device = ("dim", "bright"), torch.device("cpu")

    def compute_logits(self, images: NDArray[np.uint8], labels: Labels) -> NDArray[np.float32]:
        brightness = images[:, :12, :12].astype(np.float32).mean((1, 2))
        return np.stack([np.full_like(brightness, 100.0), brightness], 1)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_changes_a_face_the_same_way_each_time(name: str) -> None:
    faces = make_faces(3)
    before = faces.copy()
    changed = apply(name, faces)
    assert changed.shape == faces.shape and changed.dtype == np.uint8
    assert not np.array_equal(changed, faces)
    assert np.array_equal(changed, apply(name, faces))
    assert np.array_equal(faces, before)


def test_as_it_is_changes_nothing() -> None:
    faces = make_faces(2)
    assert np.array_equal(apply(PLAIN, faces), faces)


def test_covers_hide_what_they_say_and_nothing_else() -> None:
    face = make_faces(1)
    hidden = {
        name: (apply(f"{name} covered", face) == GREY)[0] for name in ("left half", "upper half", "eyes", "mouth")
    }
    assert hidden["left half"][:, :24].all() and hidden["left half"][:, 24:].mean() < 0.1
    assert hidden["upper half"][:24].all() and hidden["upper half"][24:].mean() < 0.1
    assert hidden["eyes"][18, 24] and not hidden["eyes"][30:].all(1).any()
    assert hidden["mouth"][38, 24] and not hidden["mouth"][:24].all(1).any()


def test_rotation_turns_about_the_middle_and_left_means_counter_clockwise() -> None:
    face = np.zeros((1, 48, 48), np.uint8)
    face[0, :10, 20:28] = 255
    columns = [
        np.average(np.arange(48), weights=apply(f"rotated 30° {side}", face)[0].sum(0)) for side in ("left", "right")
    ]
    assert columns[0] < 18 < 29 < columns[1]


def test_light_and_distance_go_where_their_names_say() -> None:
    faces = make_faces(4)
    mean = {name: apply(name, faces).mean() for name in ("dark", "bright", PLAIN)}
    assert mean["dark"] < 0.3 * mean[PLAIN] < mean[PLAIN] < mean["bright"]
    side = apply("light from the side", faces).mean((0, 1))
    assert side[:8].mean() < 0.4 * side[-8:].mean()
    detail = [np.abs(np.diff(apply(f"distant, {px} px", faces).astype(int), axis=2)).mean() for px in (24, 16, 12)]
    assert detail[0] > detail[1] > detail[2]


def test_figures_fall_only_where_the_condition_hides_the_answer() -> None:
    faces = np.zeros((10, 48, 48), np.uint8)
    faces[5:] = 220
    dataset = FaceDataset("faces", faces, np.repeat([0, 1], 5), None, UpperHalfReader.label_names)
    found = measure_conditions(UpperHalfReader(), dataset, "own")
    assert list(found) == [PLAIN, *CONDITIONS]
    assert found[PLAIN]["accuracy"] == found["lower half covered"]["accuracy"] == 1.0
    assert found["upper half covered"]["accuracy"] == 0.5
    assert found["upper half covered"]["macro_recall"] == 0.5
    assert found["upper half covered"]["macro_precision"] == 0.25
    assert found[PLAIN]["n"] == 10
    assert found[PLAIN]["ms_per_image"] >= 0
