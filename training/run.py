"""A whole training run: read the data, train, measure, write the weights and the run record.

FER2013: weights learn from Training; PublicTest is cut in two fixed halves, epochs are watched and the temperature is
fitted on half A, figures are reported on half B; PrivateTest is never read. CK+: ten folds by subject, nothing chosen
on the fold that is tested.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from contracts.errors import DataError, UsageError
from models.networks import EmotionNet
from models.predictor import find_device
from training.ckplus import read_ckplus
from training.datasets import REPORTED, SELECTION, TRAINING, FaceDataset, read_dataset
from training.devices import make_deterministic
from training.engine import Stage, read_curves, train
from training.experiments import Experiment, find_experiment
from training.measure import measure_faces, summarise_folds
from training.records import RECORDS_DIR, describe_device, write_record
from training.sequences import Sequences, read_sequences
from training.served import write_model
from training.trained import RECORD_NAME, WEIGHTS_NAME

RUNS_DIR = Path(__file__).parent / "runs"
SMOKE_IMAGES = 512
SMOKE_BATCHES = 2
SMOKE_FOLDS = 2

Report = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """One run of an experiment: where, on what, how long at most."""

    experiment: Experiment
    name: str
    folder: Path
    seed: int
    device: torch.device
    threads: int
    max_epochs: int | None
    smoke: bool
    command: str
    report: Report
    sequences: Sequences | None = None


def run_experiment(
    data: Path,
    experiment: str,
    out: Path | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int = 0,
    smoke: bool = False,
    max_epochs: int | None = None,
    records: Path = RECORDS_DIR,
    report: Report = print,
) -> Path:
    """Run ``experiment`` on the data set at ``data`` and return the path of its record, or of a served model's card.

    The run's folder is ``out`` or ``training/runs/<name>-seed<seed>``. A folder that holds a checkpoint of the same
    run goes on from it, bit for bit as if it had never stopped (on the same device and number of threads); a finished
    one goes straight to the figures. ``threads`` of 0 leaves the number to PyTorch; ``max_epochs`` bounds each stage.
    The record goes into the run's folder and to ``records``. ``smoke`` only shows that everything works: one epoch of
    two batches per stage, on at most 512 images of each split or two folds, and no record in ``records``.

    Raises:
        UsageError: the experiment, the folder or the device cannot be used.
        DataError: the data, or what the folder holds already, cannot be used.
    """
    chosen = find_experiment(experiment)
    name = f"{chosen.name}-smoke" if smoke else chosen.name
    folder = out or RUNS_DIR / f"{name}-seed{seed}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The run folder {folder} cannot be made ({error.strerror}). Give another --out.") from None
    torch_device = find_device(device)
    make_deterministic(torch_device)
    if threads:
        torch.set_num_threads(threads)
    # The number of threads changes how sums are rounded.
    options = f" --threads {torch.get_num_threads()}"
    options += f"{f' --max-epochs {max_epochs}' if max_epochs else ''}{' --smoke' * smoke}"
    run = Run(
        experiment=chosen,
        name=name,
        folder=folder,
        seed=seed,
        device=torch_device,
        threads=torch.get_num_threads(),
        max_epochs=max_epochs,
        smoke=smoke,
        command=f"emotrace train --data DATA --experiment {experiment} --seed {seed}{options}",
        report=report,
        sequences=read_sequences(data) if chosen.reads_sequences else None,
    )
    result, record = _run_folds(run, data) if chosen.data == "ckplus" else _run_splits(run, data)
    write_record(folder / RECORD_NAME, record)
    if not smoke:
        write_record(records / f"{name}-seed{seed}.json", record)
    return result


def _run_splits(run: Run, data: Path) -> tuple[Path, dict[str, Any]]:
    splits = {split: _read_split(data, split, run) for split in (TRAINING, SELECTION, REPORTED)}
    _check_apart(splits[TRAINING], splits[SELECTION])
    sizes = ", ".join(f"{len(faces)} images of {split}" for split, faces in splits.items())
    run.report(f"{run.name}: {sizes}; into {run.folder}")
    network = _train(run, run.folder, splits[TRAINING], splits[SELECTION], run.report)
    record = _describe(run, network, splits, run.folder)
    if run.experiment.served is not None:
        assert isinstance(network, EmotionNet)
        told = ("experiment", "data_sets", "sequences", "seed", "epochs", "seconds", "hardware", "torch", "command")
        card_path = write_model(
            network,
            run.name,
            run.experiment.served,
            run.folder,
            splits[SELECTION],
            splits[REPORTED],
            {key: record[key] for key in told if key in record},
            run.device.type,
            run.report,
        )
        return card_path, {**record, **measure_faces(run.experiment, network, splits, run.device, card_path)}
    figures = measure_faces(run.experiment, network, splits, run.device)
    for labels, found in figures["metrics"][REPORTED].items():
        run.report(f"{REPORTED}, {labels}: accuracy {found['accuracy']}, macro F1 {found['macro_f1']}, n {found['n']}")
    return run.folder / RECORD_NAME, {**record, **figures}


def _run_folds(run: Run, data: Path) -> tuple[Path, dict[str, Any]]:
    ckplus = read_ckplus(data)
    folds = ckplus.make_folds()[: SMOKE_FOLDS if run.smoke else None]
    run.report(f"{run.name}: {len(ckplus.faces)} images of CK+ in {len(folds)} folds by subject; into {run.folder}")
    figures = []
    for index, (training, tested) in enumerate(folds):
        folder = run.folder / f"fold{index}"
        network = _train(run, folder, training, None, partial(_report_fold, run.report, index))
        found = measure_faces(run.experiment, network, {tested.name: tested}, run.device)
        figures.append({**found["metrics"][tested.name]["own"], "ms_per_image": found["ms_per_image"]})
        run.report(f"fold {index}: accuracy {figures[-1]['accuracy']}, n {figures[-1]['n']}")
    record = _describe(run, network, {"CK+": ckplus.faces}, *(run.folder / f"fold{k}" for k in range(len(folds))))
    summary = summarise_folds(figures)
    run.report(f"CK+, {len(folds)} folds: accuracy {summary['mean']['accuracy']} ± {summary['std']['accuracy']}")
    return run.folder / RECORD_NAME, {**record, "metrics": {"CK+": summary}, "folds": figures}


def _report_fold(report: Report, index: int, line: str) -> None:
    report(f"fold {index}, {line}")


def _train(run: Run, folder: Path, training: FaceDataset, selection: FaceDataset | None, report: Report) -> nn.Module:
    """Train the experiment's network in ``folder``, write its weights there and return it."""
    torch.manual_seed(run.seed)
    network = run.experiment.make_network().to(run.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if run.experiment.starts_from:
        _load_weights(network, run.experiment.starts_from, run)
    helpers: dict[str, object] = {}
    if run.experiment.taught_by:
        helpers["teacher"] = _find_teacher(run.experiment.taught_by, run)
    if run.sequences is not None:
        helpers["sequences"] = run.sequences
    stages = [_bound(stage, run) for stage in run.experiment.make_stages(training, selection, run.device, **helpers)]
    identity = {
        "experiment": run.experiment.name,
        # As JSON has it: lists, no tuples.
        "config": json.loads(json.dumps(run.experiment.config)),
        "data": [faces.compute_sha256() for faces in (training, selection) if faces is not None],
    }
    if origins := _hash_origins(run):
        identity["origins"] = origins
    if run.sequences is not None:
        identity["sequences"] = run.sequences.origins
    trained = train(network, stages, folder, run.seed, report, identity)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in trained.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / WEIGHTS_NAME)
    return trained


