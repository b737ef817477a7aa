"""``emotrace crops``: the faces of recordings as a training file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cli.batches import find_videos
from cli.messages import print_error, to_line
from contracts.errors import DataError, EmotraceError, UsageError
from ingest.face_windows import FaceTrack, join_tracks, read_face_windows
from ingest.sources import compute_fingerprint
from models.detection import find_default_detector, make_detector
from reports.output import replace_file
from training.recordings import INPUT, Recordings, is_held_out, write_recordings


def run(paths: Sequence[str], out: Path) -> int:
    """Write the faces of the recordings that ``paths`` name to ``out``; see ``training.recordings`` for the file.

    A recording that cannot be read does not keep the others from it; the exit code that is returned is 0 only where
    all could be. ``out`` is replaced as a whole, or stays as it was.

    Raises:
        UsageError: a path names no recordings, or ``out`` is a folder.
        DataError: no recording shows a face.
        OutputError: ``out`` cannot be written.
    """
    videos = find_videos(paths)
    if out.is_dir():
        raise UsageError(f"{out} is a folder. Name a file, for example {out / 'recordings.npz'}.")
    # Opened before the first recording is read: better to know now than in an hour that it cannot be written.
    with replace_file(out) as temporary, temporary.open("wb") as file:
        found: list[tuple[str, str, list[FaceTrack]]] = []
        num_read, code = 0, 0
        for number, video in enumerate(videos, 1):
            try:
                tracks, sha256 = _read_tracks(video), compute_fingerprint(video)
            except EmotraceError as error:
                print_error(error)
                code = code or error.exit_code
                continue
            num_read += 1
            print(f"{number}/{len(videos)} {to_line(video.name)}: {_describe(tracks, sha256)}", flush=True)
            if tracks:
                found.append((video.name, sha256, tracks))
        if not found:
            raise DataError(
                f"{out} was not written: of {len(videos)} recordings {num_read} could be read, and none showed a face. "
                "Give recordings that show faces."
            )
        recordings = _collect(found)
        write_recordings(file, recordings)
    held_out = int(recordings.find_held_out().sum())
    print(f"wrote {out}: {len(recordings.crops)} faces of {len(found)} recordings, of which {held_out} are held out")
    return code


def _read_tracks(video: Path) -> list[FaceTrack]:
    # A detector of its own for each recording, as every ingest process has.
    detector = make_detector(find_default_detector())
    return join_tracks(read_face_windows(video, detector, INPUT, "crops"))


def _describe(tracks: list[FaceTrack], sha256: str) -> str:
    if not tracks:
        return "no face, left out"
    faces = sum(len(track.crops) for track in tracks)
    use = "held out" if is_held_out(sha256) else "for training"
    return f"{faces} faces in {len(tracks)} track{'s' * (len(tracks) > 1)}, {use}"


def _collect(found: list[tuple[str, str, list[FaceTrack]]]) -> Recordings:
    tracks = [(index, track) for index, (_, _, tracks) in enumerate(found) for track in tracks]
    sizes = [len(track.crops) for _, track in tracks]
    return Recordings(
        np.concatenate([track.crops for _, track in tracks]),
        np.concatenate([track.times_s for _, track in tracks]),
        np.repeat(np.arange(len(tracks)), sizes),
        np.repeat([index for index, _ in tracks], sizes),
        tuple(name for name, _, _ in found),
        tuple(sha256 for _, sha256, _ in found),
    )
