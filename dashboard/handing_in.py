"""Hand a recording in for analysis, for a visitor whose role has been asked for: by a page, or when it made a link."""

import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contracts import audits, store
from contracts.database import write_transaction
from contracts.submissions import Submission, submit
from dashboard.identity import Visitor
from dashboard.services import open_redis, open_services

UPLOAD = "upload"  # the purpose of links that recordings are sent to
# A visitor waits for it.
RETRY_S = 3.0


def hand_in(visitor: Visitor, path: Path, is_upload: bool, batch_id: str, fps: float | None, priority: str) -> str:
    """Have an ingest worker look at a recording, and plan it where it is one; return the submission's id.

    Raises:
        ServiceError: the database or Redis is out of reach.
    """
    submission = Submission(
        submission_id=store.make_uuid7(), batch_id=batch_id, name=path.name, path=str(path), is_upload=is_upload,
        fps=fps, priority=priority, who=visitor.name, at=time.time(),
    )  # fmt: skip
    settings = {"batch_id": batch_id, "name": path.name, "fps": fps, "priority": priority, "uploaded": is_upload}
    audit(visitor, "recording.submit", submission.submission_id, **settings)
    submit(open_redis(), submission)
    return submission.submission_id


def audit(visitor: Visitor, action: str, subject: str, **details: Any) -> None:
    """Store who asked for something that happens outside of the database.

    Raises:
        ServiceError: the database is out of reach.
    """

    def write(connection: sa.Connection) -> None:
        audits.record_change(connection, visitor.name, action, subject, **details)

    write_transaction(open_services().engine, write, RETRY_S)
