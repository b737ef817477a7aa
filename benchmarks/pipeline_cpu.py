"""CPU of the whole pipeline over CPU of decoding alone, without start-up: the slope from a clip once to four times.

python benchmarks/pipeline_cpu.py VIDEO [--runs 5]
"""

import argparse
import tempfile
from pathlib import Path

from measure import analyze, describe_machine, measure_decoding, repeat_clip

TIMES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {times: repeat_clip(arguments.video, times, folder / f"x{times}.mp4") for times in (1, TIMES)}
        decoding: dict[int, list[float]] = {times: [] for times in clips}
        whole: dict[int, list[float]] = {times: [] for times in clips}
        frames: dict[int, int] = {}
        # Taken in turn, so that a busy neighbour on the machine meets all of them alike.
        for run in range(arguments.runs):
            for times, clip in clips.items():
                decoding[times].append(measure_decoding(clip))
                measurement, summary = analyze(clip, folder / f"run{times}-{run}", "--fps", "10")
                whole[times].append(measurement.cpu_s)
                frames[times] = summary["ledger"]["analysed"]
    decoding_slope = min(decoding[TIMES]) - min(decoding[1])
    slope = min(whole[TIMES]) - min(whole[1])
    start_up = min(whole[1]) - slope / (TIMES - 1)
    num_frames = frames[TIMES] - frames[1]
    print(describe_machine())
    print(f"{arguments.video.name}, --fps 10, best of {arguments.runs} runs")
    print(f"decoding alone: {1000 * decoding_slope / num_frames:.2f} ms CPU per analysed frame")
    print(f"whole pipeline: {1000 * slope / num_frames:.2f} ms CPU per analysed frame")
    print(f"ratio: {slope / decoding_slope:.2f}   start-up: {start_up:.1f} s CPU")


if __name__ == "__main__":
    main()
