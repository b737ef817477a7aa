"""A whole training run: read the data, train, calibrate, measure, write the model.

Weights learn from Training. PublicTest is cut in two fixed halves: epochs are watched and the temperature is fitted
on half A, figures are reported on half B. PrivateTest is never read.
"""

import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from contracts.errors import DataError, UsageError
from models.checkpoints import save_model
from models.predictor import EmotionPredictor, find_device
from training.calibration import calibrate, measure_reported
from training.datasets import FaceDataset, read_dataset
from training.engine import Stage, train
from training.experiments import find_experiment

RUNS_DIR = Path(__file__).parent / "runs"
TRAINING, SELECTION, REPORTED = "Training", "PublicTest-A", "PublicTest-B"
FIGURES_NOTE = "reported on half B; chosen and calibrated on half A; trained on neither"
SMOKE_IMAGES = 512
SMOKE_BATCHES = 2

Report = Callable[[str], None]


def run_experiment(
    data: Path,
    experiment: str,
    out: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int = 0,
    smoke: bool = False,
    report: Report = print,
) -> Path:
    """Run ``experiment`` on the data set at ``data`` and return the path of the new model's card.

    The run's folder is ``out`` or ``training/runs/<name>-seed<seed>``. A folder that holds a checkpoint of the same
    run goes on from it, bit for bit as if it had never stopped (on the same device and number of threads); a finished
    one goes straight to calibration. ``threads`` of 0 leaves the number to PyTorch. ``smoke`` only shows that
    everything works: one epoch of two batches per stage, on at most 512 images of each split.

    Raises:
        UsageError: the experiment, the folder or the device cannot be used.
        DataError: the data, or what the folder holds already, cannot be used.
    """
    chosen = find_experiment(experiment)
    name = f"{chosen.NAME}-smoke" if smoke else chosen.NAME
    folder = out or RUNS_DIR / f"{name}-seed{seed}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The run folder {folder} cannot be made ({error.strerror}). Give another --out.") from None
    torch_device = find_device(device)
    if threads:
        torch.set_num_threads(threads)
    used_threads = torch.get_num_threads()
    splits = {split: _read_split(data, split, smoke) for split in (TRAINING, SELECTION, REPORTED)}
    _check_apart(splits[TRAINING], splits[SELECTION])
    report(f"{name}: {', '.join(f'{len(faces)} images of {split}' for split, faces in splits.items())}; into {folder}")

    torch.manual_seed(seed)
    network = chosen.make_network().to(torch_device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    stages = chosen.make_stages(splits[TRAINING], splits[SELECTION], torch_device)
    if smoke:
        stages = [_shorten(stage) for stage in stages]
    trained = train(network, stages, folder, seed, report)

    # save_model with all but the calibration said.
    save = partial(
        save_model,
        network=trained,
        name=name,
        input_contract=chosen.INPUT,
        window_length=chosen.WINDOW_LENGTH,
        training={
            "experiment": chosen.NAME,
            "data": {split: {"n": len(faces), "sha256": faces.compute_sha256()} for split, faces in splits.items()},
            "seed": seed,
            "epochs": {stage.name: stage.epochs for stage in stages},
            "seconds": _sum_seconds(folder / "curves.jsonl"),
            "device": _describe_device(torch_device, used_threads),
            "torch": str(torch.__version__),
            "command": f"emotrace train --data DATA --experiment {experiment} --seed {seed}{' --smoke' * smoke}",
        },
    )
    with tempfile.TemporaryDirectory() as draft:
        uncalibrated = EmotionPredictor(str(save(Path(draft))), device)
        temperature, calibration = calibrate(uncalibrated, splits[SELECTION])
        predictor = EmotionPredictor(str(save(Path(draft), temperature=temperature)), device)
        figures = measure_reported(predictor, splits[REPORTED])
    report(f"temperature {temperature}, fitted on {SELECTION}")
    for labels, found in figures.items():
        report(f"{REPORTED}, {labels}: accuracy {found['accuracy']}, macro F1 {found['macro_f1']}, ECE {found['ece']}")
    card_figures = {"note": FIGURES_NOTE, "calibration": calibration, REPORTED: figures}
    card_path = save(folder, temperature=temperature, figures=card_figures)
    report(f"wrote {card_path} and its weights")
    return card_path


def _read_split(data: Path, split: str, smoke: bool) -> FaceDataset:
    faces = read_dataset(data, split)
    return faces.select(np.arange(len(faces)) < SMOKE_IMAGES, split) if smoke else faces


def _check_apart(training: FaceDataset, selection: FaceDataset) -> None:
    """Refuse data whose splits are one set under two names, such as a single npz.

    FER2013 itself repeats some pictures across its splits, so only a whole selection found in training is an error.
    """
    known = {image.tobytes() for image in training.images}
    if all(image.tobytes() in known for image in selection.images):
        raise DataError(
            f"Every image of {selection.name} is also in {training.name}, so nothing could be measured. Give a csv "
            "with a Usage column, or a directory with an npz or folder for each split."
        )


def _shorten(stage: Stage) -> Stage:
    return replace(
        stage,
        epochs=1,
        batches_per_epoch=SMOKE_BATCHES,
        make_losses=lambda network, generator: islice(stage.make_losses(network, generator), SMOKE_BATCHES),
    )


def _sum_seconds(curves: Path) -> float:
    """Return the seconds of all epochs, those of interrupted calls included."""
    seconds: list[float] = [json.loads(line)["seconds"] for line in curves.read_text().splitlines()]
    return round(sum(seconds), 1)


def _describe_device(device: torch.device, threads: int) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()}, {threads} thread{'s' * (threads > 1)}"
