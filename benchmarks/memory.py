"""Peak resident memory of each process on a clip repeated to 1 minute and to 10 minutes.

python benchmarks/memory.py VIDEO
"""

import argparse
import math
import tempfile
from pathlib import Path

import av
from measure import analyze, describe_machine, repeat_clip

MINUTES = (1, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    arguments = parser.parse_args()
    with av.open(str(arguments.video)) as container:
        stream = container.streams.video[0]
        duration_s = float(stream.duration * stream.time_base)
    peaks: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for minutes in MINUTES:
            clip = repeat_clip(arguments.video, math.ceil(60 * minutes / duration_s), folder / f"{minutes}min.mp4")
            peaks[minutes] = analyze(clip, folder / f"run{minutes}", "--fps", "10")[0].peaks_mb
    print(describe_machine())
    print(f"{arguments.video.name}, --fps 10; peak resident memory in MB (Valkey: its own count)")
    for process, short in peaks[MINUTES[0]].items():
        long = peaks[MINUTES[1]].get(process, float("nan"))
        print(f"{process:14} 1 min {short:7.1f}   10 min {long:7.1f}   ratio {long / short:.3f}")


if __name__ == "__main__":
    main()
