"""Tests of cameras that the dashboard asks for and an ingest worker does: what to open, and what came of it.

Both lie in Redis for a short time. Credentials pass through it encrypted alone; the first frame is taken out of it by
whoever reads it, and stored nowhere.
"""

import time
from typing import cast

import msgspec
import redis

from contracts import jobs
from contracts.encryption import SecretKey
from contracts.redis_server import call_redis, set_unwritten
from contracts.sources import Source
from contracts.store import make_uuid7

# A camera may take its time to begin; nobody waits for longer.
KEPT_S = 120
_POLL_S = 0.2
_RETRY_S = 5.0


class CameraTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be opened; ``encrypted`` is the whole URL where it has credentials (contracts.encryption)."""

    kind: str
    url: str
    encrypted: str | None
    transport: str | None


class Findings(msgspec.Struct, kw_only=True):
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


class CameraTestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test: ``findings`` and the first frame as ``jpeg``, or an ``error`` that people can act on."""

    findings: Findings | None = None
    jpeg: bytes = b""
    error: str = ""


def ask_for_test(client: redis.Redis, key: SecretKey, source: Source, transport: str | None) -> str:
    """Have an ingest worker test a camera; return the test's id.

    Raises:
        SecretKeyError: the URL has credentials, and the key to encrypt them cannot be used.
        ServiceError: Redis is out of reach.
    """
    test_id = make_uuid7()
    encrypted = key.encrypt(source.location) if source.has_credentials else None
    test = CameraTest(kind=source.kind, url=source.url, encrypted=encrypted, transport=transport)
    call_redis(lambda: client.set(_name_key(test_id, "asked"), msgspec.json.encode(test), ex=KEPT_S), _RETRY_S)
    jobs.enqueue_check(client, jobs.CAMERA_TESTS, test_id)
    return test_id


def take_test(client: redis.Redis, key: SecretKey, test_id: str) -> tuple[Source, str | None] | None:
    """Return what a test is to open and over which transport, for the one who opens it; None where it is too old.

    Raises:
        SecretKeyError: the key is not at hand, or not the one that the credentials were encrypted with.
        ServiceError: Redis is out of reach.
    """
    content = cast("bytes | None", call_redis(lambda: client.getdel(_name_key(test_id, "asked")), _RETRY_S))
    if content is None:
        return None
    test = msgspec.json.decode(content, type=CameraTest)
    location = test.url if test.encrypted is None else key.decrypt(test.encrypted)
    return Source(test.kind, test.url, location), test.transport


def answer_test(client: redis.Redis, test_id: str, result: CameraTestResult) -> None:
    """Keep what came of a test until it is read, or for a short time; its picture lies on no disk.

    Raises:
        ServiceError: Redis is out of reach.
    """
    content = msgspec.msgpack.encode(result)
    call_redis(lambda: set_unwritten(client, _name_key(test_id, "answered"), content, KEPT_S), _RETRY_S)


def wait_for_answer(client: redis.Redis, test_id: str, timeout_s: float) -> CameraTestResult | None:
    """Return what came of a test, which nobody can read again; None where nothing did in time.

    Raises:
        ServiceError: Redis is out of reach.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        content = cast("bytes | None", call_redis(lambda: client.getdel(_name_key(test_id, "answered")), _RETRY_S))
        if content is not None:
            return msgspec.msgpack.decode(content, type=CameraTestResult)
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_S)


def _name_key(test_id: str, what: str) -> str:
    return f"emotrace:camera-test:{test_id}:{what}"
