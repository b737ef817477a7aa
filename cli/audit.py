"""What the command line changed, in the audit beside what the dashboard did."""

import getpass
from typing import Any

import sqlalchemy as sa

from contracts.audits import record_change


def record(connection: sa.Connection, action: str, subject: str, **details: Any) -> None:
    """Store that whoever is at the command line did ``action`` to ``subject``; ``details`` hold no credentials."""
    try:
        who = f"command line ({getpass.getuser()})"
    except (KeyError, OSError):  # a container's user need not have a name
        who = "command line"
    record_change(connection, who, action, subject, **details)
