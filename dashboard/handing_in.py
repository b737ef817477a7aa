"""Hand a recording in for analysis, for a visitor whose role has been asked for: by a page, or when it made a link."""

import time
from pathlib import Path

from contracts import store
from contracts.submissions import Submission, submit
from dashboard.changes import audit
from dashboard.identity import Visitor
from dashboard.services import open_redis

UPLOAD = "upload"  # the purpose of links that recordings are sent to


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
