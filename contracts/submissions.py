"""Recordings handed in on the dashboard, from then on until their session is planned, or they are refused.

An ingest worker looks at each: the dashboard itself opens no video. Kept in Redis; a session is in the database.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec
import redis

from contracts import jobs
from contracts.errors import ConflictError
from contracts.redis_server import call_redis
from contracts.settings import Settings

WAITING, CHECKING, REFUSED = "waiting", "checking", "refused"
_KEPT_S = 7 * 86_400
_MAX_LISTED = 500
_NEW_S = 5.0  # its check may not be enqueued yet
_RETRY_S = 5.0
_INDEX = "emotrace:submissions"
VIDEO_NAMES = "mp4 m4v mov mkv webm avi ts mts m2ts mpg mpeg flv wmv asf 3gp mxf ogv dav h264 hevc"
GB = 1_000_000_000
VIDEO_SUFFIXES = frozenset(f".{name}" for name in VIDEO_NAMES.split())


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recording to be analysed at ``fps`` (None: every frame), handed in by ``who``.

    ``path`` is where it lies, ``name`` what it is called; an upload's file goes with it when it is refused.
    ``message`` says why it was refused.
    """

    submission_id: str
    batch_id: str
    name: str
    path: str
    is_upload: bool
    fps: float | None
    priority: str
    who: str
    at: float
    state: str = WAITING
    message: str = ""


def submit(client: redis.Redis, submission: Submission) -> None:
    """Store a submission, and have an ingest worker look at it; to be called again for one that was refused.

    Raises:
        ServiceError: Redis is out of reach.
    """
    store_submission(client, msgspec.structs.replace(submission, state=WAITING, message="", at=time.time()))
    jobs.enqueue_check(client, jobs.SUBMISSIONS, submission.submission_id)


def store_submission(client: redis.Redis, submission: Submission) -> None:
    """Store what is known of a submission.

    Raises:
        ServiceError: Redis is out of reach.
    """

    def write() -> None:
        with client.pipeline() as pipeline:
            pipeline.set(_name_key(submission.submission_id), msgspec.json.encode(submission), ex=_KEPT_S)
            pipeline.zadd(_INDEX, {submission.submission_id: submission.at})
            pipeline.zremrangebyscore(_INDEX, 0, time.time() - _KEPT_S)
            pipeline.execute()

    call_redis(write, _RETRY_S)


def read_submission(client: redis.Redis, submission_id: str) -> Submission | None:
    """Return a submission; None where it is planned, dismissed or too old.

    Raises:
        ServiceError: Redis is out of reach.
    """
    content = call_redis(lambda: client.get(_name_key(submission_id)), _RETRY_S)
    return next(_decode([cast("bytes | None", content)]), None)


def read_refused(client: redis.Redis, submission_id: str) -> Submission:
    """Return a submission that was refused, or whose check died.

    Raises:
        ConflictError: it is being looked at, planned, or dismissed.
        ServiceError: Redis is out of reach.
    """
    submission = read_submission(client, submission_id)
    told = None if submission is None else _explain(client, submission)
    if told is None or told.state != REFUSED:
        raise ConflictError(
            "The recording is not among those refused any more: somebody tried it again or dismissed it."
        )
    return told


def list_submissions(client: redis.Redis) -> list[Submission]:
    """Return the newest submissions, the last one first. One whose check died is told as refused.

    Raises:
        ServiceError: Redis is out of reach.
    """

    def read() -> list[bytes | None]:
        found = cast("list[bytes]", client.zrevrange(_INDEX, 0, _MAX_LISTED - 1))
        return cast("list[bytes | None]", client.mget([_name_key(one.decode()) for one in found])) if found else []

    told = (_explain(client, one) for one in _decode(call_redis(read, _RETRY_S)))
    return [one for one in told if one is not None]


def forget_submission(client: redis.Redis, submission_id: str) -> None:
    """Forget a submission.

    Raises:
        ServiceError: Redis is out of reach.
    """

    def delete() -> None:
        with client.pipeline() as pipeline:
            pipeline.delete(_name_key(submission_id))
            pipeline.zrem(_INDEX, submission_id)
            pipeline.execute()

    call_redis(delete, _RETRY_S)


def find_upload_dir(settings: Settings) -> Path:
    """Return the folder that uploaded recordings go to, each into one of its own."""
    return settings.upload_dir or settings.data_dir / "uploads"


def remove_upload(settings: Settings, path: Path) -> None:
    """Delete an uploaded recording with its folder; a path that is none of an upload is left alone."""
    root = find_upload_dir(settings).resolve()
    if path.resolve().parent.parent == root:
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


def _name_key(submission_id: str) -> str:
    return f"emotrace:submission:{submission_id}"


def _decode(contents: list[bytes | None]) -> Iterator[Submission]:
    for content in contents:
        if content is not None:
            try:
                yield msgspec.json.decode(content, type=Submission)
            except msgspec.MsgspecError:
                continue  # another release's


def _explain(client: redis.Redis, submission: Submission) -> Submission | None:
    """Return a submission, as refused where its check ended without an answer; None where it was planned meanwhile."""
    is_new = time.time() - submission.at < _NEW_S
    over = submission.state != REFUSED and jobs.is_check_over(client, jobs.SUBMISSIONS, submission.submission_id)
    if is_new or not over:
        return submission
    now = read_submission(client, submission.submission_id)
    if now is None or now.state == REFUSED:
        return now
    message = "Its check ended without an answer: the ingest worker was stopped, or the file ends whoever reads it."
    return msgspec.structs.replace(submission, state=REFUSED, message=message)
