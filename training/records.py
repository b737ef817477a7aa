"""Run records: one JSON file for each trained row of the results, from which alone the report is made."""

import json
import platform
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import msgspec
import torch

from contracts.errors import DataError, OutputError

VERSION = 1
RECORDS_DIR = Path(__file__).parent / "records"


class Figures(TypedDict):
    """What one evaluation found, as ratios; ``confusion_matrix`` counts faces by true and named class."""

    n: int
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_class: dict[str, dict[str, float]]
    confusion_matrix: list[list[int]]


class DataSet(TypedDict):
    """How many faces, and the hash of them and their labels."""

    n: int
    sha256: str


class TrainingRecord(TypedDict):
    """What the report needs of a run; ``training.run`` and ``training.measure`` write these and more."""

    experiment: str
    title: str
    group: Literal["production", "paper A", "paper B"]
    labels: list[str]
    claim: float | None
    claim_note: str
    config: dict[str, Any]
    starts_from: str | None
    taught_by: NotRequired[str | None]
    seed: int
    data_sets: dict[str, DataSet]
    parameters: int
    epochs: dict[str, int]
    seconds_per_epoch: dict[str, float]
    seconds: float
    curves: list[dict[str, Any]]
    hardware: str
    torch: str
    date: str
    command: str


class SplitsRecord(TrainingRecord):
    """A run on FER2013: figures by split and kind of label."""

    data: Literal["fer2013"]
    metrics: dict[str, dict[str, Figures]]
    ms_per_image: float
    metrics_without_duplicates: dict[str, dict[str, float]]
    conditions: NotRequired[dict[str, dict[str, float]]]
    attention: NotRequired[dict[str, list[float]]]


class FoldsRecord(TrainingRecord):
    """A run on CK+: figures of each fold."""

    data: Literal["ckplus"]
    metrics: dict[str, dict[str, Any]]
    folds: list[Figures]


class TemporalRecord(TypedDict):
    """What ``benchmarks/temporal.py`` found."""

    model_id: str
    command: str
    machine: str
    seed: int
    data: dict[str, dict[str, Any]]
    floors: list[dict[str, Any]]
    sets: dict[str, dict[str, Any]]


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record, its version first.

    Raises:
        OutputError: the file cannot be written, or a figure is no number, which JSON cannot hold.
    """
    try:
        text = json.dumps({"version": VERSION, **record}, indent=1, allow_nan=False)
    except ValueError:
        raise OutputError(
            f"The record {path} would hold a figure that is no number: the training diverged. Lower its rate."
        ) from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A full disk must not cost the record that was there.
        temporary = path.with_suffix(".tmp")
        temporary.write_text(text + "\n")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"The record {path} cannot be written ({error.strerror}). Make room, and run the same command again: what "
            "is trained is kept."
        ) from None


def read_record(path: Path) -> dict[str, Any]:
    """Read one record.

    Raises:
        DataError: it is no record of this version, or something in it is missing or of another kind.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        version = record.get("version")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is no run record ({error}). Expected JSON that emotrace train wrote.") from None
    if version != VERSION:
        raise DataError(f"{path} has the version {version}; this release reads {VERSION}. Run the training again.")
    try:
        msgspec.convert(record, _find_type(record))
    except msgspec.ValidationError as error:
        raise DataError(
            f"{path} is no whole run record ({error}). Expected what emotrace train wrote. Run the training again."
        ) from None
    return record


def _find_type(record: dict[str, Any]) -> type:
    match record.get("kind"), record.get("data"):
        case "temporal", _:
            return TemporalRecord
        case "training", "ckplus":
            return FoldsRecord
        case "training", _:
            return SplitsRecord
    raise msgspec.ValidationError(f"its kind is {record.get('kind')!r}, expected training or temporal")


def describe_device(device: torch.device, threads: int) -> str:
    """Return the processor in words: the GPU's name, or the CPU's and how many threads were used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {threads} thread{'s' * (threads > 1)}"
