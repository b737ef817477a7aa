"""What the Batch page changes: recordings handed in, cancelled and tried again. Roles are checked here."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from contracts import audits, batches, store
from contracts.batch_changes import cancel_recording, retry_recording
from contracts.errors import UsageError
from contracts.parts import PRIORITIES
from contracts.submissions import forget_submission, read_refused, remove_upload, submit
from dashboard.asking import read
from dashboard.changes import RETRY_S, audit
from dashboard.grants import GRANTS
from dashboard.handing_in import UPLOAD, hand_in
from dashboard.identity import ANALYST, require
from dashboard.offers import find_folders, is_offered
from dashboard.services import open_redis, open_services

_MAX_FPS = 1000


def open_upload(batch_id: str, fps: float | None, priority: str) -> str:
    """Return the path on this server to which the visitor may upload recordings of a batch.

    ``fps`` None analyses every frame.

    Raises:
        NotAllowedError: the visitor is no analyst.
        UsageError: a setting cannot be used.
    """
    visitor = require(ANALYST)
    _check_settings(fps, priority)
    order = json.dumps({"batch_id": batch_id, "fps": fps, "priority": priority}, sort_keys=True)
    return f"/uploads/{GRANTS.issue(visitor, UPLOAD, order)}"


def hand_in_files(paths: Sequence[Path], batch_id: str, fps: float | None, priority: str) -> int:
    """Hand in recordings of the folders that are offered; return how many.

    Raises:
        NotAllowedError: the visitor is no analyst.
        UsageError: a setting cannot be used, or a file lies in none of the folders.
        ServiceError: the database or Redis is out of reach.
    """
    visitor = require(ANALYST)
    _check_settings(fps, priority)
    folders = find_folders(open_services().settings)
    for path in paths:
        if not is_offered(path, folders):
            raise UsageError(f"{path.name} is no recording of the folders that are offered. Choose one of the list.")
    for path in paths:
        hand_in(visitor, path, False, batch_id, fps, priority)
    return len(paths)


def cancel(session_id: str) -> int:
    """Cancel what is not read yet of a recording; return how many parts that were.

    Raises:
        NotAllowedError: the visitor is no analyst.
        UsageError: the recording is of no batch.
        ServiceError: the database or Redis is out of reach.
    """
    visitor, services = require(ANALYST), open_services()
    reason = f"Cancelled by {visitor.name} in the dashboard."
    write_audit = partial(audits.record_change, who=visitor.name, action="recording.cancel", subject=session_id)
    return cancel_recording(services.engine, open_redis(), _read_file(session_id), reason, RETRY_S, write_audit)


def retry(session_id: str) -> int:
    """Have what failed or was cancelled of a recording be read again; return how many parts those are.

    Raises:
        NotAllowedError, UsageError, ServiceError: as ``cancel``.
    """
    visitor, services = require(ANALYST), open_services()
    write_audit = partial(audits.record_change, who=visitor.name, action="recording.retry", subject=session_id)
    return retry_recording(services.engine, open_redis(), _read_file(session_id), RETRY_S, write_audit)


def retry_submission(submission_id: str) -> None:
    """Have a recording that was refused be looked at again.

    Raises:
        NotAllowedError: the visitor is no analyst.
        ConflictError: it is not refused any more.
        ServiceError: the database or Redis is out of reach.
    """
    visitor = require(ANALYST)
    submission = read_refused(open_redis(), submission_id)
    audit(visitor, "recording.submit", submission_id, name=submission.name, again=True)
    submit(open_redis(), msgspec.structs.replace(submission, who=visitor.name))


def dismiss_submission(submission_id: str) -> None:
    """Forget a recording that was refused, and delete it where it was uploaded.

    Raises:
        NotAllowedError: the visitor is no analyst.
        ConflictError: it is not refused any more.
        ServiceError: the database or Redis is out of reach.
    """
    visitor = require(ANALYST)
    submission = read_refused(open_redis(), submission_id)
    audit(visitor, "recording.dismiss", submission_id, name=submission.name)
    forget_submission(open_redis(), submission_id)
    if submission.is_upload:
        remove_upload(open_services().settings, Path(submission.path))


def _check_settings(fps: float | None, priority: str) -> None:
    if fps is not None and not 0 < fps <= _MAX_FPS:
        raise UsageError(f"{fps:g} frames per second cannot be analysed. Expected more than 0 and up to {_MAX_FPS}.")
    if priority not in PRIORITIES:
        raise UsageError(f"There is no priority {priority!r}. Expected {', '.join(PRIORITIES)}.")


def _read_file(session_id: str) -> store.Row:
    with read() as connection:
        return batches.list_files(connection, session_id)[0]
