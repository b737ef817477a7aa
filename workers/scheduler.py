"""Make what runs match what is wanted: camera jobs by the table of streams, and sessions sealed when they are done.

Several schedulers may run; one of them works, the others wait for its place.
"""

import os
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
import sqlalchemy as sa

from contracts import camera_sessions, cameras, history, jobs, leases, metrics, part_sessions, parts, sealing, store
from contracts.database import read_transaction, write_transaction
from contracts.errors import RowsRefusedError, ServiceError
from contracts.jobs import CameraJobs
from contracts.lanes import BATCH, LIVE, name_lane
from contracts.logs import get_logger
from contracts.overview import read_overview
from contracts.pressure import KEPT_S, read_pressure
from contracts.stream import CropStream

_TICK_S = 2.0
_PLACE_KEY, _PLACE_S = "emotrace:scheduler", 10
# What waits for longer without a change, while younger entries are done, is lost.
_LOST_S = 60.0
_LOST_JOB_S = 10.0
_log = get_logger(__name__)


class Scheduler:
    """One scheduler; ``tick`` does what is to be done now."""

    def __init__(self, client: redis.Redis, engine: sa.Engine, lost_s: float = _LOST_S) -> None:
        self._client, self._engine, self._lost_s = client, engine, lost_s
        self._jobs = CameraJobs(client)
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._unchanged: dict[str, tuple[int, float]] = {}
        self._unread_since: dict[tuple[str, int], float] = {}
        self._next_sample_s = 0.0

    def run(self, should_stop: Callable[[], bool]) -> None:
        """Tick every two seconds until ``should_stop``; a service that is away is waited for."""
        trouble = ""
        while not should_stop():
            try:
                self.tick()
                found = ""
            except (redis.exceptions.RedisError, ServiceError) as error:
                found = str(error)
                # Nothing could change meanwhile, and runs hand over what they hold only when they can again.
                self._unchanged.clear()
            if found != trouble:
                _say(found)
                trouble = found
            end = time.monotonic() + _TICK_S
            while not should_stop() and time.monotonic() < end:
                time.sleep(0.1)
        self._leave()

    def tick(self) -> bool:
        """Enqueue cameras and seal sessions, where this scheduler has the place; return whether it has."""
        if not self._take_place():
            return False
        with read_transaction(self._engine) as connection:
            wanted = {row["stream_id"]: row["name"] for row in cameras.list_streams(connection, enabled=True)}
            held = leases.list_held(connection)
            running = camera_sessions.list_running_streams(connection)
        done = self._jobs.reconcile(wanted, held)
        for stream_id, ending in done.enqueued.items():
            _log.info("camera is to run", stream=wanted[stream_id], job_before=ending)
            metrics.CAMERAS_STARTED.labels(ending).inc()
        for stream_id in done.removed:
            _log.info("camera is no longer to run", stream=stream_id)
        for stream_id in running - wanted.keys() - held.keys():
            # Of the others the next run does it.
            end = partial(camera_sessions.end_abandoned_sessions, stream_id=stream_id, holder=self._name)
            write_transaction(self._engine, end, retry_s=0.0)
        self._seal_sessions()
        self._look_after_parts()
        self._sample_overview()
        metrics.RECONCILED.set_to_current_time()
        return True

    def _look_after_parts(self) -> None:
        """Enqueue parts of recordings that wait, or whose worker died; end recordings whose parts are all over."""
        with read_transaction(self._engine) as connection:
            unread = parts.list_unread_parts(connection)
            unfinished = part_sessions.list_unfinished(connection)
        now_s = time.monotonic()
        keys = {(row["session_id"], row["part"]): row["priority"] for row in unread}
        self._unread_since = {key: self._unread_since.get(key, now_s) for key in keys}
        # Its job is on the queue since it was submitted, or a worker has just taken it: this is for lost ones.
        late = [key for key, since_s in self._unread_since.items() if now_s - since_s >= _LOST_JOB_S]
        waiting = jobs.list_waiting_parts(self._client) if late else set()
        for key in late:
            if jobs.name_part_job(*key) not in waiting:
                jobs.enqueue_part(self._client, *key, keys[key])
            self._unread_since[key] = now_s
        for row in unfinished:
            stream = CropStream(self._client, name_lane(BATCH, row["model_id"]))
            part_sessions.finish_parts(self._engine, stream, row["session_id"], retry_s=0.0)

    def _sample_overview(self) -> None:
        """Keep how everything goes, for those who look later."""
        now_s = time.monotonic()
        if now_s >= self._next_sample_s:
            self._next_sample_s = now_s + history.SAMPLE_S
            history.record_sample(self._client, history.make_sample(read_overview(self._engine, self._client)))

    def _seal_sessions(self) -> None:
        with read_transaction(self._engine) as connection:
            ended = camera_sessions.list_ended(connection)
            missing = sealing.count_missing_faces(connection, [row["session_id"] for row in ended])
        now_s = time.monotonic()
        before, self._unchanged = self._unchanged, {}
        for session_id, number in missing.items():
            kept = before.get(session_id)
            self._unchanged[session_id] = kept if kept is not None and kept[0] == number else (number, now_s)
        for row in ended:
            number, since_s = self._unchanged[row["session_id"]]
            # What a run that died had published is not known: its last windows may still wait.
            is_known = number == 0 and row["end_reason"] != camera_sessions.RUN_LOST
            if not is_known and not self._is_handled(row, now_s - since_s):
                continue
            self._seal(row["session_id"])

    def _seal(self, session_id: str) -> None:
        try:
            seal = partial(sealing.seal_session, session_id=session_id)
            ledger = write_transaction(self._engine, seal, retry_s=0.0)
        except RowsRefusedError as error:
            # It would be again, and keep all others waiting.
            values: dict[str, Any] = {"status": store.INCOMPLETE, "error": str(error)}
            give_up = partial(store.update_session, session_id=session_id, **values)
            write_transaction(self._engine, give_up, retry_s=0.0)
            _log.error("session cannot be sealed", session=session_id, reason=str(error))
        else:
            _log.info("session is sealed", session=session_id, rows=ledger.rows, rejected=ledger.rejected)

    def _is_handled(self, session: store.Row, unchanged_s: float) -> bool:
        """Return whether a session that has not changed for so long has nothing to wait for any more.

        Everything that was in its lane then must have been stored, and the lane must have taken what runs still hold.
        """
        if unchanged_s < self._lost_s:
            return False
        pressure = read_pressure(self._client, name_lane(LIVE, session["model_id"]))
        # What an outage held back comes a little after we notice its end: the lane must be well beyond that.
        return not pressure.is_full and 2 * pressure.oldest_age_s + KEPT_S < unchanged_s

    def _take_place(self) -> bool:
        """Return whether this scheduler is the one that works, and keep the place for some seconds more."""
        if self._client.set(_PLACE_KEY, self._name, nx=True, ex=_PLACE_S):
            return True
        is_own = bool(self._client.get(_PLACE_KEY) == self._name.encode())
        if is_own:
            self._client.expire(_PLACE_KEY, _PLACE_S)
        return is_own

    def _leave(self) -> None:
        try:
            if self._take_place():
                self._client.delete(_PLACE_KEY)
        except redis.exceptions.RedisError:
            return  # it expires


def _say(trouble: str) -> None:
    if trouble:
        _log.warning("waiting for a service", reason=trouble)
    else:
        _log.info("all services are back")
