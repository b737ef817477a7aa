"""CPU per analysed frame, all frames analysed, beside the PyPI package ``fer`` in an environment of its own.

    python benchmarks/compare_fer.py VIDEO... [--environment DIR]

Start-up is left out on both sides: the figures are slopes from a clip once to the same clip several times over. The
environment is made on the first run (``fer`` brings
TensorFlow and torch with CUDA, 7.5 GB in all) and kept for the next.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import analyze, describe_machine, repeat_clip, run_measured

FER = """
import sys
from fer.fer import FER
from fer.classes import Video
Video(sys.argv[1], outdir=sys.argv[2]).analyze(FER(), display=False, save_frames=False, save_video=False,
                                                   annotate_frames=False, zip_images=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--environment", type=Path, default=Path(tempfile.gettempdir()) / "emotrace-benchmark-fer")
    parser.add_argument("--times", type=int, default=6, help="how often the longer clip repeats the shorter")
    arguments = parser.parse_args()
    most = arguments.times
    python = arguments.environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", arguments.environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "fer==25.10.3"], check=True)
    print(describe_machine())
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index, video in enumerate(arguments.videos):
            ours: dict[int, float] = {}
            fer: dict[int, float] = {}
            frames: dict[int, int] = {}
            for times in (1, most):
                clip = repeat_clip(video, times, folder / f"{index}x{times}.mp4")
                measurement, summary = analyze(clip, folder / f"ours{index}x{times}", "--fps", "native")
                ours[times], frames[times] = measurement.cpu_s, summary["ledger"]["decoded"]
                command = [str(python), "-c", FER, str(clip), str(folder / "fer")]
                fer[times] = run_measured(command, quiet, folder=folder).cpu_s
            num_frames = frames[most] - frames[1]
            ours_ms, fer_ms = (1000 * (cpu[most] - cpu[1]) / num_frames for cpu in (ours, fer))
            print(
                f"{video.name}: emotrace {ours_ms:.1f} ms, fer {fer_ms:.1f} ms CPU per frame: "
                f"{fer_ms / ours_ms:.1f} times less"
            )


if __name__ == "__main__":
    main()
