"""Cancel and retry recordings of batches, in the database and on the queue: for the command line and the dashboard."""

from collections.abc import Callable

import redis
import sqlalchemy as sa

from contracts import jobs, parts, store
from contracts.database import read_transaction, write_transaction
from contracts.lanes import BATCH, name_lane
from contracts.part_sessions import finish_parts
from contracts.stream import CropStream

# Writes who asked for it, in the transaction that does it.
WriteAudit = Callable[[sa.Connection], None]


def cancel_recording(
    engine: sa.Engine,
    client: redis.Redis,
    file: store.Row,
    reason: str,
    retry_s: float,
    write_audit: WriteAudit | None = None,
) -> int:
    """Cancel what is not read yet of a recording (``batches.list_files``); return how many parts that were.

    Raises:
        ServiceError: Redis or the database is out of reach.
    """
    session_id = file["session_id"]
    with read_transaction(engine) as connection:
        rows = parts.list_parts(connection, session_id)

    def cancel(connection: sa.Connection) -> int:
        if write_audit is not None:
            write_audit(connection)
        return parts.cancel_parts(connection, session_id, reason)

    num_cancelled = write_transaction(engine, cancel, retry_s)
    for row in rows:
        if row["status"] == parts.WAITING:
            jobs.cancel_part(client, session_id, row["part"])
    stream = CropStream(client, name_lane(BATCH, file["model_id"]), retry_s=retry_s)
    finish_parts(engine, stream, session_id, retry_s)
    return num_cancelled


def retry_recording(
    engine: sa.Engine, client: redis.Redis, file: store.Row, retry_s: float, write_audit: WriteAudit | None = None
) -> int:
    """Have the parts of a recording that failed or were cancelled be read again; return how many those are.

    Raises:
        ServiceError: Redis or the database is out of reach.
    """
    session_id = file["session_id"]

    def retry(connection: sa.Connection) -> list[int]:
        if write_audit is not None:
            write_audit(connection)
        return parts.retry_parts(connection, session_id)

    again = write_transaction(engine, retry, retry_s)
    for part in again:
        jobs.enqueue_part(client, session_id, part, file["priority"])
    return len(again)
