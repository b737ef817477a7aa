"""Run records: one JSON file for each trained row of the results, from which alone the report is made."""

import json
import platform
from pathlib import Path
from typing import Any

import torch

from contracts.errors import DataError

VERSION = 1
RECORDS_DIR = Path(__file__).parent / "records"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, its version first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": VERSION, **record}, indent=1) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """Read one record.

    Raises:
        DataError: it is no record of this version.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        version = record.get("version")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is no run record ({error}). Expected JSON that emotrace train wrote.") from None
    if version != VERSION:
        raise DataError(f"{path} has the version {version}; this release reads {VERSION}. Run the training again.")
    return record


def describe_device(device: torch.device, threads: int) -> str:
    """Return the processor in words: the GPU's name, or the CPU's and how many threads were used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {threads} thread{'s' * (threads > 1)}"
