"""OpenVINO beside torch: the same answers on real faces, no words to anyone, and torch where it cannot be used."""

import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cli import doctor
from contracts.emotions import EMOTIONS
from contracts.errors import UsageError
from contracts.model_card import DEFAULT_MODEL, find_card_path
from contracts.settings import Settings, read_settings
from models.alignment import crop_face
from models.backends import BackendChoice, find_openvino
from models.checkpoints import load_network
from models.detection import find_default_detector, make_detector
from models.predictor import EmotionPredictor, compute_probabilities
from models.preprocessing import standardise
from training.datasets import read_dataset

BACKENDS: tuple[BackendChoice, ...] = ("torch", "openvino")
# Between any two backends; the rounding of bfloat16 takes most of it.
MOST_APART = 0.01

needs_openvino = pytest.mark.skipif(not find_openvino(), reason="OpenVINO is not at hand")


@pytest.fixture(scope="module")
def windows(carphone: Path) -> list[NDArray[np.uint8]]:
    """The driver's face on a third of the frames, cut out as ingest does, in windows of up to 16."""
    detector = make_detector(find_default_detector())
    crops = []
    with av.open(str(carphone)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % 3 == 0:
                grey = frame.to_ndarray(format="gray").astype(np.uint8)
                best = max(detector.detect(frame.to_ndarray(format="rgb24").astype(np.uint8)), key=lambda d: d.score)
                crops.append(crop_face(grey, best.box, detector.framing, 48))
    assert len(crops) == 40
    return [np.stack(crops[start : start + 16]) for start in (0, 16, 32)]


def list_times(windows: list[NDArray[np.uint8]]) -> list[list[float]]:
    return [[0.1 * position for position in range(len(window))] for window in windows]


def compute_exactly(windows: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The probabilities (N K) of the network as it was trained: torch, float32, nothing folded."""
    network, card = load_network(find_card_path(DEFAULT_MODEL))
    logits = []
    with torch.inference_mode():
        for window, times in zip(windows, list_times(windows), strict=True):
            crops = standardise(torch.from_numpy(window))[None]
            logits.append(network(crops, torch.tensor([times]), torch.tensor([len(window)]))[0])
    order = [card.labels.index(emotion) for emotion in EMOTIONS]
    return compute_probabilities(torch.cat(logits)[:, order].numpy(), card.temperature)


def compute_served(windows: list[NDArray[np.uint8]], backend: BackendChoice) -> NDArray[np.float32]:
    return np.concatenate(EmotionPredictor(DEFAULT_MODEL, "cpu", backend).predict(windows, list_times(windows)))


@needs_openvino
def test_both_backends_answer_like_the_trained_network_on_a_real_clip(windows: list[NDArray[np.uint8]]) -> None:
    exact = compute_exactly(windows)
    torch_rows, openvino_rows = compute_served(windows, "torch"), compute_served(windows, "openvino")
    assert np.abs(torch_rows - exact).max() <= MOST_APART
    assert np.abs(openvino_rows - exact).max() <= MOST_APART
    assert np.abs(openvino_rows - torch_rows).max() <= MOST_APART


@needs_openvino
def test_both_backends_answer_like_the_trained_network_on_many_faces(shared_data: Path) -> None:
    faces = read_dataset(shared_data, "PublicTest-A").images
    windows = [faces[start : start + 16] for start in range(0, 240, 16)]
    exact = compute_exactly(windows)
    for backend in BACKENDS:
        assert np.abs(compute_served(windows, backend) - exact).max() <= MOST_APART


@needs_openvino
def test_with_openvino_a_real_window_is_answered_alike_in_any_batch(windows: list[NDArray[np.uint8]]) -> None:
    """Together, crops go through in batches; the last eight of them alone one by one."""
    predictor = EmotionPredictor(DEFAULT_MODEL, "cpu", "openvino")
    times_s = list_times(windows)
    for window, times, together in zip(windows, times_s, predictor.predict(windows, times_s), strict=True):
        (alone,) = predictor.predict([window], [times])
        assert np.abs(together - alone).max() <= MOST_APART


@needs_openvino
def test_openvino_is_chosen_by_itself_on_a_cpu_and_says_its_precision() -> None:
    backend = EmotionPredictor(DEFAULT_MODEL, "cpu").backend
    assert (backend.name, backend.note) == ("openvino", "")
    assert str(backend) in ("openvino in bfloat16", "openvino in float32")


def test_without_openvino_torch_serves_and_needs_no_excuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    backend = EmotionPredictor(DEFAULT_MODEL, "cpu").backend
    assert (backend.name, backend.note) == ("torch", "")
    with pytest.raises(UsageError, match=r"not installed\. Run: pip install \"emotrace\[openvino\]\""):
        EmotionPredictor(DEFAULT_MODEL, "cpu", "openvino")


def test_a_broken_openvino_leaves_the_work_to_torch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, windows: list[NDArray[np.uint8]]
) -> None:
    """As after an installation that was cut short: the package is found, but has nothing in it."""
    broken = ModuleType("openvino")
    broken.__spec__ = ModuleSpec("openvino", None)
    monkeypatch.setitem(sys.modules, "openvino", broken)
    predictor = EmotionPredictor(DEFAULT_MODEL, "cpu")
    assert predictor.backend.name == "torch"
    assert "OpenVINO is installed but fails: AttributeError" in predictor.backend.note
    assert predictor.backend.note in caplog.text
    rows = np.concatenate(predictor.predict(windows, list_times(windows)))
    assert np.array_equal(rows, compute_served(windows, "torch"))
    with pytest.raises(UsageError, match=r"installed but fails: .* Install it again .* or use the backend torch"):
        EmotionPredictor(DEFAULT_MODEL, "cpu", "openvino")


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UsageError, match="Expected auto, torch or openvino"):
        EmotionPredictor(DEFAULT_MODEL, "cpu", "onnx")  # type: ignore[arg-type]


@needs_openvino
def test_openvino_is_loaded_only_when_used_and_sends_nothing(tmp_path: Path) -> None:
    """Left alone, it reports its import to Google Analytics and keeps an identifier in the home directory."""
    program = (
        "import socket, sys\n"
        "def refuse(*arguments, **options): raise SystemExit('it connected to the network')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from models.predictor import EmotionPredictor\n"
        f"EmotionPredictor({DEFAULT_MODEL!r}, 'cpu', 'torch')\n"
        "assert 'openvino' not in sys.modules\n"
        f"assert EmotionPredictor({DEFAULT_MODEL!r}, 'cpu', 'openvino').backend.name == 'openvino'\n"
        "print(sorted(name for name in sys.modules if name.startswith('openvino_telemetry.')))"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "TF_BUILD", "JENKINS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent.parent,
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert not list(tmp_path.rglob("*openvino*")) and not (tmp_path / "intel").exists()


@pytest.mark.parametrize("backend", ["torch", pytest.param("openvino", marks=needs_openvino)])
def test_doctor_tells_the_backend_its_precision_and_its_speed(
    monkeypatch: pytest.MonkeyPatch, backend: BackendChoice
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    finding = doctor._check_backend(Settings(backend=backend))
    assert finding.state == "ok"
    assert re.match(rf"{backend} in (bfloat16|float32) on cpu, \d+\.\d\d ms per crop in windows of 16$", finding.found)


def test_doctor_recommends_openvino_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    finding = doctor._check_backend(Settings())
    assert (finding.state, finding.found.split(" in ")[0]) == ("note", "torch")
    assert 'pip install "emotrace[openvino]"' in finding.remedy


def test_the_backend_of_workers_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().backend == "auto"
    monkeypatch.setenv("EMOTRACE_BACKEND", "openvio")
    with pytest.raises(UsageError, match=r"EMOTRACE_BACKEND cannot be used: .*'auto', 'torch' or 'openvino'"):
        read_settings()
