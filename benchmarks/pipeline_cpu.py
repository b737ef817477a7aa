"""CPU of the whole pipeline over CPU of decoding alone: the slope from a clip once to four times over, so no start-up.

python benchmarks/pipeline_cpu.py VIDEO [--runs 5] [--times 4]
"""

import argparse
import tempfile
from pathlib import Path

from measure import analyze, describe_machine, measure_decoding, repeat_clip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--times", type=int, default=4, help="more times make the slope steadier on a noisy machine")
    arguments = parser.parse_args()
    most = arguments.times
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {times: repeat_clip(arguments.video, times, folder / f"x{times}.mp4") for times in (1, most)}
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
    decoding_slope = min(decoding[most]) - min(decoding[1])
    slope = min(whole[most]) - min(whole[1])
    start_up = min(whole[1]) - slope / (most - 1)
    num_frames = frames[most] - frames[1]
    print(describe_machine())
    print(f"{arguments.video.name}, --fps 10, best of {arguments.runs} runs")
    print(f"decoding alone: {1000 * decoding_slope / num_frames:.2f} ms CPU per analysed frame")
    print(f"whole pipeline: {1000 * slope / num_frames:.2f} ms CPU per analysed frame")
    print(f"ratio: {slope / decoding_slope:.2f}   start-up: {start_up:.1f} s CPU")


if __name__ == "__main__":
    main()
