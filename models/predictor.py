"""Emotion probabilities for windows of face crops: the one path from pixels to figures, in serving and evaluation."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from contracts.emotions import EMOTIONS
from contracts.errors import ModelError, UsageError
from contracts.model_card import find_card_path
from models.backends import BackendChoice, make_backend
from models.checkpoints import load_network
from models.preprocessing import standardise

# Which question the logits answer: what FER+'s ten voters saw (what emotrace serves), or FER2013's original labels.
LabelKind = Literal["ferplus", "fer2013"]

# Crops that go through the CNN at a time. On a CPU the cost per crop falls up to about 16 and then stays; more would
# only take memory.
_CROPS_PER_PASS = {"cpu": 32, "cuda": 1024}
# What a worker keeps for the windows that follow: the crops of some hundred cameras, in about 10 MB of features.
WORKER_CROPS_KEPT = 4096


def find_device(name: str) -> torch.device:
    """Return the device called ``name``: cpu, cuda, or auto for a GPU where there is one.

    Raises:
        UsageError: the name is another, or cuda was asked for and there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"The device {name!r} is unknown. Expected auto, cpu or cuda.")
    has_cuda = torch.cuda.is_available()
    if name == "cuda" and not has_cuda:
        raise UsageError(
            "The device cuda was asked for, but PyTorch finds no usable NVIDIA GPU here. Use --device cpu (or auto), "
            "or install a driver and a CUDA build of PyTorch."
        )
    return torch.device("cuda" if has_cuda and name != "cpu" else "cpu")


class EmotionPredictor:
    """A model on a device.

    The CNN runs in ``backend``, most of it in bfloat16 where the processor computes in it. The temporal part, a few
    percent of the work, always runs in torch and float32.

    Within a call, crops that are alike go through the CNN once. Between calls nothing is remembered, unless
    ``crops_kept`` asks for it: consecutive windows of a track share most of their crops, in the live profile 14 of 16.
    """

    def __init__(self, model: str, device: str = "auto", backend: BackendChoice = "auto", crops_kept: int = 0) -> None:
        """Load ``model``, a shipped model's name or a path to its card or weights.

        ``crops_kept`` is the number of crops, the latest, whose features are remembered from call to call.

        Raises:
            ModelError: the model cannot be used.
            UsageError: the device or the backend cannot be used.
        """
        self.device = find_device(device)
        if self.device.type == "cpu":
            # Hosts run one worker per core: threads of several workers would wait for each other.
            torch.set_num_threads(1)
        network, self.card = load_network(find_card_path(model))
        self._network = network.requires_grad_(False).to(self.device)
        self.backend = make_backend(backend, network.cnn, self.card.input.size_px, self.device)
        self._crops_kept = crops_kept
        self._seen: OrderedDict[bytes, Tensor] = OrderedDict()  # a crop's bytes: its features
        self._order = [self.card.labels.index(emotion) for emotion in EMOTIONS]

    @property
    def device_name(self) -> str:
        """The device in words: cpu, or the GPU's name."""
        return "cpu" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)

    @property
    def window_length(self) -> int:
        """The most crops a window may have."""
        return self.card.window_length

    def predict(
        self, windows: Sequence[NDArray[np.uint8]], times_s: Sequence[Sequence[float]]
    ) -> list[NDArray[np.float32]]:
        """Return probabilities (T K) for each window of crops (T H W), each row summing to 1, in ``EMOTIONS``' order.

        ``times_s`` holds each window's times (T) in seconds, on any clock: only their steps matter. Windows may differ
        in T, from 1 to ``window_length``. What else is in the batch changes a window's probabilities by less than 1e-2
        (the rounding of bfloat16).

        Raises:
            ModelError: a window is not of the shape that the model's card asks for.
        """
        return [
            compute_probabilities(logits, self.card.temperature) for logits in self.compute_logits(windows, times_s)
        ]

    @torch.inference_mode()
    def compute_logits(
        self,
        windows: Sequence[NDArray[np.uint8]],
        times_s: Sequence[Sequence[float]],
        label_kind: LabelKind = "ferplus",
    ) -> list[NDArray[np.float32]]:
        """Return logits (T K) for each window of crops (T H W), in the order of ``EMOTIONS``.

        ``fer2013`` asks the head that learned FER2013's original labels, which looks at each crop alone.

        Raises:
            ModelError: a window is not of the shape that the model's card asks for.
        """
        for window, times in zip(windows, times_s, strict=True):
            self._check(window, times)
        if not windows:
            return []
        lengths = [len(window) for window in windows]
        features = self._find_features(np.concatenate(windows))  # N C
        if label_kind == "fer2013":
            logits = self._network.original_head(features)  # N K
        else:
            padded = pad_sequence(list(torch.split(features, lengths)), batch_first=True)  # B T C
            clocks = torch.from_numpy(_pad_clocks(times_s)).to(self.device)  # B T
            by_window = self._network.read_window(padded, clocks, torch.tensor(lengths))  # B T K
            logits = torch.cat([row[:length] for row, length in zip(by_window, lengths, strict=True)])  # N K
        ordered: NDArray[np.float32] = logits[:, self._order].cpu().numpy()
        return np.split(ordered, np.cumsum(lengths)[:-1])

    def _find_features(self, crops: NDArray[np.uint8]) -> Tensor:
        """Return features (N C) of crops (N H W), of which the CNN sees those that are not remembered."""
        keys = [crop.tobytes() for crop in crops]
        new = {key: index for index, key in enumerate(keys) if key not in self._seen}
        if new:
            passes = torch.split(self._move(crops[list(new.values())]), _CROPS_PER_PASS[self.device.type])
            found = torch.cat([self.backend.compute_features(standardise(part)) for part in passes])
            self._seen.update(zip(new, found.unbind(), strict=True))
        features = torch.stack([self._seen[key] for key in keys])
        for key in dict.fromkeys(keys):
            self._seen.move_to_end(key)
        while len(self._seen) > self._crops_kept:
            self._seen.popitem(last=False)
        return features

    def _move(self, crops: NDArray[np.uint8]) -> Tensor:
        """Return crops on the device; from pinned memory a GPU fetches them while this thread goes on."""
        tensor = torch.from_numpy(crops)
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _check(self, window: NDArray[np.uint8], times: Sequence[float]) -> None:
        size, longest = self.card.input.size_px, self.window_length
        if window.dtype != np.uint8 or window.shape[1:] != (size, size) or not 1 <= len(window) <= longest:
            raise ModelError(
                f"A window of crops is {window.dtype} {window.shape}. The model {self.card.model_id} expects grey "
                f"uint8 crops (T, {size}, {size}) with T from 1 to {longest}; make them with this model's card."
            )
        if len(times) != len(window):
            raise ModelError(f"A window of {len(window)} crops came with {len(times)} times. Give one time per crop.")


def _pad_clocks(times_s: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Return each window's times since its first crop (B T), in seconds, and zeros where it has ended.

    They are subtracted in float64, because float32 steps by two minutes on a Unix clock.
    """
    clocks = np.zeros((len(times_s), max(len(times) for times in times_s)), dtype=np.float32)
    for clock, times in zip(clocks, times_s, strict=True):
        clock[: len(times)] = np.subtract(times, times[0], dtype=np.float64)
    return clocks


def compute_probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return the softmax over the last axis of logits divided by ``temperature`` (Guo et al. 2017)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    probabilities: NDArray[np.float32] = (exponentials / exponentials.sum(-1, keepdims=True)).astype(np.float32)
    return probabilities
