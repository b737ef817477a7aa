"""How the installation went over the last hours: a sample every half minute, in a Redis list of bounded length.

It is for looking at only, like ``contracts.stream_state``; Prometheus (``contracts.metrics``) keeps it for months.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import cast

import msgspec
import redis

from contracts.overview import Overview
from contracts.stream_state import LIVE

SAMPLE_S = 30.0
KEPT_S = 86_400.0
_NUM_KEPT = round(KEPT_S / SAMPLE_S)
_KEY = "emotrace:history"


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one overview. ``at`` is seconds since 1970; sizes are in bytes, ``crops_per_s`` is all workers',
    ``reconnects`` are those of the camera runs that go on, ``jobs`` wait for a host."""

    at: float
    waiting: int
    oldest_age_s: float
    rejected: int
    workers: int
    crops_per_s: float
    enabled: int
    live: int
    lag_s: float
    reconnects: int
    jobs: int
    redis_used_bytes: int
    redis_max_bytes: int
    database_bytes: int
    num_rows: int


def make_sample(overview: Overview) -> Sample:
    """Return the sums of an overview."""
    told = [one.told for one in overview.streams if one.told is not None]
    return Sample(
        at=overview.at,
        waiting=sum(lane.num_waiting for lane in overview.lanes),
        oldest_age_s=max((lane.oldest_age_s for lane in overview.lanes), default=0.0),
        rejected=sum(lane.num_rejected for lane in overview.lanes),
        workers=len(overview.workers),
        crops_per_s=sum(worker.crops_per_s for worker in overview.workers),
        enabled=sum(bool(one.stream["enabled"]) for one in overview.streams),
        live=sum(one.state == LIVE for one in overview.streams),
        lag_s=max((one.lag_s for one in told), default=0.0),
        reconnects=sum(sum(one.reconnects.values()) for one in told),
        jobs=sum(overview.queues.values()),
        redis_used_bytes=overview.redis_used_bytes,
        redis_max_bytes=overview.redis_max_bytes,
        database_bytes=overview.database_bytes,
        num_rows=overview.num_rows,
    )


def record_sample(client: redis.Redis, sample: Sample) -> None:
    """Add a sample; the oldest ones beyond ``KEPT_S`` go.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    with client.pipeline(transaction=True) as pipeline:
        pipeline.lpush(_KEY, msgspec.json.encode(sample))
        pipeline.ltrim(_KEY, 0, _NUM_KEPT - 1)
        pipeline.execute()


def list_samples(client: redis.Redis, since: float, now: float) -> list[Sample]:
    """Return the samples from ``since`` on, in order of time.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    # One scheduler samples at a time; after a change of place two may lie closer together.
    number = min(_NUM_KEPT, round(1.1 * (now - since) / SAMPLE_S) + 10)
    samples = []
    for value in reversed(cast("Sequence[bytes]", client.lrange(_KEY, 0, number - 1))):
        with suppress(msgspec.MsgspecError):  # of another release
            samples.append(msgspec.json.decode(value, type=Sample))
    return sorted((one for one in samples if one.at >= since), key=lambda one: one.at)
