"""Does the temporal part have a reason to exist? Windows against the same CNN frame by frame and smoothed.

    python benchmarks/temporal.py --data DATA [--videos DATA/videos] [--model production] [--clips 1500] [--seed 0]

Clips are made from PublicTest-B; the smoothing is tuned on clips made from Training. ``--data`` also holds CK+
(``ckplus48.npz``), whose ordered frames are read where it is there. Writes a record and pictures under training/,
with the model's name in theirs where it is not the default one.
"""

import argparse
import hashlib
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch

from contracts.errors import EmotraceError
from contracts.messages import CropSequence
from ingest.analysis import make_face_crop
from ingest.finding import FaceFinder
from ingest.frames import Frame, FrameReader
from ingest.sampling import FrameSampler
from ingest.scenes import SceneCutDetector
from ingest.tracking import Tracker
from ingest.windows import PROFILES, WindowBuffer
from models.detection import find_default_detector, make_detector
from models.predictor import EmotionPredictor
from training import temporal, temporal_figures
from training.ckplus import read_ckplus
from training.datasets import read_dataset
from training.flips import FaceTimeline, answer_windows, measure_flips
from training.records import RECORDS_DIR, describe_device, write_record
from training.report_temporal import name_output
from training.temporal_sets import describe_sets

FPS = 10
PROFILE = PROFILES["batch"]
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".avi", ".webm"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="FER2013 with FER+ votes, and CK+ beside it")
    parser.add_argument("--videos", type=Path, help="a folder of recordings with faces")
    parser.add_argument("--model", default="production")
    parser.add_argument("--clips", type=int, default=1500, help="clips in each set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RECORDS_DIR.parent, help="gets records/ and figures/")
    arguments = parser.parse_args()
    try:
        run(arguments.data, arguments.videos, arguments.model, arguments.clips, arguments.seed, arguments.out)
    except EmotraceError as error:
        raise SystemExit(str(error)) from None


def run(data: Path, videos: Path | None, model: str, clips: int, seed: int, out: Path) -> Path:
    """Measure everything, write record and pictures under ``out`` and return the record's path."""
    predictor = EmotionPredictor(model, "cpu")
    training, reported = read_dataset(data, "Training"), read_dataset(data, "PublicTest-B")
    smoother = temporal.tune_smoother(predictor, training, min(clips, temporal.TUNING_CLIPS), seed + 1000)
    print(f"{predictor.card.model_id}; smoothing tuned on Training: {smoother}")
    answers = temporal.measure_sets(predictor, reported, clips, seed, smoother)
    sets = {name: temporal.measure_set(found, predictor.card.model_id) for name, found in answers.items()}
    ckplus_path = data / "ckplus48.npz"
    ckplus = temporal.measure_ckplus(predictor, read_ckplus(ckplus_path)) if ckplus_path.exists() else None
    recordings = {
        path: answer_windows(predictor, list(read_windows(path, predictor)), smoother, PROFILE.max_gap_s)
        for path in sorted(videos.iterdir() if videos else [])
        if path.suffix.lower() in VIDEO_SUFFIXES
    }
    real = describe_recordings(recordings) if any(recordings.values()) else None
    floors = temporal.list_floors(sets, ckplus, real)
    for row in floors:
        print(f"{'reached' if row['reached'] else 'MISSED '}  {row['what']}: {row['found']}")

    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    name = predictor.card.name
    temporal_figures.draw_switch(answers, figures / f"{name_output('temporal_switch', name)}.png")
    # It shows faces of the data set, whose terms forbid passing them on: it stays out of the repository.
    examples = out / "runs" / "temporal_clips.png"
    examples.parent.mkdir(parents=True, exist_ok=True)
    temporal_figures.draw_examples(answers["switching"], examples)
    if real:
        path, timeline = max(
            ((path, timeline) for path, found in recordings.items() for timeline in found),
            key=lambda pair: pair[1].face_s,
        )
        temporal_figures.draw_timeline(
            timeline, f"{path.name}, one face", figures / f"{name_output('temporal_real', name)}.png"
        )
    record = out / "records" / f"{name_output('temporal', name)}.json"
    write_record(
        record,
        {
            "kind": "temporal",
            "model_id": predictor.card.model_id,
            "command": describe_command(clips, seed, model, bool(videos)),
            "machine": describe_device(torch.device("cpu"), torch.get_num_threads()),
            "torch": str(torch.__version__),
            "seed": seed,
            "data": {
                "Training": {"n": len(training), "sha256": training.compute_sha256()},
                "PublicTest-B": {"n": len(reported), "sha256": reported.compute_sha256()},
                **({"CK+": {"sha256": compute_sha256(ckplus_path)}} if ckplus else {}),
            },
            "config": {**describe_sets(), "tuning_clips_per_set": min(clips, temporal.TUNING_CLIPS)},
            "smoothing_tuned_on_training": smoother,
            "floors": floors,
            "sets": sets,
            "ckplus_ordered_frames": ckplus,
            "real_recordings": real,
        },
    )
    print(f"wrote {record}, {figures}/temporal_*.png and {examples}")
    return record


def read_windows(path: Path, predictor: EmotionPredictor) -> Iterator[CropSequence]:
    """Yield the windows of a recording as a batch run at 10 crops per second would send them."""
    detector = make_detector(find_default_detector())
    windows = WindowBuffer(PROFILE, path.stem[:36], predictor.card.model_id)
    finder, scenes, tracker = FaceFinder(detector), SceneCutDetector(), Tracker(detector.min_score, PROFILE.max_gap_s)
    reader = FrameReader(path)
    sampler: FrameSampler | None = None
    with closing(iter(reader)) as frames:
        for frame in frames:
            if not isinstance(frame, Frame):
                continue
            sampler = sampler or FrameSampler(FPS, reader.clock.time_base)
            if not sampler.is_due(frame.pts - (reader.clock.start_pts or 0)):
                continue
            is_cut = scenes.is_cut(frame.image.luma)
            gone = tracker.break_all() if is_cut else []
            tracks, lost = tracker.update(
                finder.find(frame.image, frame.time_s, tracker.list_known_boxes(), is_cut), frame.time_s
            )
            for track_id in (*gone, *lost):
                yield from windows.flush(track_id)
            for track in tracks:
                face = make_face_crop(frame, track, detector, predictor.card.input)
                if face is not None:
                    yield from windows.add(track.track_id, face, track.is_break)
                elif track.is_break:
                    yield from windows.flush(track.track_id)
    yield from windows.flush_all()


def describe_recordings(recordings: dict[Path, list[FaceTimeline]]) -> dict[str, object]:
    """Return the figures of each recording that has faces, by name and hash, and of all together."""
    return {
        "fps": FPS,
        "profile": "batch",
        "clips": {
            path.name: {"sha256": compute_sha256(path), **measure_flips(found)}
            for path, found in recordings.items()
            if found
        },
        "total": measure_flips([timeline for found in recordings.values() for timeline in found]),
    }


def describe_command(clips: int, seed: int, model: str, has_videos: bool) -> str:
    videos = "--videos VIDEOS " if has_videos else ""
    return (
        f"python benchmarks/temporal.py --data DATA {videos}--model {shlex.quote(model)} --clips {clips} --seed {seed}"
    )


def compute_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
