"""What the live view changes: whether a camera's pictures may be looked at; and that somebody begins to look."""

import sqlalchemy as sa

from contracts import audits, cameras, store
from contracts.encryption import find_secret_key
from dashboard.changes import commit
from dashboard.identity import OPERATOR, require
from dashboard.services import open_services


def set_preview(stream_id: str, preview: bool) -> store.Row:
    """Have a camera's pictures be looked at, or not; the run goes on.

    Raises:
        NotAllowedError: the visitor is no operator.
        UsageError: the camera is gone.
        ServiceError: the database is out of reach.
    """
    visitor, services = require(OPERATOR), open_services()
    key = find_secret_key(services.settings)

    def write(connection: sa.Connection) -> store.Row:
        stream = cameras.change_stream(connection, key, stream_id, preview=preview)
        audits.record_change(
            connection, visitor.name, "camera.preview", stream_id, name=stream["name"], preview=preview
        )
        return stream

    return commit(write)


def begin_look(stream_id: str) -> None:
    """Store that somebody begins to look at a camera.

    Raises:
        NotAllowedError: the visitor is no operator.
        UsageError: the camera is gone.
        ServiceError: the database is out of reach.
    """
    visitor = require(OPERATOR)

    def write(connection: sa.Connection) -> None:
        stream = cameras.read_stream(connection, stream_id)
        audits.record_change(connection, visitor.name, "camera.look", stream_id, name=stream["name"])

    commit(write)
