"""CPU of the whole pipeline over CPU of decoding alone, without start-up: the slope from a clip once to four times.

python benchmarks/pipeline_cpu.py VIDEO [--runs 3]
"""

import argparse
import tempfile
from pathlib import Path

from measure import analyze, describe_machine, measure_decoding, repeat_clip

TIMES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {times: repeat_clip(arguments.video, times, folder / f"x{times}.mp4") for times in (1, TIMES)}
        decoding = {times: min(measure_decoding(clip) for _ in range(5)) for times, clip in clips.items()}
        whole: dict[int, float] = {}
        frames: dict[int, int] = {}
        for times, clip in clips.items():
            runs = [analyze(clip, folder / f"run{times}-{run}", "--fps", "10") for run in range(arguments.runs)]
            whole[times] = min(measurement.cpu_s for measurement, _ in runs)
            frames[times] = runs[0][1]["ledger"]["analysed"]
    decoding_slope = decoding[TIMES] - decoding[1]
    slope = whole[TIMES] - whole[1]
    start_up = whole[1] - slope / (TIMES - 1)
    num_frames = frames[TIMES] - frames[1]
    print(describe_machine())
    print(f"{arguments.video.name}, --fps 10, best of {arguments.runs} runs")
    print(f"decoding alone: {1000 * decoding_slope / num_frames:.2f} ms CPU per analysed frame")
    print(f"whole pipeline: {1000 * slope / num_frames:.2f} ms CPU per analysed frame")
    print(f"ratio: {slope / decoding_slope:.2f}   start-up: {start_up:.1f} s CPU")


if __name__ == "__main__":
    main()
