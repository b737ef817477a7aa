"""What operators do with rejected crop sequences: put them back, or throw them away."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from contracts import audits, rejected
from contracts.errors import UsageError
from contracts.rejected import Rejected
from dashboard.changes import RETRY_S, commit
from dashboard.identity import OPERATOR, require
from dashboard.queries.health_queries import list_rejected
from dashboard.services import open_redis, open_services
from dashboard.texts import to_line

_MAX_REASON = 200


class Done(NamedTuple):
    """How many entries were acted on, and why the others were not: each reason once."""

    number: int
    refusals: list[str]


def requeue_rejected(keys: Sequence[tuple[str, str]]) -> Done:
    """Put rejected entries back on their lanes; ``keys`` are pairs of stream and entry.

    Raises:
        NotAllowedError: the visitor is no operator.
        ServiceError: the database or Redis is out of reach.
    """
    visitor, services, client = require(OPERATOR), open_services(), open_redis()

    def requeue(one: Rejected) -> None:
        rejected.requeue(client, services.engine, one, _describe(visitor.name, "rejected.requeue", one))

    return _act_on(keys, requeue)


def discard_rejected(keys: Sequence[tuple[str, str]]) -> Done:
    """Delete rejected entries; the ledger goes on counting their faces as rejected.

    Raises:
        NotAllowedError: the visitor is no operator.
        ServiceError: the database or Redis is out of reach.
    """
    visitor, client = require(OPERATOR), open_redis()

    def discard(one: Rejected) -> None:
        record = _describe(visitor.name, "rejected.discard", one)

        def write(connection: sa.Connection) -> None:
            record(connection)
            rejected.discard(client, one, retry_s=0.0)

        commit(write)

    return _act_on(keys, discard)


def _act_on(keys: Sequence[tuple[str, str]], act: Callable[[Rejected], None]) -> Done:
    number, refusals = 0, []
    client = open_redis()
    try:
        for stream, entry_id in keys:
            try:
                act(rejected.read_rejected(client, stream, entry_id, RETRY_S))
                number += 1
            except UsageError as error:
                refusals.append(str(error))
    finally:
        list_rejected.clear()
    return Done(number, list(dict.fromkeys(refusals)))


def _describe(who: str, action: str, one: Rejected) -> Callable[[sa.Connection], None]:
    """Return what stores who did ``action`` to an entry."""
    entry = one.entry
    details = {
        "lane": one.lane,
        "session": entry.session_id,
        "faces": entry.num_faces,
        "reason": to_line(one.reason, _MAX_REASON),
    }
    return lambda connection: audits.record_change(connection, who, action, entry.entry_id, **details)
