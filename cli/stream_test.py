"""``emotrace stream test``: open a camera as the pipeline would, and say what comes, without its password."""

import json
from pathlib import Path

import cv2
import msgspec

from contracts.camera_tests import Findings
from contracts.errors import OutputError, UsageError
from contracts.settings import read_settings
from contracts.sources import Source
from ingest.camera import CameraReader
from ingest.camera_test import encode_picture, watch_camera
from ingest.connection import CameraOptions
from ingest.images import VideoImage
from models.detection import find_default_detector, make_detector

_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")


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
    findings, picture = watch_camera(reader, source.url, seconds, detector)
    if snapshot is not None:
        _save(picture, snapshot)
    if as_json:
        print(json.dumps(msgspec.structs.asdict(findings), indent=2))
    else:
        _print(findings)
        if snapshot is not None:
            print(f"  snapshot     {snapshot}")


def _save(picture: VideoImage, path: Path) -> None:
    content = encode_picture(picture, path.suffix.lower())
    try:
        path.write_bytes(content)
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
