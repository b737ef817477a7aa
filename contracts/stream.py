"""All Redis Streams calls: a stream of crop sequences with one consumer group.

An entry has the fields ``payload`` (the message), ``session``, ``track``, ``first_pts`` and ``faces``; the last four
repeat what the payload says, so that an entry whose payload cannot be read is still counted and named.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from contracts.errors import ServiceError
from contracts.messages import CropSequence, encode

GROUP = "inference"
_PAGE = 500
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Entry:
    """A stream entry as read: its id, the undecoded payload, whose it is and how often it was delivered."""

    entry_id: str
    payload: bytes
    session_id: str
    track_id: int
    first_pts: int
    num_faces: int
    num_deliveries: int = 1


def connect(url: str, retry_s: float) -> redis.Redis:
    """Connect to Redis or Valkey; every call is retried for about ``retry_s`` seconds while the server is away.

    Raises:
        ServiceError: the URL is malformed or the server stays out of reach.
    """
    # Pauses grow from 0.05 s to 1 s, so that about this many fill the time.
    retries = max(1, round(retry_s) + 4) if retry_s else 0
    try:
        client = redis.Redis.from_url(
            url,
            protocol=2,  # replies differ between protocol versions; this module reads version 2's
            retry=Retry(ExponentialBackoff(cap=1.0, base=0.05), retries),
            retry_on_error=[redis.exceptions.BusyLoadingError],
            socket_timeout=10,
            socket_connect_timeout=5,
        )
    except ValueError as error:
        raise ServiceError(
            f"The Redis URL cannot be used: {error}. Expected redis://HOST:PORT/0 or unix:///PATH."
        ) from None
    _translate(client.ping)
    return client


def _translate(call: Callable[[], _R]) -> _R:
    try:
        return call()
    except redis.exceptions.OutOfMemoryError as error:
        raise ServiceError(f"Redis is full ({error}). Raise its maxmemory or add inference workers.") from None
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as error:
        raise ServiceError(
            f"Redis is out of reach ({error}). Check that the server runs and that the URL is right; "
            "then repeat the run with --resume."
        ) from None
    except redis.exceptions.RedisError as error:
        raise ServiceError(f"Redis refused a command ({error}). Check the server's version and log.") from None


def _with_clear_errors(method: Callable[_P, _R]) -> Callable[_P, _R]:
    @wraps(method)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        return _translate(lambda: method(*args, **kwargs))

    return wrapped


class CropStream:
    """One stream of crop sequences and its rejected entries.

    Delivery is at least once: an entry stays pending until ``acknowledge``, and a dead worker's entries are claimed.
    ``consumer`` names this process in the group. A stream for one run only is given ``expires_s``, so that it goes
    by itself should the run be killed; every entry renews it.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        consumer: str | None = None,
        expires_s: int | None = None,
    ) -> None:
        self.client = client
        self.name = name
        self.expires_s = expires_s
        self.rejected_name = f"{name}:rejected"
        self.consumer = consumer or f"{socket.gethostname()}-{os.getpid()}"

    @_with_clear_errors
    def create_group(self) -> None:
        """Create the stream and its group; entries already there will be read too."""
        try:
            self.client.xgroup_create(self.name, GROUP, id="0", mkstream=True)
        except redis.exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    @_with_clear_errors
    def publish(self, sequence: CropSequence) -> None:
        """Add a crop sequence to the stream."""
        fields: dict[Any, Any] = {
            "payload": encode(sequence),
            "session": sequence.session_id,
            "track": sequence.track_id,
            "first_pts": sequence.first_pts,
            "faces": sequence.num_faces,
        }
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.xadd(self.name, fields)
            if self.expires_s is not None:
                pipeline.expire(self.name, self.expires_s)
            pipeline.execute()

    @_with_clear_errors
    def count_waiting(self) -> int:
        """Return how many entries are not yet acknowledged, read or not."""
        return int(self.client.xlen(self.name))

    def wait_for_room(self, max_waiting: int, should_stop: Callable[[], bool]) -> None:
        """Wait until fewer than ``max_waiting`` entries wait, so that a recording never fills Redis."""
        while self.count_waiting() >= max_waiting and not should_stop():
            time.sleep(0.01)

    @_with_clear_errors
    def read(self, max_entries: int, block_ms: int) -> list[Entry]:
        """Return up to ``max_entries`` new entries, waiting up to ``block_ms`` for the first."""
        reply = cast(
            "list[Any]",
            self.client.xreadgroup(GROUP, self.consumer, {self.name: ">"}, count=max_entries, block=block_ms),
        )
        return [_read_entry(raw_id, fields) for _, entries in reply or [] for raw_id, fields in entries]

    @_with_clear_errors
    def claim_stale(self, min_idle_ms: int) -> Entry | None:
        """Return one entry that a consumer has held for ``min_idle_ms`` without acknowledging, or None."""
        waiting = cast("list[Any]", self.client.xpending_range(self.name, GROUP, "-", "+", 1, idle=min_idle_ms or None))
        if not waiting:
            return None
        claimed = cast(
            "list[Any]",
            self.client.xclaim(self.name, GROUP, self.consumer, min_idle_ms, [waiting[0]["message_id"]]),
        )
        if not claimed:
            return None
        raw_id, fields = claimed[0]
        return _read_entry(raw_id, fields, int(waiting[0]["times_delivered"]) + 1)

    @_with_clear_errors
    def acknowledge(self, entries: list[Entry]) -> None:
        """Acknowledge and delete entries, in one transaction."""
        ids = [entry.entry_id for entry in entries]
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.xack(self.name, GROUP, *ids)
            pipeline.xdel(self.name, *ids)
            pipeline.execute()

    @_with_clear_errors
    def reject(self, entry: Entry, reason: str) -> None:
        """Move an entry to the rejected stream with its reason, in one transaction."""
        fields: dict[Any, Any] = {
            "payload": entry.payload,
            "session": entry.session_id,
            "track": entry.track_id,
            "first_pts": entry.first_pts,
            "faces": entry.num_faces,
            "reason": reason,
        }
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.xadd(self.rejected_name, fields)
            pipeline.xack(self.name, GROUP, entry.entry_id)
            pipeline.xdel(self.name, entry.entry_id)
            pipeline.execute()

    @_with_clear_errors
    def count_waiting_faces(self, session_id: str) -> int:
        """Return how many of a session's faces wait in the stream."""
        return sum(entry.num_faces for entry in self._list_entries() if entry.session_id == session_id)

    @_with_clear_errors
    def delete(self) -> None:
        """Delete the stream and its group; rejected entries stay for whoever looks into them."""
        self.client.delete(self.name)

    def _list_entries(self) -> Iterator[Entry]:
        start = "-"
        while True:
            page = cast("list[Any]", self.client.xrange(self.name, min=start, count=_PAGE))
            yield from (_read_entry(raw_id, fields) for raw_id, fields in page)
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0].decode()}"


def _read_entry(raw_id: bytes, fields: dict[bytes, bytes], num_deliveries: int = 1) -> Entry:
    """Return the entry; fields that are missing or no numbers become empty or 0, so that it can be rejected."""

    def read_number(name: bytes) -> int:
        try:
            return int(fields.get(name, b"0"))
        except ValueError:
            return 0

    return Entry(
        entry_id=raw_id.decode(),
        payload=fields.get(b"payload", b""),
        session_id=fields.get(b"session", b"").decode(errors="replace"),
        track_id=read_number(b"track"),
        first_pts=read_number(b"first_pts"),
        num_faces=read_number(b"faces"),
        num_deliveries=num_deliveries,
    )
