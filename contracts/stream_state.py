"""What a camera's run tells of itself every second: a small Redis entry that expires, for ``status`` and pages.

It is for looking at only: nothing is decided by it, and a lost one is no error.
"""

from contextlib import suppress
from typing import cast

import msgspec
import redis

CONNECTING, LIVE, STALLED, BACKING_OFF, DISABLED, FAILED = (
    "connecting",
    "live",
    "stalled",
    "backing_off",
    "disabled",
    "failed",
)
_EXPIRES_S = 15
_PREFIX = "emotrace:stream:"


class StreamState(msgspec.Struct, kw_only=True):
    """Moments are seconds since 1970. Counts are of this run, across its connections; ``reconnects`` by reason.

    ``fps`` is the sampling rate in force and ``asked_fps`` the stream's own. ``lag_s``: how long after its arrival the
    newest frame was analysed. ``outbox_bytes`` wait inside the run because Redis does not take them.
    """

    stream_id: str
    name: str
    state: str
    since: float
    at: float
    host: str
    pid: int
    epoch: int
    session_id: str | None = None
    message: str = ""
    connected_at: float | None = None
    reconnects: dict[str, int] = {}
    state_changes: int = 0
    decoded: int = 0
    undecodable: int = 0
    analysed: int = 0
    skipped: dict[str, int] = {}
    faces: int = 0
    asked_fps: float = 0.0
    fps: float = 0.0
    source_fps: float = 0.0
    lag_s: float = 0.0
    outbox_bytes: int = 0
    num_tracks: int = 0


def publish_state(client: redis.Redis, state: StreamState) -> None:
    """Store a run's newest state.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    client.set(f"{_PREFIX}{state.stream_id}", msgspec.json.encode(state), ex=_EXPIRES_S)


def forget_state(client: redis.Redis, stream_id: str) -> None:
    """Remove a run's state at its end; where that fails it expires."""
    with suppress(redis.exceptions.RedisError):
        client.delete(f"{_PREFIX}{stream_id}")


def read_states(client: redis.Redis, stream_ids: list[str]) -> dict[str, StreamState]:
    """Return the states of those of the streams that run.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    if not stream_ids:
        return {}
    stored = cast("list[bytes | None]", client.mget([f"{_PREFIX}{stream_id}" for stream_id in stream_ids]))
    found = {}
    for stream_id, value in zip(stream_ids, stored, strict=True):
        with suppress(msgspec.MsgspecError):  # of another release
            if value is not None:
                found[stream_id] = msgspec.json.decode(value, type=StreamState)
    return found
