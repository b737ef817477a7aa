"""``emotrace stream test``: open a camera as the pipeline would, and say what comes, without its password."""

import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from contracts import ledger
from contracts.errors import OutputError, SourceError, UsageError
from contracts.settings import read_settings
from contracts.sources import Source
from ingest.camera import CameraReader
from ingest.camera_events import Connected, Connecting, Disconnected, LiveFrame, SkippedPacket
from ingest.connection import CameraOptions
from ingest.frames import UndecodablePacket
from ingest.images import VideoImage
from models.detection import FaceDetector, find_default_detector, make_detector

# Faces are looked for in this many pictures per second.
_LOOKS_PER_S = 2.0
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass
class Findings:
    """What was seen of a camera. ``measured_fps`` is by its own clock; ``stated_fps`` is what it promises (0: none)."""

    source: str
    codec: str = ""
    width: int = 0
    height: int = 0
    stated_fps: float = 0.0
    measured_fps: float = 0.0
    first_frame_s: float = 0.0
    watched_s: float = 0.0
    frames: int = 0
    undecodable: int = 0
    awaiting_keyframe: int = 0
    detector: str = ""
    pictures_searched: int = 0
    pictures_with_faces: int = 0
    most_faces: int = 0
    ended: str = ""


def run(
    source: Source,
    transport: str | None = None,
    seconds: float = 5.0,
    open_timeout_s: float = 10.0,
    snapshot: Path | None = None,
    as_json: bool = False,
) -> None:
    """Watch a camera for ``seconds`` from its first frame on, and print what was found.

    Raises:
        SourceError: no frame came.
        UsageError: the transport or the snapshot's name cannot be used.
        OutputError: the snapshot cannot be written.
    """
    if snapshot is not None and snapshot.suffix.lower() not in _PICTURE_SUFFIXES:
        raise UsageError(f"{snapshot} does not end with {', '.join(_PICTURE_SUFFIXES)}. Name a PNG or JPEG file.")
    cv2.setNumThreads(1)
    settings = read_settings()
    detector = make_detector(find_default_detector(), settings.yunet_path)
    options = CameraOptions(transport=transport, ca_file=settings.camera_ca_file, open_timeout_s=open_timeout_s)
    reader = CameraReader(source, options)
    findings, picture = _watch(reader, source.url, seconds, detector)
    if snapshot is not None:
        _save(picture, snapshot)
    if as_json:
        print(json.dumps(asdict(findings), indent=2))
    else:
        _print(findings)
        if snapshot is not None:
            print(f"  snapshot     {snapshot}")


def _watch(reader: CameraReader, source: str, seconds: float, detector: FaceDetector) -> tuple[Findings, VideoImage]:
    findings = Findings(source, detector=detector.name)
    picture: VideoImage | None = None
    begin_s = first_s = last_s = next_look_s = 0.0
    with closing(iter(reader)) as events:
        for event in events:
            match event:
                case Connecting():
                    begin_s = time.monotonic()
                case Connected(facts):
                    findings.codec, findings.stated_fps = facts.codec, round(facts.average_fps, 3)
                case UndecodablePacket():
                    findings.undecodable += 1
                case SkippedPacket(reason=ledger.AWAITING_KEYFRAME):
                    findings.awaiting_keyframe += 1
                case LiveFrame(time_s=time_s, image=image):
                    if picture is None:
                        findings.first_frame_s = round(time.monotonic() - begin_s, 3)
                        findings.width, findings.height = image.width, image.height
                        first_s = time_s
                    picture, last_s = image, time_s
                    findings.frames += 1
                    if time_s >= next_look_s:
                        next_look_s = time_s + 1 / _LOOKS_PER_S
                        _look_for_faces(findings, image, detector)
                    if time.monotonic() - begin_s - findings.first_frame_s >= seconds:
                        break
                case Disconnected(message=message):
                    findings.ended = message
                    break
    if picture is None:
        raise SourceError(
            f"The camera at {source} gave no picture: {findings.ended}. Check its address, path, user name and "
            "password, and whether another player on this machine can show it."
        )
    findings.watched_s = round(last_s - first_s, 3)
    findings.measured_fps = round((findings.frames - 1) / (last_s - first_s), 2) if last_s > first_s else 0.0
    return findings, picture


def _look_for_faces(findings: Findings, image: VideoImage, detector: FaceDetector) -> None:
    scale = min(1.0, detector.full_size_px / max(image.width, image.height))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    found = detector.detect(image.read_rgb((0.0, 0.0, float(image.width), float(image.height)), *size))
    num_faces = sum(detection.score >= detector.min_score for detection in found)
    findings.pictures_searched += 1
    findings.pictures_with_faces += num_faces > 0
    findings.most_faces = max(findings.most_faces, num_faces)


def _save(picture: VideoImage, path: Path) -> None:
    whole = (0.0, 0.0, float(picture.width), float(picture.height))
    pixels = cv2.cvtColor(picture.read_rgb(whole, picture.width, picture.height), cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(path.suffix.lower(), pixels)
    try:
        path.write_bytes(content.tobytes())
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}). Name another file.") from None


def _print(findings: Findings) -> None:
    stated = f"; the camera says {findings.stated_fps:g}" if findings.stated_fps else ""
    print(f"{findings.source} gives pictures")
    print(f"  video        {findings.codec}, {findings.width}×{findings.height}")
    print(f"  rate         {findings.measured_fps:g} frames per second{stated}")
    print(f"  first frame  {findings.first_frame_s:.2f} s after connecting began")
    print(
        f"  frames       {findings.frames} in {findings.watched_s:.1f} s; {findings.undecodable} undecodable, "
        f"{findings.awaiting_keyframe} skipped while awaiting a keyframe"
    )
    print(
        f"  faces        at most {findings.most_faces} at once, in {findings.pictures_with_faces} of "
        f"{findings.pictures_searched} pictures searched ({findings.detector})"
    )
    if findings.ended:
        print(f"  ended early  {findings.ended}")