def _find_teacher(experiment: str, run: Run) -> nn.Module:
    """Return the trained network of ``experiment``, ready to be asked."""
    teacher = find_experiment(experiment).make_network().to(run.device)
    teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    _load_weights(teacher, experiment, run, is_whole=True)
    return teacher.eval()


def _find_weights(experiment: str, run: Run) -> Path:
    """Return where the weights of ``experiment``'s run with the same seed stand, or should stand."""
    name = f"{experiment}-seed{run.seed}"
    beside = run.folder.parent / name / WEIGHTS_NAME
    return beside if beside.exists() else RUNS_DIR / name / WEIGHTS_NAME


def _hash_origins(run: Run) -> dict[str, str]:
    """Return the SHA-256 of the weights that this run begins with and is taught by, by experiment."""
    names = [name for name in (run.experiment.starts_from, run.experiment.taught_by) if name]
    paths = {name: _find_weights(name, run) for name in names}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items() if path.exists()}


def _load_weights(network: nn.Module, experiment: str, run: Run, is_whole: bool = False) -> None:
    """Give ``network`` the weights that the finished run of ``experiment`` with the same seed has under the same names
    and shapes, with ``is_whole`` all of them. That run's folder stands beside this one's or among ours. In a smoke run
    it may be absent.

    Raises:
        DataError: the weights are missing or damaged, or none of them fits.
    """
    path = _find_weights(experiment, run)
    again = f"Run emotrace train --experiment {experiment} --seed {run.seed} first."
    if not path.exists():
        if run.smoke:
            return
        raise DataError(f"{run.name} needs the weights of {experiment}, which are missing ({path}). {again}")
    try:
        known = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read as weights ({error}). {again}") from None
    own = network.state_dict()
    fitting = {name: known[name] for name in own if name in known and known[name].shape == own[name].shape}
    if not fitting or (is_whole and len(fitting) < len(own)):
        raise DataError(f"{path} does not fit {run.name}. Expected the weights of {experiment}. {again}")
    network.load_state_dict({**own, **fitting})


