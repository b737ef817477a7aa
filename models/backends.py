"""What runs the CNN: torch anywhere, or OpenVINO on a CPU, which takes less time for the same features.

Either runs the blocks, in bfloat16 where the processor computes in it. The stem is left to torch and float32: it is a
thirtieth of the work, and rounding the pixels and its weights would make half of the error.
"""

import importlib.util
import logging
import sys
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from contracts.errors import UsageError
from models.networks import FrameCNN

# auto is OpenVINO on a CPU where it is installed and works, else torch.
BackendChoice = Literal["auto", "torch", "openvino"]

INSTALL_OPENVINO = 'pip install "emotrace[openvino]"'

_BATCH = 16

_log = logging.getLogger("emotrace.backends")


@dataclass(frozen=True)
class Backend:
    """A CNN ready to run; ``precision`` is that of its blocks, ``note`` why it stands in for another, or empty."""

    name: Literal["torch", "openvino"]
    precision: torch.dtype
    cnn: FrameCNN
    note: str = ""

    def compute_features(self, crops: Tensor) -> Tensor:
        """Return features (N C), float32, of standardised crops (N H W), float32, on the CNN's device."""
        features: Tensor = self.cnn(crops[:, None])
        return features

    def __str__(self) -> str:
        return f"{self.name} in {str(self.precision).removeprefix('torch.')}"


def make_backend(choice: BackendChoice, cnn: FrameCNN, size_px: int, device: torch.device) -> Backend:
    """Return what runs ``cnn``, which is in evaluation mode on ``device`` and belongs to the backend from now on.

    Crops are ``size_px`` wide and high.

    Raises:
        UsageError: OpenVINO was asked for by name and cannot be used.
    """
    if choice not in ("auto", "torch", "openvino"):
        raise UsageError(f"The backend {choice!r} is unknown. Expected auto, torch or openvino.")
    precision = find_precision(device)
    is_possible = device.type == "cpu" and find_openvino()
    if choice == "torch" or (choice == "auto" and not is_possible):
        return use_torch(cnn, precision)
    if device.type != "cpu":
        raise UsageError("The backend openvino runs on CPUs only. Use --device cpu, or the backend auto or torch.")
    if not is_possible:
        raise UsageError(f"The backend openvino was asked for, but OpenVINO is not installed. Run: {INSTALL_OPENVINO}")
    try:
        return use_openvino(cnn, size_px, precision)
    except Exception as error:  # a foreign compiler: anything may come out of it
        found = f"OpenVINO is installed but fails: {type(error).__name__}: {error}."
    if choice == "openvino":
        raise UsageError(f"{found} Install it again ({INSTALL_OPENVINO}), or use the backend torch.")
    _log.warning("%s The backend is torch.", found)
    return use_torch(cnn, precision, found)


def find_precision(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the processor has instructions for it; where it is emulated it is slower than float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def find_openvino() -> bool:
    """Tell whether OpenVINO is installed, without importing it."""
    return importlib.util.find_spec("openvino") is not None


def use_torch(cnn: FrameCNN, precision: torch.dtype, note: str = "") -> Backend:
    """Let torch run ``cnn`` where it is, with batch normalisation folded into the convolutions (a few percent)."""
    for sequence in cnn.modules():
        if isinstance(sequence, nn.Sequential):
            _fold_batch_norms(sequence)
    cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    cnn.blocks = nn.Sequential(_Cast(precision), cnn.blocks.to(precision), _Cast(torch.float32))
    return Backend("torch", precision, cnn, note)


def use_openvino(cnn: FrameCNN, size_px: int, precision: torch.dtype) -> Backend:
    """Let OpenVINO run the blocks of ``cnn``, on one thread, for crops of ``size_px``.

    Raises whatever OpenVINO does where it does not work; ``cnn`` is then as it was.
    """
    # On import, OpenVINO sends an event to Google Analytics, unless it cannot find its telemetry package.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino  # only where it is wanted: a fifth of a second

    with torch.no_grad(), warnings.catch_warnings():
        example = cnn.stem(torch.zeros(1, 1, size_px, size_px))
        # torch calls its tracer deprecated, but OpenVINO reads a torch.export three times as slowly.
        warnings.filterwarnings("ignore", r"`torch\.jit\.trace", DeprecationWarning)
        shape = openvino.PartialShape([-1, *example.shape[1:]])
        # Checking the trace would import torch.distributed: most of a second.
        traced = torch.jit.trace(cnn.blocks, example, check_trace=False)  # type: ignore[no-untyped-call]
        model = openvino.convert_model(traced, example_input=example, input=[shape])
    options = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == torch.bfloat16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        # Hosts run one worker per core: threads of several workers would wait for each other.
        "INFERENCE_NUM_THREADS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    cnn.blocks = nn.Sequential(_CompiledBlocks(openvino.Core().compile_model(model, "CPU", options)))
    return Backend("openvino", precision, cnn)


class _CompiledBlocks(nn.Module):
    """The blocks in OpenVINO, in batches of 16 and what remains crop by crop.

    One crop at a time takes a third longer, because the weights do not stay in the cache. Other sizes of batch would
    each cost 12 ms and 4 MB for kernels of their own.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = model

    def forward(self, x: Tensor) -> Tensor:  # N C H W
        in_batches = len(x) // _BATCH * _BATCH
        parts = [x[start : start + _BATCH] for start in range(0, in_batches, _BATCH)]
        parts += [x[index : index + 1] for index in range(in_batches, len(x))]
        return torch.from_numpy(np.concatenate([self._model(part.numpy())[0] for part in parts]))


class _Cast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self._dtype)


def _fold_batch_norms(sequence: nn.Sequential) -> None:
    """Fold each batch normalisation into the convolution before it."""
    for index in range(len(sequence) - 1):
        convolution, norm = sequence[index], sequence[index + 1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            sequence[index], sequence[index + 1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
