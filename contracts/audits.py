"""Who changed what and when. The caller owns the transaction: a change and its audit are stored together or not."""

import json
import time
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.schema import audits


def record_change(connection: sa.Connection, who: str, action: str, subject: str, **details: Any) -> None:
    """Store that ``who`` did ``action`` ("camera.add") to ``subject`` (an id); ``details`` hold no credentials."""
    row = {
        "audit_id": store.make_uuid7(),
        "at": time.time(),
        "who": who,
        "action": action,
        "subject": subject,
        "details": details,
    }
    connection.execute(sa.insert(audits), row)


def list_changes(
    connection: sa.Connection, limit: int = 200, *, search: str = "", since: float | None = None
) -> list[store.Row]:
    """Return the newest changes, the last one first: those that hold ``search`` in any column, since a moment.

    Details are searched as they are stored: JSON, in which quotes and letters beyond ASCII are escaped.
    """
    query = sa.select(audits).order_by(audits.c.at.desc(), audits.c.audit_id.desc()).limit(limit)
    if since is not None:
        query = query.where(audits.c.at >= since)
    if search:
        search = search.replace("\0", "")  # PostgreSQL takes none
        details = sa.cast(audits.c.details, sa.Text)
        places = [(column, search) for column in (audits.c.who, audits.c.action, audits.c.subject, details)]
        places.append((details, json.dumps(search)[1:-1]))
        query = query.where(sa.or_(*(column.icontains(text, autoescape=True) for column, text in places)))
    return [dict(row) for row in connection.execute(query).mappings()]
