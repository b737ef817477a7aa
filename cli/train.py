"""``emotrace train``: run an experiment and write its weights and record."""

import importlib.util
from pathlib import Path

from contracts.errors import UsageError

# What training needs beyond what serving does: the extra ``train``.
_PACKAGES = {"sklearn": "scikit-learn", "imagehash": "ImageHash", "tensorboardX": "tensorboardX"}


def run(
    data: Path,
    experiment: str,
    out: Path | None,
    seed: int,
    device: str,
    threads: int,
    smoke: bool,
    max_epochs: int | None = None,
) -> None:
    """Train and measure ``experiment``; see ``training.run.run_experiment`` for the arguments.

    Raises:
        UsageError: a package that training needs is missing, or an argument cannot be used.
        DataError: the data cannot be used.
    """
    check_packages("Training")
    from training.run import run_experiment

    run_experiment(
        data,
        experiment,
        out,
        seed,
        device,
        threads,
        smoke,
        max_epochs,
        report=lambda line: print(line, flush=True),
    )


def check_packages(what: str) -> None:
    """Say plainly which packages of the extra ``train`` are missing for ``what``.

    Raises:
        UsageError: some are.
    """
    missing = [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"{what} needs packages that are not installed: {', '.join(missing)}. Run: pip install 'emotrace[train]'"
        )
