"""End a session: compute its ledger, check that it balances, and only then call it complete."""

import time

import sqlalchemy as sa

from contracts import store
from contracts.database import write_transaction
from contracts.errors import LedgerError
from contracts.ledger import Ledger
from contracts.stream import CropStream


def finish_session(
    engine: sa.Engine,
    stream: CropStream,
    session_id: str,
    is_fully_read: bool,
    error: Exception | None,
    retry_s: float,
) -> tuple[Ledger, LedgerError | None]:
    """Store how a session ended; return its ledger and what is wrong with it, if anything.

    A session that was read to its end and balances is ``complete``; one that does not balance is ``incomplete``; one
    that was stopped before its end is ``interrupted``, or ``failed`` where an ``error`` stopped it.

    Raises:
        ServiceError: Redis or the database stayed out of reach; the session stays ``running``, never looks whole.
    """
    waiting = stream.count_waiting_faces(session_id)

    def write(connection: sa.Connection) -> tuple[Ledger, LedgerError | None]:
        return end_session(connection, session_id, waiting, is_fully_read, error)

    return write_transaction(engine, write, retry_s)


def end_session(
    connection: sa.Connection,
    session_id: str,
    num_waiting: int,
    is_fully_read: bool,
    error: Exception | None,
    remedy: str | None = None,
) -> tuple[Ledger, LedgerError | None]:
    """Do as ``finish_session`` within the caller's transaction; ``num_waiting`` faces are still on a stream.

    ``remedy`` is the command that mends a ledger that does not balance, where that is not ``analyze --resume``.
    """
    ledger = store.read_ledger(connection, session_id, num_waiting)
    wrong: LedgerError | None = None
    try:
        ledger.check(session_id, remedy)
    except LedgerError as found:
        wrong = found
    if error is not None:
        status = store.FAILED
    elif not is_fully_read:
        status = store.INTERRUPTED
    else:
        status = store.INCOMPLETE if wrong else store.COMPLETE
    problem = error or wrong
    message = str(problem) if problem else None
    store.update_session(connection, session_id, status=status, error=message, ended_at=time.time())
    return ledger, wrong
