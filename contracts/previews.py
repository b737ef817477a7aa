"""A camera's newest picture, for whoever looks at it now: a small JPEG and its faces' boxes in Redis, for seconds.

A viewer renews a wish that expires; while there is one, and the stream allows it, the camera's run publishes. None of
a camera's pictures ever lies on a disk.
"""

from contextlib import suppress
from typing import cast

import msgspec
import redis

from contracts.messages import Box
from contracts.redis_server import set_unwritten

# A page asks several times a second; one that was closed is forgotten in this time.
WISH_S = 5
_PICTURE_S = 3.0
_WISH_PREFIX, _PICTURE_PREFIX = "emotrace:preview-wish:", "emotrace:preview:"


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
    set_unwritten(client, f"{_PICTURE_PREFIX}{stream_id}", msgspec.msgpack.encode(preview), _PICTURE_S)


def read_preview(client: redis.Redis, stream_id: str) -> Preview | None:
    """Return a camera's newest picture, or None where there is none of the last seconds.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    stored = cast("bytes | None", client.get(f"{_PICTURE_PREFIX}{stream_id}"))
    with suppress(msgspec.MsgspecError):  # of another release
        return msgspec.msgpack.decode(stored, type=Preview) if stored is not None else None
    return None
