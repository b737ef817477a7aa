"""Plan a recording for batch workers: checked to be a video, cut into parts, stored as a session, and enqueued.

The command line does it itself; what is handed in on the dashboard is planned by an ingest worker, as a job.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import redis
import sqlalchemy as sa

from contracts import batches, jobs, parts, store
from contracts.audits import record_change
from contracts.database import open_database, write_transaction
from contracts.embedded import find_database_url
from contracts.errors import EmotraceError, ServiceError
from contracts.logs import get_logger
from contracts.model_card import DEFAULT_MODEL, name_model, read_checked_card
from contracts.redis_server import connect
from contracts.settings import Settings, hide_credentials, read_settings
from contracts.submissions import (
    CHECKING,
    REFUSED,
    Submission,
    forget_submission,
    read_submission,
    remove_upload,
    store_submission,
)
from ingest.jobs import require_redis
from ingest.parts import DEFAULT_PART_S, PartPlan, find_overlap_s, plan_parts
from ingest.sources import check_file, compute_fingerprint
from ingest.windows import PROFILES
from models.detection import find_default_detector

_PROFILE = "batch"
_log = get_logger(__name__)


@dataclass(frozen=True)
class Planned:
    """A recording that was planned and enqueued."""

    session_id: str
    source: str
    plan: PartPlan


def submit_recording(
    engine: sa.Engine,
    client: redis.Redis,
    retry_s: float,
    *,
    video: Path,
    batch_id: str,
    priority: str,
    fps: float | None,
    detector: str | None = None,
    model: str | None = None,
    part_s: float = DEFAULT_PART_S,
    write_audit: Callable[[sa.Connection, str], None] | None = None,
) -> Planned:
    """Plan a recording as one of a batch, and enqueue its parts; ``fps`` None analyses every frame.

    ``write_audit`` writes who asked for it, with the new session's id, in the transaction that stores the session.

    Raises:
        SourceError: the file is not at hand, or no video that can be read.
        ModelError: the model cannot be used.
        ServiceError: Redis or the database is out of reach.
    """
    check_file(video)
    model = name_model(DEFAULT_MODEL if model is None else model)
    card, session_id, video = read_checked_card(model), store.make_uuid7(), video.resolve()
    overlap_s = find_overlap_s(fps, PROFILES[_PROFILE])
    fingerprint, plan = compute_fingerprint(video), plan_parts(video, part_s, overlap_s)
    settings = {
        "fps": fps,
        "detector": detector or find_default_detector(),
        "profile": _PROFILE,
        "model": model,
        "part_s": part_s,
        "overlap_s": overlap_s,
        "size_bytes": video.stat().st_size,
    }

    def write(connection: sa.Connection) -> None:
        store.record_model(connection, card)
        store.record_session(
            connection,
            session_id=session_id,
            url=str(video),
            name=video.name,
            model_id=card.model_id,
            fingerprint=fingerprint,
            settings=settings,
        )
        time_base_num, time_base_den = plan.facts.time_base
        store.update_session(
            connection,
            session_id,
            facts={**plan.facts.to_dict(), "whole_reason": plan.whole_reason},
            time_base_num=time_base_num,
            time_base_den=time_base_den,
            start_pts=plan.start_pts,
        )
        parts.record_parts(connection, session_id, [asdict(part) for part in plan.parts])
        batches.record_file(connection, batch_id, session_id, priority)
        if write_audit is not None:
            write_audit(connection, session_id)

    write_transaction(engine, write, retry_s)
    for part in plan.parts:
        jobs.enqueue_part(client, session_id, part.part, priority)
    return Planned(session_id, video.name, plan)


def run_submission_job(check_id: str) -> str:
    """Plan what was handed in on the dashboard, as an RQ job; return the session's id, or why it was refused.

    An upload that is no video is deleted.
    """
    settings = read_settings()
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    client = connect(require_redis(settings), settings.retry_s)
    try:
        submission = read_submission(client, check_id)
        if submission is None:
            return "dismissed"
        store_submission(client, msgspec.structs.replace(submission, state=CHECKING))

        def write_audit(connection: sa.Connection, session_id: str) -> None:
            # The audit of the submission knows no session yet.
            details = {"name": submission.name, "submission_id": check_id}
            record_change(connection, submission.who, "recording.plan", session_id, **details)

        try:
            planned = submit_recording(
                engine, client, settings.retry_s, video=Path(submission.path), batch_id=submission.batch_id,
                priority=submission.priority, fps=submission.fps, write_audit=write_audit,
            )  # fmt: skip
        except EmotraceError as error:
            return _refuse(client, settings, submission, error)
        forget_submission(client, check_id)
        return planned.session_id
    finally:
        client.close()
        engine.dispose()


def _refuse(client: redis.Redis, settings: Settings, submission: Submission, error: EmotraceError) -> str:
    path = submission.path
    message = hide_credentials(str(error).replace(str(Path(path).resolve()), submission.name))
    message = message.replace(path, submission.name)
    if submission.is_upload and not isinstance(error, ServiceError):
        with suppress(OSError):
            remove_upload(settings, Path(path))
    store_submission(client, msgspec.structs.replace(submission, state=REFUSED, message=message))
    _log.info("recording is refused", submission=submission.submission_id, reason=type(error).__name__)
    return message
