"""The RQ workers of an ingest host: a pool of processes, each of which runs one camera or one part at a time.

RQ's own worker is made for jobs that end. A camera's does not, so these hand a request to stop on to the job, and go on
where Redis is away for a while.
"""

import os
import signal
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from rq import Worker
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker_pool import WorkerPool

from contracts.database import open_database, write_transaction
from contracts.embedded import find_database_url
from contracts.errors import EmotraceError
from contracts.jobs import CAMERAS, CHECKS, PARTS, OwnJob, find_stream
from contracts.leases import release_dead
from contracts.logs import get_logger
from contracts.settings import read_settings
from contracts.stopping import end_with

_log = get_logger(__name__)


class IngestWorker(Worker):
    """Runs one job at a time in a child process, and ends with its pool."""

    # Between tries while Redis is away: a camera is to be run soon after it is back.
    max_connection_wait_time = 5.0

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until told to stop, or until the pool is gone, however it went."""
        end_with(os.getppid())
        return super().work(*args, **{**kwargs, "with_scheduler": False})

    def handle_warm_shutdown_request(self) -> None:
        """Ask the job to stop too: a camera's would never end."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        if self.horse_pid:
            with suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def handle_work_horse_killed(self, job: Job, retpid: int, ret_val: int, rusage: Any) -> None:
        """Give back the lease of a camera whose process was killed: nobody need wait for its end."""
        super().handle_work_horse_killed(job, retpid, ret_val, rusage)  # type: ignore[no-untyped-call]
        if (stream_id := find_stream(job)) is None:
            return
        try:
            _release_lease(stream_id, retpid)
        except EmotraceError as error:
            _log.warning("the lease of a killed run expires by itself", job=job.id, reason=str(error))

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Tell RQ that the job runs. A worker that cannot goes on: the job has a lease of its own."""
        try:
            super().maintain_heartbeats(job, execution)
        except redis.exceptions.RedisError as error:
            _log.warning("no heartbeat for a job", job=job.id, reason=str(error))


def _release_lease(stream_id: str, dead_pid: int) -> None:
    settings = read_settings()
    # Closed before the next fork: a child that inherits a connection to SQLite loses its locks.
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    try:
        release = partial(release_dead, stream_id=stream_id, pid=dead_pid)
        write_transaction(engine, release, settings.retry_s)
    finally:
        engine.dispose()


class IngestPool(WorkerPool):
    """So many workers for cameras, so many for parts of archives, and one for checks that somebody waits for.

    None takes another's place.
    """

    def __init__(self, client: redis.Redis, num_cameras: int, num_parts: int) -> None:
        queues = [CAMERAS, *CHECKS, *PARTS.values()]
        super().__init__(
            queues,
            connection=client,
            num_workers=num_cameras + 1 + num_parts,
            worker_class=IngestWorker,
            serializer=JSONSerializer,
            job_class=OwnJob,
        )
        # Who takes which queues, in the order in which missing ones are started.
        self._kinds = (([CAMERAS], num_cameras), (list(CHECKS), 1), (list(PARTS.values()), num_parts))
        self._known: dict[str, int] = {}  # the workers that run, by the place of their kind
        self._is_waiting = False

    def check_workers(self, respawn: bool = True) -> None:
        """Replace workers that have ended, once Redis takes what they write: until then they would end at once."""
        self.reap_workers()  # type: ignore[no-untyped-call]
        if respawn and self.number_of_active_workers < self.num_workers and self._takes_writes():
            super().check_workers(respawn)

    def _takes_writes(self) -> bool:
        try:
            self.connection.set(f"emotrace:pool:{self.name}", b"", px=1000)
        except redis.exceptions.RedisError as error:
            if not self._is_waiting:
                _log.warning("no new workers while Redis takes no writes", reason=str(error))
            self._is_waiting = True
            return False
        self._is_waiting = False
        return True

    def get_worker_process(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return a process for a worker of the first kind of which one is missing."""
        self._known = {known: kind for known, kind in self._known.items() if known in self.worker_dict}
        counts = Counter(self._known.values())
        missing = [kind for kind, (_, number) in enumerate(self._kinds) if counts[kind] < number]
        self._known[name] = missing[0] if missing else len(self._kinds) - 1
        self._queue_names = self._kinds[self._known[name]][0]
        return super().get_worker_process(name, *args, **kwargs)
