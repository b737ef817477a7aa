"""What training and measuring ask of a device: its precision, its clock, and the same answer each time."""

import os
import time
from contextlib import AbstractContextManager

import torch

from models.backends import find_precision


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Compute in bfloat16 where the processor has instructions for it, else in float32, which is faster there."""
    precision = find_precision(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16)


def name_precision(device: torch.device) -> str:
    """Return what ``autocast`` computes in: bfloat16 or float32."""
    return str(find_precision(device)).removeprefix("torch.")


def read_clock_s(device: torch.device) -> float:
    """Return seconds whose difference is what work on the device took.

    On a CPU they are those of this process on all its threads: time spent waiting for other programs is not counted.
    On a GPU they are wall time, once it has done what it was given.
    """
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.monotonic()


def make_deterministic(device: torch.device) -> None:
    """Let a GPU choose algorithms that give the same bits each time, where it has them; a CPU's do so anyway."""
    if device.type == "cuda":
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
