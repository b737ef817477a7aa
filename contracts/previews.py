"""A camera's newest picture, for whoever looks at it now: a small JPEG and its faces' boxes in Redis, for seconds.

A viewer renews a wish that expires; while there is one, and the stream allows it, the camera's run publishes. Redis
neither writes pictures to its append-only file nor sends them to replicas: none of a camera's ever lies on a disk.
"""

from contextlib import suppress
from typing import cast

import msgspec
import redis

from contracts.messages import Box

# A page asks several times a second; one that was closed is forgotten in this time.
WISH_S = 5
_PICTURE_MS = 3000
_WISH_PREFIX, _PICTURE_PREFIX = "emotrace:preview-wish:", "emotrace:preview:"
_SET_UNWRITTEN = "redis.set_repl(redis.REPL_NONE) return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"


class PreviewFace(msgspec.Struct, frozen=True):
    """A face in the picture: ``box`` is xyxy in the picture's pixels; not ``is_analysed`` where it is too small."""

    track_id: int
    box: Box
    is_analysed: bool


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """One picture. ``number`` counts those of a run, ``fps`` is how many it publishes a second.

    ``time_s`` is the frame's, from the session's start; ``arrived_at`` is when its last packet did, in seconds since
    1970. ``width`` and ``height`` are the JPEG's.
    """

    session_id: str
    number: int
    time_s: float
    arrived_at: float
    fps: float
    width: int
    height: int
    faces: tuple[PreviewFace, ...]
    jpeg: bytes


def ask_for_preview(client: redis.Redis, stream_id: str) -> None:
    """Have a camera's pictures published for the next ``WISH_S`` seconds.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    client.set(f"{_WISH_PREFIX}{stream_id}", 1, ex=WISH_S)


def is_wanted(client: redis.Redis, stream_id: str) -> bool:
    """Tell whether somebody looks at a camera.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    return bool(client.exists(f"{_WISH_PREFIX}{stream_id}"))


def publish_preview(client: redis.Redis, stream_id: str, preview: Preview) -> None:
    """Put a picture in the place of the one before.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    client.eval(_SET_UNWRITTEN, 1, f"{_PICTURE_PREFIX}{stream_id}", msgspec.msgpack.encode(preview), _PICTURE_MS)


def read_preview(client: redis.Redis, stream_id: str) -> Preview | None:
    """Return a camera's newest picture, or None where there is none of the last seconds.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    stored = cast("bytes | None", client.get(f"{_PICTURE_PREFIX}{stream_id}"))
    with suppress(msgspec.MsgspecError):  # of another release
        return msgspec.msgpack.decode(stored, type=Preview) if stored is not None else None
    return None
