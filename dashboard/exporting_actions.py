"""Files that leave the dashboard: stored as made, by whom and of what."""

from collections.abc import Callable
from typing import Any

from contracts import audits
from contracts.database import write_transaction
from dashboard.identity import VIEWER, require
from dashboard.services import open_services

# A visitor waits for it.
_RETRY_S = 3.0


def prepare_file(make: Callable[[str], bytes], action: str, subject: str, **details: Any) -> Callable[[], bytes]:
    """Return what makes a file when it is asked for, and stores that it was, as ``action`` ("table.export").

    ``make`` is given the visitor's name. They are asked for here: a download is made outside of their page's run.

    Raises:
        NotAllowedError: nobody is logged in.
    """
    visitor, engine = require(VIEWER), open_services().engine

    def make_file() -> bytes:
        content = make(visitor.name)
        write_transaction(
            engine,
            lambda connection: audits.record_change(connection, visitor.name, action, subject, **details),
            _RETRY_S,
        )
        return content

    return make_file
