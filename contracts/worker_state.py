"""What each inference worker does now: a small Redis hash that expires, for pages and commands on any host."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, cast

import msgspec
import redis

EXPIRES_S = 15
_PREFIX = "emotrace:worker:"


@dataclass(frozen=True)
class WorkerState:
    """A worker's newest report. ``crops`` counts those whose rows it has stored; times called _at are Unix seconds.

    ``lanes`` is a list with commas. ``problem`` says what the worker waits for, and is empty where all is well.
    """

    consumer: str
    host: str
    pid: int
    device: str
    backend: str
    model_id: str
    lanes: str
    crops: int
    crops_per_s: float
    started_at: float
    heartbeat_at: float
    problem: str = ""

    @property
    def age_s(self) -> float:
        """Seconds since the report, by this host's clock."""
        return max(0.0, time.time() - self.heartbeat_at)


def publish_worker_state(client: redis.Redis, state: WorkerState) -> None:
    """Store the newest state. It is for looking at only, so a lost one is no error."""
    key = _PREFIX + state.consumer
    with suppress(redis.exceptions.RedisError), client.pipeline(transaction=True) as pipeline:
        pipeline.hset(key, mapping=cast("dict[Any, Any]", asdict(state)))
        pipeline.expire(key, EXPIRES_S)
        pipeline.execute()


def remove_worker_state(client: redis.Redis, consumer: str) -> None:
    """Take back the state of a worker that ended in order."""
    with suppress(redis.exceptions.RedisError):
        client.delete(_PREFIX + consumer)


def list_worker_states(client: redis.Redis) -> list[WorkerState]:
    """Return the workers that reported within ``EXPIRES_S``, by host and process; none where Redis does not answer."""
    states: list[WorkerState] = []
    with suppress(redis.exceptions.RedisError):
        for key in client.scan_iter(match=f"{_PREFIX}*", count=1000, _type="HASH"):
            stored = cast("dict[bytes, bytes]", client.hgetall(key))
            with suppress(msgspec.ValidationError):
                states.append(_read(stored))
    return sorted(states, key=lambda state: (state.host, state.pid, state.consumer))


def _read(stored: Mapping[bytes, bytes]) -> WorkerState:
    texts = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in stored.items()}
    return msgspec.convert(texts, WorkerState, strict=False)
