"""Test a camera: open it as the pipeline would, and say what comes. For the command line, and as a job."""

import time
from contextlib import closing

import cv2

from contracts import ledger
from contracts.camera_tests import CameraTestResult, Findings, answer_test, take_test
from contracts.encryption import find_secret_key
from contracts.errors import EmotraceError, SourceError
from contracts.logs import get_logger
from contracts.redis_server import connect
from contracts.settings import Settings, hide_credentials, read_settings
from contracts.sources import Source
from ingest.camera import CameraReader
from ingest.camera_events import Connected, Connecting, Disconnected, LiveFrame, SkippedPacket
from ingest.connection import CameraOptions
from ingest.frames import UndecodablePacket
from ingest.images import VideoImage
from ingest.jobs import require_redis
from models.detection import FaceDetector, find_default_detector, make_detector

# Faces are looked for in this many pictures per second.
_LOOKS_PER_S = 2.0
# Of a job, whose asker waits.
_WATCH_S = 2.0
_MAX_SIDE_PX = 1280
_JPEG_QUALITY = 80
_log = get_logger(__name__)


def watch_camera(
    reader: CameraReader, source: str, seconds: float, detector: FaceDetector
) -> tuple[Findings, VideoImage]:
    """Watch a camera for ``seconds`` from its first frame on; return what was found, and the first picture.

    ``source`` is how it is called in errors, without credentials.

    Raises:
        SourceError: no frame came.
    """
    findings = Findings(source=source, detector=detector.name)
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
                        picture, first_s = image, time_s
                    last_s = time_s
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


def run_camera_test_job(check_id: str) -> str:
    """Test the camera that the dashboard asked about, as an RQ job, and store the answer; return how it went.

    What goes wrong is told without what an error's text may hold of credentials.
    """
    settings = read_settings()
    client = connect(require_redis(settings), settings.retry_s)
    try:
        try:
            taken = take_test(client, find_secret_key(settings), check_id)
            if taken is None:
                return "too old"
            result, outcome = _test(settings, *taken), "tested"
        except Exception as error:
            said = hide_credentials(str(error))
            message = said if isinstance(error, EmotraceError) else f"{type(error).__name__}: {said}"
            result, outcome = CameraTestResult(error=message), "failed"
            _log.info("camera test failed", test=check_id, reason=message)
        answer_test(client, check_id, result)
        return outcome
    finally:
        client.close()


def _test(settings: Settings, source: Source, transport: str | None) -> CameraTestResult:
    cv2.setNumThreads(1)
    detector = make_detector(find_default_detector(), settings.yunet_path)
    options = CameraOptions(
        transport=transport, ca_file=settings.camera_ca_file, open_timeout_s=settings.camera_open_timeout_s
    )
    findings, picture = watch_camera(CameraReader(source, options), source.url, _WATCH_S, detector)
    return CameraTestResult(findings=findings, jpeg=encode_picture(picture, ".jpg", _MAX_SIDE_PX))


def encode_picture(picture: VideoImage, suffix: str, max_side_px: int | None = None) -> bytes:
    """Return a picture as a PNG or JPEG file, made smaller where its longer side has more than ``max_side_px``."""
    scale = min(1.0, max_side_px / max(picture.width, picture.height)) if max_side_px else 1.0
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    pixels = picture.read_rgb((0.0, 0.0, float(picture.width), float(picture.height)), *size)
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if max_side_px else []
    return cv2.imencode(suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)[1].tobytes()
