"""Emotion probabilities for windows of face crops: the one path from pixels to figures, in serving and evaluation."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.rnn import pad_sequence

from contracts.emotions import EMOTIONS
from contracts.errors import ModelError, UsageError
from contracts.model_card import find_card_path
from models.checkpoints import load_network
from models.networks import FrameCNN
from models.preprocessing import standardise

# Which question the logits answer: what FER+'s ten voters saw (what emotrace serves), or FER2013's original labels.
LabelKind = Literal["ferplus", "fer2013"]

# Crops that go through the CNN at a time. On a CPU the cost per crop falls up to about 16 and then stays; more would
# only take memory.
_CROPS_PER_PASS = {"cpu": 32, "cuda": 1024}


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

    On a CPU the CNN runs in bfloat16 where the processor computes in it (1.7 times as fast on an EPYC with AVX-512),
    with its batch normalisation folded into the convolutions (a few percent more); the temporal part always runs in
    float32.
    """

    def __init__(self, model: str, device: str = "auto") -> None:
        """Load ``model``, a shipped model's name or a path to its card or weights.

        Raises:
            ModelError: the model cannot be used.
            UsageError: the device cannot be used.
        """
        self._device = find_device(device)
        network, self.card = load_network(find_card_path(model))
        self._network = network.requires_grad_(False).to(self._device)
        self._cnn = _prepare_cnn(network.cnn, _find_dtype(self._device), self._device)
        self._order = [self.card.labels.index(emotion) for emotion in EMOTIONS]
        if self._device.type == "cpu":
            # Hosts run one worker per core: threads of several workers would wait for each other.
            torch.set_num_threads(1)

    @property
    def device_name(self) -> str:
        """The device in words: cpu, or the GPU's name."""
        return "cpu" if self._device.type == "cpu" else torch.cuda.get_device_name(self._device)

    @property
    def window_length(self) -> int:
        """The most crops a window may have."""
        return self.card.window_length

    def predict(self, windows: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Return probabilities (T K) for each window of crops (T H W), each row summing to 1, in ``EMOTIONS``' order.

        Windows may differ in T, from 1 to ``window_length``. What else is in the batch changes a window's
        probabilities by less than 1e-2 (the rounding of bfloat16).

        Raises:
            ModelError: a window is not of the shape that the model's card asks for.
        """
        return [compute_probabilities(logits, self.card.temperature) for logits in self.compute_logits(windows)]

    @torch.inference_mode()
    def compute_logits(
        self, windows: Sequence[NDArray[np.uint8]], label_kind: LabelKind = "ferplus"
    ) -> list[NDArray[np.float32]]:
        """Return logits (T K) for each window of crops (T H W), in the order of ``EMOTIONS``.

        ``fer2013`` asks the head that learned FER2013's original labels, which looks at each crop alone.

        Raises:
            ModelError: a window is not of the shape that the model's card asks for.
        """
        for window in windows:
            self._check(window)
        if not windows:
            return []
        lengths = [len(window) for window in windows]
        crops, index = _find_distinct(np.concatenate(windows))  # M H W, N
        passes = torch.split(torch.from_numpy(crops), _CROPS_PER_PASS[self._device.type])
        features = torch.cat([self._compute_features(part) for part in passes])[index]  # N C
        if label_kind == "fer2013":
            logits = self._network.original_head(features)  # N K
        else:
            padded = pad_sequence(list(torch.split(features, lengths)), batch_first=True)  # B T C
            by_window = self._network.read_window(padded, torch.tensor(lengths))  # B T K
            logits = torch.cat([row[:length] for row, length in zip(by_window, lengths, strict=True)])  # N K
        ordered: NDArray[np.float32] = logits[:, self._order].cpu().numpy()
        return np.split(ordered, np.cumsum(lengths)[:-1])

    def _compute_features(self, crops: Tensor) -> Tensor:
        """Return features (N C), float32, of crops (N H W), uint8."""
        pixels = standardise(crops.to(self._device))[:, None].to(self._cnn_dtype, memory_format=torch.channels_last)
        features: Tensor = self._cnn(pixels)
        return features.float()

    @property
    def _cnn_dtype(self) -> torch.dtype:
        return next(self._cnn.parameters()).dtype

    def _check(self, window: NDArray[np.uint8]) -> None:
        size, longest = self.card.input.size_px, self.window_length
        if window.dtype != np.uint8 or window.shape[1:] != (size, size) or not 1 <= len(window) <= longest:
            raise ModelError(
                f"A window of crops is {window.dtype} {window.shape}. The model {self.card.model_id} expects grey "
                f"uint8 crops (T, {size}, {size}) with T from 1 to {longest}; make them with this model's card."
            )


def _find_distinct(crops: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[int]]:
    """Return the distinct ones of N crops, and for each of the N its place among them.

    Consecutive windows of a track share half of their crops or more; the CNN need not see those twice.
    """
    places: dict[bytes, int] = {}
    index = [places.setdefault(crop.tobytes(), len(places)) for crop in crops]
    firsts = np.unique(np.array(index), return_index=True)[1]
    return crops[firsts], index


def compute_probabilities(logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """Return the softmax over the last axis of logits divided by ``temperature`` (Guo et al. 2017)."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    probabilities: NDArray[np.float32] = (exponentials / exponentials.sum(-1, keepdims=True)).astype(np.float32)
    return probabilities


def _find_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the processor has instructions for it; where it is emulated it is slower than float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def _prepare_cnn(cnn: FrameCNN, dtype: torch.dtype, device: torch.device) -> FrameCNN:
    for sequence in cnn.modules():
        if isinstance(sequence, nn.Sequential):
            _fold_batch_norms(sequence)
    cnn.to(device, dtype)
    return cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _fold_batch_norms(sequence: nn.Sequential) -> None:
    """Fold each batch normalisation into the convolution before it."""
    for index in range(len(sequence) - 1):
        convolution, norm = sequence[index], sequence[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sequence[index], sequence[index + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
