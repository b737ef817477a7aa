"""All RQ enqueueing: jobs by dotted name, with JSON arguments, because RQ's own serializer runs code that it reads.

JSON alone does not keep strangers' code out: RQ calls whatever function a job names, so workers fetch jobs as
``OwnJob``. What runs is decided elsewhere: a camera by its row in ``streams`` and its lease. The queue only hands work
out.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import redis
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from contracts.errors import UsageError
from contracts.redis_server import call_redis

CAMERAS = "cameras"
PARTS = {"high": "parts-high", "normal": "parts", "low": "parts-low"}
# Short jobs that somebody waits for: what a camera gives, whether an upload is a video. The first queue goes first.
CAMERA_TESTS, SUBMISSIONS = "camera-tests", "submissions"
CHECKS = (CAMERA_TESTS, SUBMISSIONS)
_RUN_CAMERA = "ingest.camera_run.run_camera_job"
_RUN_PART = "ingest.jobs.run_part_job"
_RUN_CHECKS = {
    CAMERA_TESTS: "ingest.camera_test.run_camera_test_job",
    SUBMISSIONS: "ingest.submissions.run_submission_job",
}
_FUNCTIONS = (_RUN_CAMERA, _RUN_PART, *_RUN_CHECKS.values())
_CHECK_S = {CAMERA_TESTS: 120, SUBMISSIONS: 3600}  # so long one may take; a large file is read twice
_FOR_EVER = -1
# A job whose worker took it off the queue and died before it said so is in no registry; so long it is given.
_TAKEN_S = 5.0
# A run that failed at once would do so again: so long it is not tried, for each try is a process.
_FAILED_S = 8.0
_RETRY_S = 5.0
_KEPT_S = 3600  # how a camera's last job ended can be looked at for so long


class OwnJob(Job):
    """A job as our workers see it: one that calls what is enqueued here, and nothing else.

    Whoever can write to Redis could else have any function of any module called with any arguments, or any address.
    """

    @property
    def func(self) -> Callable[..., Any]:
        """The function to run.

        Raises:
            UsageError: it is none of ours.
        """
        if self.func_name not in _FUNCTIONS:
            raise UsageError(f"The job {self.id} names a function that is none of emotrace's. Who writes to Redis?")
        function: Callable[..., Any] = super().func
        return function

    success_callback = failure_callback = stopped_callback = None
    webhooks = property(lambda _self: [], lambda _self, _webhooks: None)


@dataclass
class Reconciliation:
    """Streams whose jobs were enqueued, with how their jobs before ended, and those whose jobs were removed."""

    enqueued: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


class CameraJobs:
    """The queue of camera jobs: one job for each stream that is to run, named ``stream-<id>``.

    A job stands for a run and proves nothing: whether a camera runs is said by its lease.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._queue = Queue(CAMERAS, connection=client, serializer=JSONSerializer)
        self._missing_since: dict[str, float] = {}

    def reconcile(self, wanted: Iterable[str], held: Iterable[str]) -> Reconciliation:
        """Make jobs match the streams that are ``wanted``; ``held`` are those whose lease somebody holds.

        A wanted stream whose lease is free gets a job, unless one waits for a worker already. A job whose worker died
        is replaced. Runs of streams that are no longer wanted end by themselves; their jobs that wait are removed.

        Raises:
            redis.exceptions.RedisError: Redis is out of reach.
        """
        wanted, held = set(wanted), set(held)
        done = Reconciliation()
        waiting = set(self._queue.get_job_ids())
        # A run that got its lease is given time anew, should it lose it.
        lacking = {name_job(stream_id) for stream_id in wanted - held}
        self._missing_since = {job_id: since for job_id, since in self._missing_since.items() if job_id in lacking}
        for stream_id in sorted(wanted - held):
            job_id = name_job(stream_id)
            if job_id in waiting or not self._is_over(job_id):
                continue
            done.enqueued[stream_id] = self._replace(stream_id)
        for job_id in sorted(waiting - {name_job(stream_id) for stream_id in wanted}):
            self._delete(job_id)
            done.removed.append(job_id.removeprefix("stream-"))
        return done

    def count_waiting(self) -> int:
        """Return how many cameras wait for a free worker."""
        return int(self._queue.count)

    def _is_over(self, job_id: str) -> bool:
        """Return whether a job without a lease is of no more use: gone, ended, or its worker is."""
        since = self._missing_since.setdefault(job_id, time.monotonic())
        if time.monotonic() - since < _find_grace_s(self._fetch(job_id)):
            return False
        del self._missing_since[job_id]
        return True

    def _replace(self, stream_id: str) -> str:
        """Enqueue a stream's job anew and return how the one before ended."""
        job_id = name_job(stream_id)
        ending = self._delete(job_id)
        self._queue.enqueue_call(
            _RUN_CAMERA,
            kwargs={"stream_id": stream_id},
            job_id=job_id,
            timeout=_FOR_EVER,
            result_ttl=_KEPT_S,
            failure_ttl=_KEPT_S,
            ttl=None,
        )
        return ending

    def _delete(self, job_id: str) -> str:
        job = self._fetch(job_id)
        if job is None:
            return "new"
        status = job.get_status(refresh=False)
        job.delete()
        return str(status.value if isinstance(status, JobStatus) else status)

    def _fetch(self, job_id: str) -> Job | None:
        try:
            return Job.fetch(job_id, connection=self._client, serializer=JSONSerializer)
        except NoSuchJobError:
            return None


