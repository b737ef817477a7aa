"""Rejected crop sequences: look at them, put them back, or throw them away.

A stream's rejected entries lie in a stream of their own beside it (``CropStream.reject``), the newest thousand of them
for seven days. The ledger's count of them is in the table ``rejections``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import redis
import sqlalchemy as sa

from contracts import sealing, store
from contracts.database import write_transaction
from contracts.errors import UsageError
from contracts.lanes import find_lane
from contracts.redis_server import call_redis
from contracts.stream import REJECTED_SUFFIX, Entry, make_fields, read_entry

_PATTERN = f"emotrace:*{REJECTED_SUFFIX}"
_PAGE = 100


@dataclass(frozen=True)
class Rejected:
    """An entry that was rejected from ``stream``, under its id among the rejected ones, and the reason."""

    stream: str
    entry: Entry
    reason: str

    @property
    def lane(self) -> str:
        """The lane it was rejected from; of a single run the stream's name."""
        return find_lane(self.stream) or self.stream.removeprefix("emotrace:")


def iterate_rejected(client: redis.Redis, retry_s: float, lane: str | None = None) -> Iterator[Rejected]:
    """Yield the rejected entries of all streams, or of ``lane`` alone, the oldest of each first, page by page.

    Raises:
        ServiceError: Redis is out of reach.
    """
    names = call_redis(lambda: sorted(client.scan_iter(match=_PATTERN, count=1000, _type="STREAM")), retry_s)
    for name in (raw.decode() for raw in names):
        start = "-"
        while page := call_redis(partial(_read_page, client, name, start), retry_s):
            yield from (one for one in page if lane in (None, one.lane))
            start = f"({page[-1].entry.entry_id}"


def find_rejected(client: redis.Redis, entry_id: str, retry_s: float, lane: str | None = None) -> Rejected:
    """Return the rejected entry with an id.

    Raises:
        UsageError: there is none, or there are several in different lanes.
        ServiceError: Redis is out of reach.
    """
    found = [one for one in iterate_rejected(client, retry_s, lane) if one.entry.entry_id == entry_id]
    if not found:
        raise UsageError(f"There is no rejected entry {entry_id!r}. List them with: emotrace rejected list")
    if len(found) > 1:
        raise UsageError(f"Several lanes have a rejected entry {entry_id}. Name one with --lane.")
    return found[0]


def read_rejected(client: redis.Redis, stream: str, entry_id: str, retry_s: float) -> Rejected:
    """Return the entry with an id that was rejected from ``stream``.

    Raises:
        UsageError: it is not there any more.
        ServiceError: Redis is out of reach.
    """
    name = stream + REJECTED_SUFFIX
    found = cast("list[Any]", call_redis(lambda: client.xrange(name, entry_id, entry_id), retry_s))
    if not found:
        raise UsageError(f"The rejected entry {entry_id} is not there any more: somebody else took it.")
    return _make_rejected(stream, *found[0])


def requeue(
    client: redis.Redis, engine: sa.Engine, rejected: Rejected, record: Callable[[sa.Connection], None] | None = None
) -> None:
    """Put an entry back on its lane, and take its rejection out of the ledger.

    What ``record`` writes is committed with it, or not at all.

    A camera's session that is sealed is opened again. Redis moves the entry inside the database's transaction. Whatever
    ends this in the middle, the entry lies in one of the two streams, and the ledger comes right: before the move
    nothing has changed, and after it whoever stores the rows removes the rejection with them (and whoever rejects the
    entry again finds its rejection there). The open transaction holds off a worker that would reject it again before
    the old rejection is gone.

    Raises:
        UsageError: it belongs to a single run, whose stream nobody serves any more; or it is not there any more.
        ServiceError: Redis or the database is out of reach.
    """
    entry = rejected.entry
    if find_lane(rejected.stream) is None:
        raise UsageError(
            f"The entry {entry.entry_id} was rejected in a run of emotrace analyze, which is over. Repeat it with: "
            f"emotrace analyze --resume {entry.session_id}"
        )

    def move(connection: sa.Connection) -> None:
        sealing.reopen_session(connection, entry.session_id)
        store.remove_rejections(connection, [(entry.session_id, entry.track_id, entry.first_pts)])
        if record is not None:
            record(connection)
        call_redis(partial(_move_back, client, rejected), retry_s=0.0)

    # Not repeated: a second try would find the entry moved.
    write_transaction(engine, move, retry_s=0.0)


def discard(client: redis.Redis, rejected: Rejected, retry_s: float) -> None:
    """Delete an entry; the ledger goes on counting its faces as rejected.

    Raises:
        ServiceError: Redis is out of reach.
    """
    call_redis(lambda: client.xdel(rejected.stream + REJECTED_SUFFIX, rejected.entry.entry_id), retry_s)


def _move_back(client: redis.Redis, rejected: Rejected) -> None:
    name, entry_id = rejected.stream + REJECTED_SUFFIX, rejected.entry.entry_id
    if not client.xrange(name, entry_id, entry_id):
        raise UsageError(f"The rejected entry {entry_id} is not there any more: somebody else took it.")
    with client.pipeline(transaction=True) as pipeline:
        pipeline.xadd(rejected.stream, make_fields(rejected.entry))
        pipeline.xdel(name, entry_id)
        pipeline.execute()


def _read_page(client: redis.Redis, name: str, start: str) -> list[Rejected]:
    page = cast("list[Any]", client.xrange(name, min=start, count=_PAGE))
    stream = name.removesuffix(REJECTED_SUFFIX)
    return [_make_rejected(stream, raw_id, fields) for raw_id, fields in page]


def _make_rejected(stream: str, raw_id: bytes, fields: dict[bytes, bytes]) -> Rejected:
    return Rejected(stream, read_entry(raw_id, fields), fields.get(b"reason", b"").decode(errors="replace"))
