"""How far a session's reading is: a small Redis hash that expires, for progress bars and pages on any host."""

from dataclasses import asdict, dataclass
from typing import Any, cast

import redis

_EXPIRES_S = 3600


@dataclass(frozen=True)
class Progress:
    """Counts since the reading began. ``duration_s`` is 0 where the source does not say."""

    frames: int
    faces: int
    time_s: float
    duration_s: float


def _key(session_id: str) -> str:
    return f"emotrace:progress:{session_id}"


def publish_progress(client: redis.Redis, session_id: str, progress: Progress) -> None:
    """Store the newest progress. It is for looking at only, so a lost one is no error."""
    try:
        with client.pipeline(transaction=False) as pipeline:
            pipeline.hset(_key(session_id), mapping=cast("dict[Any, Any]", asdict(progress)))
            pipeline.expire(_key(session_id), _EXPIRES_S)
            pipeline.execute()
    except redis.exceptions.RedisError:
        pass


def read_progress(client: redis.Redis, session_id: str) -> Progress | None:
    """Return the newest progress, or None where there is none (yet) or Redis does not answer."""
    try:
        stored = cast("dict[bytes, bytes]", client.hgetall(_key(session_id)))
        return Progress(
            frames=int(stored[b"frames"]),
            faces=int(stored[b"faces"]),
            time_s=float(stored[b"time_s"]),
            duration_s=float(stored[b"duration_s"]),
        )
    except (redis.exceptions.RedisError, KeyError, ValueError):
        return None
