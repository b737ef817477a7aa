"""Files that leave the dashboard: stored as made, by whom and of what."""

from collections.abc import Callable
from typing import Any

from dashboard.changes import audit
from dashboard.identity import VIEWER, require


def prepare_file(make: Callable[[str], bytes], action: str, subject: str, **details: Any) -> Callable[[], bytes]:
    """Return what makes a file when it is asked for, and stores that it was, as ``action`` ("table.export").

    ``make`` is given the visitor's name. They are asked for here: a download is made outside of their page's run.

    Raises:
        NotAllowedError: nobody is logged in.
    """
    visitor = require(VIEWER)

    def make_file() -> bytes:
        content = make(visitor.name)
        audit(visitor, action, subject, **details)
        return content

    return make_file
