"""Does the temporal part have a reason to exist? Windows against the same CNN frame by frame and smoothed.

    python benchmarks/temporal.py --data DATA [--videos DATA/videos] [--model production] [--clips 1500] [--seed 0]
                                   [--held-out]

Clips are made from PublicTest-B; the smoothing is tuned on clips made from Training. ``--data`` also holds CK+
(``ckplus48.npz``), whose ordered frames are read where it is there. Writes a record and pictures under training/,
with the model's name in theirs where it is not the default one.

With ``--held-out``, CK+'s folds 5 to 9 alone are read, and the recordings that ``training.recordings`` holds out: the
temporal part never learns from these, so a model that learned from the others can be compared with one that did not.
Neutral faces in short windows are asked too, which CK+ has none of. The record and the pictures are then called
``temporal-held-out``.
"""

import argparse
import shlex
from pathlib import Path
from typing import Any

import torch

from contracts.errors import EmotraceError
from contracts.submissions import VIDEO_SUFFIXES
from ingest.face_windows import FPS, PROFILE, read_face_windows
from ingest.sources import compute_fingerprint
from models.detection import find_default_detector, make_detector
from models.predictor import EmotionPredictor
from training import temporal, temporal_figures
from training.ckplus import read_ckplus
from training.datasets import read_dataset
from training.flips import FaceTimeline, answer_windows, measure_flips
from training.recordings import is_held_out
from training.records import RECORDS_DIR, describe_device, write_record
from training.report_temporal import name_output
from training.temporal_sets import describe_sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="FER2013 with FER+ votes, and CK+ beside it")
    parser.add_argument("--videos", type=Path, help="a folder of recordings with faces")
    parser.add_argument("--model", default="production")
    parser.add_argument("--clips", type=int, default=1500, help="clips in each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RECORDS_DIR.parent, help="gets records/ and figures/")
    parser.add_argument("--held-out", action="store_true", help="only recordings and CK+ subjects never trained on")
    arguments = parser.parse_args()
    try:
        run(
            arguments.data, arguments.videos, arguments.model, arguments.clips, arguments.seed, arguments.out,
            arguments.held_out,
        )  # fmt: skip
    except EmotraceError as error:
        raise SystemExit(str(error)) from None


def run(data: Path, videos: Path | None, model: str, clips: int, seed: int, out: Path, held_out: bool = False) -> Path:
    """Measure everything, write record and pictures under ``out`` and return the record's path."""
    predictor = EmotionPredictor(model, "cpu")
    training, reported = read_dataset(data, "Training"), read_dataset(data, "PublicTest-B")
    smoother = temporal.tune_smoother(predictor, training, min(clips, temporal.TUNING_CLIPS), seed + 1000)
    print(f"{predictor.card.model_id}; smoothing tuned on Training: {smoother}")
    answers = temporal.measure_sets(predictor, reported, clips, seed, smoother)
    sets = {name: temporal.measure_set(found, predictor.card.model_id) for name, found in answers.items()}
    ckplus_path = data / "ckplus48.npz"
    ckplus = measure_ckplus(predictor, ckplus_path, held_out) if ckplus_path.exists() else None
    recordings = {
        path: answer_recording(predictor, path, smoother)
        for path in sorted(videos.iterdir() if videos else [])
        if path.suffix.lower() in VIDEO_SUFFIXES and (not held_out or is_held_out(compute_fingerprint(path)))
    }
    real = describe_recordings(recordings) if any(recordings.values()) else None
    floors = temporal.list_floors(sets, ckplus, real)
    for row in floors:
        print(f"{'reached' if row['reached'] else 'MISSED '}  {row['what']}: {row['found']}")

    stem = "temporal-held-out" if held_out else "temporal"
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    name = predictor.card.name
    # It shows faces of the data set, whose terms forbid passing them on: it stays out of the repository.
    examples = out / "runs" / f"{stem}_clips.png"
    examples.parent.mkdir(parents=True, exist_ok=True)
    temporal_figures.draw_examples(answers["switching"], examples)
    if real:
        path, timeline = max(
            ((path, timeline) for path, found in recordings.items() for timeline in found),
            key=lambda pair: pair[1].face_s,
        )
        shown = figures / f"{name_output(f'{stem}_real', name)}.png"
        temporal_figures.draw_timeline(timeline, f"{path.name}, one face", shown)
    record = out / "records" / f"{name_output(stem, name)}.json"
    write_record(
        record,
        {
            "kind": "temporal",
            "model_id": predictor.card.model_id,
            "command": describe_command(clips, seed, model, bool(videos), held_out),
            "machine": describe_device(torch.device("cpu"), torch.get_num_threads()),
            "torch": str(torch.__version__),
            "seed": seed,
            "held_out": held_out,
            "data": {
                "Training": {"n": len(training), "sha256": training.compute_sha256()},
                "PublicTest-B": {"n": len(reported), "sha256": reported.compute_sha256()},
                **({"CK+": {"sha256": compute_fingerprint(ckplus_path)}} if ckplus else {}),
            },
            "config": {**describe_sets(), "tuning_clips_per_set": min(clips, temporal.TUNING_CLIPS)},
            "smoothing_tuned_on_training": smoother,
            "floors": floors,
            "sets": sets,
            "ckplus_ordered_frames": ckplus,
            "real_recordings": real,
            **({"short_windows": temporal.measure_short_windows(predictor, reported)} if held_out else {}),
        },
    )
    print(f"wrote {record}, {figures}/{stem}_*.png and {examples}; `emotrace report` shows them")
    return record


def measure_ckplus(predictor: EmotionPredictor, path: Path, held_out: bool) -> dict[str, Any]:
    """Return the figures of CK+'s ordered frames, of all subjects or of those that are never trained on."""
    ckplus = read_ckplus(path)
    return temporal.measure_ckplus(predictor, ckplus.halve()[1] if held_out else ckplus)


def answer_recording(predictor: EmotionPredictor, path: Path, smoother: str) -> list[FaceTimeline]:
    """Return the timelines of the faces of a recording."""
    detector, card = make_detector(find_default_detector()), predictor.card
    sequences = list(read_face_windows(path, detector, card.input, card.model_id))
    return answer_windows(predictor, sequences, smoother, PROFILE.max_gap_s)


def describe_recordings(recordings: dict[Path, list[FaceTimeline]]) -> dict[str, object]:
    """Return the figures of each recording that has faces, by name and hash, and of all together."""
    return {
        "fps": FPS,
        "profile": "batch",
        "clips": {
            path.name: {"sha256": compute_fingerprint(path), **measure_flips(found)}
            for path, found in recordings.items()
            if found
        },
        "total": measure_flips([timeline for found in recordings.values() for timeline in found]),
    }


def describe_command(clips: int, seed: int, model: str, has_videos: bool, held_out: bool) -> str:
    videos = "--videos VIDEOS " if has_videos else ""
    return (
        f"python benchmarks/temporal.py --data DATA {videos}--model {shlex.quote(model)} --clips {clips} --seed {seed}"
        f"{' --held-out' * held_out}"
    )


if __name__ == "__main__":
    main()
