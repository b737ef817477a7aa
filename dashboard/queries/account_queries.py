"""What the pages Users and Audit read."""

import json
import time

import pandas as pd

from contracts import audits, users
from dashboard.asking import query, read
from dashboard.identity import ADMIN
from dashboard.texts import to_line

FRESH_S = 2.0
MAX_CHANGES = 500


@query(ADMIN, ttl=FRESH_S, max_entries=1)
def list_users() -> pd.DataFrame:
    """Return the accounts: user_id, name, role, disabled, created_at, last_login_at, has_password."""
    with read() as connection:
        rows = users.list_users(connection)
    columns = ["user_id", "name", "role", "disabled", "created_at", "last_login_at", "has_password"]
    return pd.DataFrame(rows, columns=columns)


@query(ADMIN, ttl=FRESH_S, max_entries=16)
def list_changes(search: str, within_s: float | None) -> pd.DataFrame:
    """Return the newest ``MAX_CHANGES`` changes that hold ``search``: at, who, action, subject, details as one line."""
    since = None if within_s is None else time.time() - within_s
    with read() as connection:
        rows = audits.list_changes(connection, MAX_CHANGES, search=search, since=since)
    shown = [
        {
            **row,
            "who": to_line(row["who"]),
            "subject": to_line(row["subject"]),
            "details": to_line(json.dumps(row["details"], ensure_ascii=False), 300) if row["details"] else "",
        }
        for row in rows
    ]
    return pd.DataFrame(shown, columns=["at", "who", "action", "subject", "details"])
