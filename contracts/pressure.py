"""How far inference is behind, and how full Redis is: what cameras slow down by.

Asking costs the server a little, so one asker a second reads it for all: the answer is kept for a second.
"""

from contextlib import suppress
from typing import cast

import msgspec
import redis

# Crops may fill this share of the server's memory; the rest is for the queue's heartbeats and everything else.
MAX_MEMORY_SHARE = 0.5
# Of a server without a limit of its own.
_DEFAULT_MAX_BYTES = 512 * 2**20
KEPT_S = 1.0


class Pressure(msgspec.Struct, frozen=True):
    """``oldest_age_s``: how long the oldest entry of a lane has waited, read or not. ``memory_share``: of the limit."""

    num_waiting: int
    oldest_age_s: float
    memory_share: float

    @property
    def is_full(self) -> bool:
        """Whether no more crops are to be put into Redis."""
        return self.memory_share >= MAX_MEMORY_SHARE


def read_pressure(client: redis.Redis, lane_name: str) -> Pressure:
    """Return the newest pressure on a lane, at most a second old.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    key = f"emotrace:pressure:{lane_name}"
    kept = cast("bytes | None", client.get(key))
    with suppress(msgspec.MsgspecError):  # of another release
        if kept is not None:
            return msgspec.json.decode(kept, type=Pressure)
    with client.pipeline(transaction=False) as pipeline:
        pipeline.time()
        pipeline.xlen(lane_name)
        pipeline.xrange(lane_name, count=1)
        pipeline.info("memory")
        now, num_waiting, oldest, memory = pipeline.execute()
    limit = int(memory.get("maxmemory") or _DEFAULT_MAX_BYTES)
    age_s = now[0] + now[1] / 1e6 - int(oldest[0][0].split(b"-")[0]) / 1000 if oldest else 0.0
    pressure = Pressure(int(num_waiting), max(0.0, age_s), int(memory["used_memory"]) / limit)
    client.set(key, msgspec.json.encode(pressure), px=round(1000 * KEPT_S))
    return pressure
