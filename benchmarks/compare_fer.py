"""CPU per analysed frame, all frames analysed, beside the PyPI package ``fer`` in an environment of its own.

    python benchmarks/compare_fer.py VIDEO... [--environment DIR]

The environment is made on the first run (``fer`` brings TensorFlow Lite, about 1 GB in all) and kept for the next.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import analyze, describe_machine, run_measured

FER = """
import sys
from fer.fer import FER
from fer.classes import Video
if len(sys.argv) > 1:
    Video(sys.argv[1], outdir=sys.argv[2]).analyze(FER(), display=False, save_frames=False, save_video=False,
                                                   annotate_frames=False, zip_images=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "emotrace-benchmark-fer")
    arguments = parser.parse_args()
    python = arguments.environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", arguments.environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "fer==25.10.3"], check=True)
    print(describe_machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
        fer_start = run_measured([str(python), "-c", FER], quiet).cpu_s
        for index, video in enumerate(arguments.videos):
            ours, summary = analyze(video, folder / str(index), "--fps", "native")
            num_frames = summary["ledger"]["decoded"]
            fer = run_measured([str(python), "-c", FER, str(video.resolve()), str(folder / "fer")], quiet)
            ours_ms = 1000 * ours.cpu_s / num_frames
            fer_ms = 1000 * (fer.cpu_s - fer_start) / num_frames
            print(
                f"{video.name}: {num_frames} frames; emotrace {ours_ms:.1f} ms with start-up, fer {fer_ms:.1f} ms "
                f"without: {fer_ms / ours_ms:.1f} times less"
            )


if __name__ == "__main__":
    main()