def _describe(run: Run, network: nn.Module, data_sets: dict[str, FaceDataset], *folders: Path) -> dict[str, Any]:
    """Return what a record says of a run besides its figures; seconds are those of all epochs in ``folders``."""
    experiment, curves = run.experiment, [read_curves(folder) for folder in folders]
    lines = [line for curve in curves for line in curve]
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    seconds = {stage: [line["seconds"] for line in lines if line["stage"] == stage] for stage in stages}
    data = {name: {"n": len(faces), "sha256": faces.compute_sha256()} for name, faces in data_sets.items()}
    sequences = {"sequences": run.sequences.origins} if run.sequences is not None else {}
    return {
        "kind": "training",
        "experiment": experiment.name,
        "title": experiment.title,
        "group": experiment.group,
        "data": experiment.data,
        "labels": experiment.labels,
        "claim": experiment.claim,
        "claim_note": experiment.claim_note,
        "config": experiment.config,
        "starts_from": experiment.starts_from,
        "taught_by": experiment.taught_by,
        "origins": _hash_origins(run),
        "seed": run.seed,
        "data_sets": data,
        **sequences,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        # The most epochs of any fold.
        "epochs": {stage: max(line["epoch"] for line in lines if line["stage"] == stage) for stage in stages},
        "seconds_per_epoch": {stage: round(float(np.median(values)), 1) for stage, values in seconds.items()},
        "seconds": round(sum(sum(values) for values in seconds.values()), 1),
        "curves": curves[0],
        "hardware": describe_device(run.device, run.threads),
        "torch": str(torch.__version__),
        "date": time.strftime("%Y-%m-%d"),
        "command": run.command,
    }


def _read_split(data: Path, split: str, run: Run) -> FaceDataset:
    faces = read_dataset(data, split)
    if run.smoke:
        faces = faces.select(np.arange(len(faces)) < SMOKE_IMAGES, split)
    return faces if run.experiment.labels == faces.label_names else faces.keep_labels(run.experiment.labels)


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


def _bound(stage: Stage, run: Run) -> Stage:
    if run.max_epochs is not None:
        stage = replace(stage, epochs=min(stage.epochs, run.max_epochs))
    if not run.smoke:
        return stage
    batches = min(stage.batches_per_epoch, SMOKE_BATCHES)
    return replace(
        stage,
        epochs=min(stage.epochs, 1),
        batches_per_epoch=batches,
        make_losses=lambda network, epoch, generator: islice(stage.make_losses(network, epoch, generator), batches),
    )
