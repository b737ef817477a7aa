"""How what visitors change is stored."""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from contracts import audits
from contracts.database import write_transaction
from dashboard.identity import Visitor
from dashboard.services import open_services

R = TypeVar("R")
# A visitor waits for it.
RETRY_S = 3.0


def commit(change: Callable[[sa.Connection], R]) -> R:
    """Do ``change``, which writes its audit too, in a transaction and return what it returns; or store nothing of it.

    Raises:
        ServiceError: the database is out of reach.
    """
    return write_transaction(open_services().engine, change, RETRY_S)


def audit(visitor: Visitor, action: str, subject: str, **details: Any) -> None:
    """Store who did something that happens outside of the database.

    Raises:
        ServiceError: the database is out of reach.
    """
    commit(lambda connection: audits.record_change(connection, visitor.name, action, subject, **details))
