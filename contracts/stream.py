"""All Redis Streams calls: a stream of crop sequences with one consumer group.

An entry has the fields ``payload`` (the message), ``session``, ``track``, ``first_pts`` and ``faces``; the last four
repeat what the payload says, so that an entry whose payload cannot be read is still counted and named.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import redis

from contracts.messages import VERSION, CropSequence, encode
from contracts.redis_server import call_redis

GROUP = "inference"
REJECTED_SUFFIX = ":rejected"
# How long a stream outlives the last sign of its run, where it is for one run only.
RUN_EXPIRES_S = 86_400
# How long a message of a newer version may wait for a worker that reads it, before it is rejected.
PARKED_AT_MOST_S = 86_400
# Whose pending entries those are while they wait; no host has a colon in its name.
_PARKED = "newer-version:"
# As idle as this, anybody may claim an entry at once.
_ABANDONED_MS = 10 * 86_400_000
_PAGE = 500
# Rejected entries are for looking into; the ledger has its own count of them.
_REJECTED_KEPT, _REJECTED_EXPIRES_S = 1000, 7 * 86_400
_MAX_INT32, _MAX_INT64 = 2**31 - 1, 2**63 - 1
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

    @property
    def added_at(self) -> float:
        """When it was added, in Unix seconds of the server's clock."""
        return _read_time(self.entry_id)


