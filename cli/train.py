"""``emotrace train``: run an experiment and write its model."""

from pathlib import Path

from training.run import run_experiment


def run(data: Path, experiment: str, out: Path | None, seed: int, device: str, threads: int, smoke: bool) -> None:
    """Train, calibrate and measure ``experiment``; see ``training.run.run_experiment`` for the arguments."""
    run_experiment(data, experiment, out, seed, device, threads, smoke, report=lambda line: print(line, flush=True))