def _find_grace_s(job: Job | None) -> float:
    """Return for how long a job is left alone whose stream nobody runs."""
    status = job.get_status(refresh=False) if job is not None else None
    if status in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED):
        # It has just been taken, and its run has no lease yet; or its worker died, in a way that RQ sees much later.
        return _TAKEN_S
    if job is not None and status == JobStatus.FAILED and job.started_at and job.ended_at:
        return _FAILED_S if (job.ended_at - job.started_at).total_seconds() < _FAILED_S else 0.0
    return 0.0


def name_job(stream_id: str) -> str:
    """Return the id of a stream's job."""
    return f"stream-{stream_id}"


def find_stream(job: Job) -> str | None:
    """Return the stream that a job runs, or None where it runs no camera."""
    return str(job.kwargs["stream_id"]) if job.func_name == _RUN_CAMERA else None


def enqueue_part(client: redis.Redis, session_id: str, part: int, priority: str = "normal") -> None:
    """Have a part of a recording read by some ingest worker, unless its job waits already.

    A second job for a part that runs, or is over, does nothing: its row decides.

    Raises:
        ServiceError: Redis is out of reach.
    """

    def enqueue() -> None:
        queue = Queue(PARTS[priority], connection=client, serializer=JSONSerializer)
        job_id = name_part_job(session_id, part)
        if client.lpos(queue.key, job_id) is not None:
            return
        queue.enqueue_call(
            _RUN_PART,
            kwargs={"session_id": session_id, "part": part},
            job_id=job_id,
            timeout=_FOR_EVER,
            result_ttl=_KEPT_S,
            failure_ttl=_KEPT_S,
        )

    call_redis(enqueue, _RETRY_S)


def list_waiting_parts(client: redis.Redis) -> set[str]:
    """Return the names of the jobs of parts that wait for a free worker.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    queues = (Queue(name, connection=client, serializer=JSONSerializer) for name in PARTS.values())
    return {job_id for queue in queues for job_id in queue.get_job_ids()}


def cancel_part(client: redis.Redis, session_id: str, part: int) -> None:
    """Take a part's job out of its queue, where it waits; one that runs sees by its row that it was cancelled.

    Raises:
        ServiceError: Redis is out of reach.
    """

    def cancel() -> None:
        for name in PARTS.values():
            Queue(name, connection=client, serializer=JSONSerializer).remove(name_part_job(session_id, part))

    call_redis(cancel, _RETRY_S)


def name_part_job(session_id: str, part: int) -> str:
    """Return the id of a part's job."""
    return f"part-{session_id}-{part}"


def enqueue_check(client: redis.Redis, queue: str, check_id: str) -> None:
    """Have some ingest worker do a check of one of ``CHECKS``; what it is about is stored under its id.

    Raises:
        ServiceError: Redis is out of reach.
    """

    def enqueue() -> None:
        Queue(queue, connection=client, serializer=JSONSerializer).enqueue_call(
            _RUN_CHECKS[queue],
            kwargs={"check_id": check_id},
            job_id=f"{queue}-{check_id}",
            timeout=_CHECK_S[queue],
            result_ttl=0,
            failure_ttl=_KEPT_S,
        )

    call_redis(enqueue, _RETRY_S)


def is_check_over(client: redis.Redis, queue: str, check_id: str) -> bool:
    """Return whether no worker does a check, or will: it is done, or its process died.

    Raises:
        ServiceError: Redis is out of reach.
    """

    def fetch() -> bool:
        try:
            job = Job.fetch(f"{queue}-{check_id}", connection=client, serializer=JSONSerializer)
        except NoSuchJobError:
            return True
        return job.get_status(refresh=False) in (JobStatus.FAILED, JobStatus.FINISHED, JobStatus.STOPPED)

    return call_redis(fetch, _RETRY_S)


def count_check_workers(client: redis.Redis) -> int:
    """Return how many ingest workers do checks.

    Raises:
        ServiceError: Redis is out of reach.
    """
    return call_redis(lambda: Worker.count(queue=Queue(CHECKS[0], connection=client)), _RETRY_S)