def _with_clear_errors(
    method: Callable[Concatenate["CropStream", _P], _R],
) -> Callable[Concatenate["CropStream", _P], _R]:
    @wraps(method)
    def wrapped(self: "CropStream", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return call_redis(lambda: method(self, *args, **kwargs), self.retry_s)

    return wrapped


class CropStream:
    """One stream of crop sequences and its rejected entries.

    Delivery is at least once: an entry stays pending until ``acknowledge``, and a dead worker's entries are claimed.
    ``consumer`` names this process in the group. A stream for one run only is given ``expires_s``, so that it goes
    by itself should the run be killed; every entry renews it. Every call is repeated for up to ``retry_s`` seconds
    while the server is away or full, and raises ServiceError then.
    """

    def __init__(
        self,
        client: redis.Redis,
        name: str,
        consumer: str | None = None,
        expires_s: int | None = None,
        retry_s: float = 0.0,
    ) -> None:
        self.client = client
        self.name = name
        self.expires_s = expires_s
        self.retry_s = retry_s
        self.rejected_name = name + REJECTED_SUFFIX
        self.consumer = consumer or f"{socket.gethostname()}-{os.getpid()}"

    @_with_clear_errors
    def create_group(self) -> None:
        """Create the stream and its group; entries already there will be read too."""
        self._create_group()

    def _create_group(self) -> None:
        try:
            self.client.xgroup_create(self.name, GROUP, id="0", mkstream=True)
            if self.expires_s is not None:
                self.client.expire(self.name, self.expires_s)
        except redis.exceptions.ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    @_with_clear_errors
    def publish(self, *sequences: CropSequence) -> None:
        """Add crop sequences to the stream, all or none."""
        with self.client.pipeline(transaction=True) as pipeline:
            for sequence in sequences:
                fields: dict[Any, Any] = {
                    "payload": encode(sequence),
                    "session": sequence.session_id,
                    "track": sequence.track_id,
                    "first_pts": sequence.first_pts,
                    "faces": sequence.num_faces,
                }
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
    def read(self, max_entries: int, block_ms: int | None) -> list[Entry]:
        """Return up to ``max_entries`` new entries, waiting up to ``block_ms`` (None: not at all) for the first."""
        try:
            reply = cast(
                "list[Any]",
                self.client.xreadgroup(GROUP, self.consumer, {self.name: ">"}, count=max_entries, block=block_ms),
            )
        except redis.exceptions.ResponseError as error:
            self._restore_group(error)
            return []
        return [read_entry(raw_id, fields) for _, entries in reply or [] for raw_id, fields in entries]

    @_with_clear_errors
    def claim_stale(self, min_idle_ms: int, own_min_idle_ms: int = 0) -> Entry | None:
        """Return one entry that a consumer has held for ``min_idle_ms`` without acknowledging, or None.

        Of what this consumer holds itself, only what it has not touched for ``own_min_idle_ms`` counts: the answer that
        brought it was lost. What waits for a newer release's worker is left to that.
        """
        try:
            for pending in self._list_pending(min_idle_ms):
                idle_ms, consumer = int(pending["time_since_delivered"]), pending["consumer"].decode(errors="replace")
                if _is_parked(pending) or (consumer == self.consumer and idle_ms < own_min_idle_ms):
                    continue
                claimed = cast(
                    "list[Any]",
                    self.client.xclaim(self.name, GROUP, self.consumer, min_idle_ms, [pending["message_id"]]),
                )
                if not claimed:
                    return None
                raw_id, fields = claimed[0]
                return read_entry(raw_id, fields, int(pending["times_delivered"]) + 1)
        except redis.exceptions.ResponseError as error:
            self._restore_group(error)
        return None

    def _list_pending(self, min_idle_ms: int) -> Iterator[dict[str, Any]]:
        start = "-"
        while True:
            page = cast(
                "list[dict[str, Any]]",
                self.client.xpending_range(self.name, GROUP, start, "+", _PAGE, idle=min_idle_ms or None),
            )
            yield from page
            if len(page) < _PAGE:
                return
            start = f"({page[-1]['message_id'].decode()}"

    def hold(self, entries: list[Entry]) -> None:
        """Say that entries are still worked on, so that nobody claims them, as far as the server can be reached."""
        if entries:
            with suppress(redis.exceptions.RedisError):
                ids: list[Any] = [entry.entry_id for entry in entries]
                self.client.xclaim(self.name, GROUP, self.consumer, 0, ids, justid=True)

    def _restore_group(self, error: redis.exceptions.ResponseError) -> None:
        """Go on where the server has lost the stream (emptied, or restarted without its file).

        What was lost with it shows in the ledger of its session.
        """
        if not str(error).startswith("NOGROUP"):
            raise error
        self._create_group()

    def give_back(self, entries: list[Entry]) -> None:
        """Undo the delivery of entries that failed through no fault of theirs, as far as the server can be reached.

        They stay pending, for anybody to claim at once, but an outage is not counted as a try: else it would have them
        rejected when it ends.
        """
        with suppress(redis.exceptions.RedisError):
            for entry in entries:
                self._undo_delivery(entry, self.consumer)

    @_with_clear_errors
    def park(self, entry: Entry, version: int) -> None:
        """Undo the delivery of a message of a newer ``version``, and leave it to workers that read that one."""
        self._undo_delivery(entry, f"{_PARKED}{version}")

    def _undo_delivery(self, entry: Entry, consumer: str) -> None:
        self.client.xclaim(
            self.name,
            GROUP,
            consumer,
            0,
            [entry.entry_id],
            idle=_ABANDONED_MS,
            retrycount=entry.num_deliveries - 1,
            justid=True,
        )

    def leave(self) -> None:
        """Take this consumer's name out of the group, as far as the server can be reached.

        Names of workers that came and went would else add up. One that still has entries stays: they would be lost.
        """
        with suppress(redis.exceptions.RedisError):
            if not self.client.xpending_range(self.name, GROUP, "-", "+", 1, self.consumer):
                self.client.xgroup_delconsumer(self.name, GROUP, self.consumer)

    @_with_clear_errors
    def acknowledge(self, entries: list[Entry]) -> None:
        """Acknowledge and delete entries, in one transaction."""
        if entries:
            self._acknowledge([entry.entry_id for entry in entries])

    def _acknowledge(self, ids: list[str]) -> None:
        with self.client.pipeline(transaction=True) as pipeline:
            pipeline.xack(self.name, GROUP, *ids)
            pipeline.xdel(self.name, *ids)
            pipeline.execute()

    @_with_clear_errors
    def reject(self, entry: Entry, reason: str) -> None:
        """Move an entry to the rejected stream with its reason, in one transaction.

        On a full server it is deleted instead: making room comes before keeping what nobody can use.
        """
        fields = {**make_fields(entry), "reason": reason}
        try:
            with self.client.pipeline(transaction=True) as pipeline:
                pipeline.xadd(self.rejected_name, fields, maxlen=_REJECTED_KEPT, approximate=True)
                pipeline.expire(self.rejected_name, _REJECTED_EXPIRES_S)
                pipeline.xack(self.name, GROUP, entry.entry_id)
                pipeline.xdel(self.name, entry.entry_id)
                pipeline.execute()
        except redis.exceptions.OutOfMemoryError:
            self._acknowledge([entry.entry_id])

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
            yield from (read_entry(raw_id, fields) for raw_id, fields in page)
            if len(page) < _PAGE:
                return
            start = f"({page[-1][0].decode()}"


def _is_parked(pending: dict[str, Any]) -> bool:
    """Return whether a pending entry waits for a worker that reads a newer version than this release, in good time."""
    consumer = pending["consumer"].decode(errors="replace")
    version = consumer.removeprefix(_PARKED)
    if consumer == version or not version.isdecimal() or int(version) <= VERSION:
        return False
    return time.time() - _read_time(pending["message_id"].decode()) < PARKED_AT_MOST_S


def _read_time(entry_id: str) -> float:
    return int(entry_id.split("-")[0]) / 1000


def make_fields(entry: Entry) -> dict[Any, Any]:
    """Return the fields that make an entry anew on another stream."""
    return {
        "payload": entry.payload,
        "session": entry.session_id,
        "track": entry.track_id,
        "first_pts": entry.first_pts,
        "faces": entry.num_faces,
    }


def read_entry(raw_id: bytes, fields: dict[bytes, bytes], num_deliveries: int = 1) -> Entry:
    """Return the entry; fields that are missing or unusable become empty or 0, so that it can be rejected."""

    def read_number(name: bytes, lowest: int, highest: int) -> int:
        try:
            number = int(fields.get(name, b"0"))
        except ValueError:
            return 0
        return number if lowest <= number <= highest else 0

    return Entry(
        entry_id=raw_id.decode(),
        payload=fields.get(b"payload", b""),
        session_id=fields.get(b"session", b"").decode(errors="replace").replace("\0", "\ufffd"),
        track_id=read_number(b"track", 0, _MAX_INT32),
        first_pts=read_number(b"first_pts", -_MAX_INT64, _MAX_INT64),
        num_faces=read_number(b"faces", 0, _MAX_INT32),
        num_deliveries=num_deliveries,
    )
