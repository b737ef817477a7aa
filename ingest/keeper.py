"""Hold a camera's lease and write what its run knows, in a thread of its own.

So a database that is slow or away never stops the reading. While the lease cannot be renewed nothing new is analysed;
when it can be again, the run goes on, unless another one has taken over.
"""

import threading
import time
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from contracts import cameras
from contracts.database import write_transaction
from contracts.errors import LeaseLostError, RowsRefusedError, ServiceError, UsageError
from contracts.leases import LEASE_S, Lease, release_lease, renew_lease

# So many renewals in the time of a lease: some may fail before the lease does.
_RENEWALS = 5
Write = Callable[[sa.Connection], None]


class RunKeeper:
    """Renews ``lease`` every few seconds, and commits with it what there is to know of the session.

    ``is_held``: the run may analyse. ``may_preview``: the stream's pictures may be looked at. ``end_reason``: why it
    must end, if so: the stream was disabled, removed or edited since its ``revision``, or, and then the lease
    ``is_lost``, another run has taken over or an ``error`` ended this thread. ``is_away``: the database is.
    """

    def __init__(
        self,
        engine: sa.Engine,
        lease: Lease,
        revision: int,
        lease_s: float = LEASE_S,
    ) -> None:
        self._engine, self._lease, self._revision = engine, lease, revision
        self._lease_s, self._renew_s = lease_s, lease_s / _RENEWALS
        self._held_until_s = time.monotonic() + lease_s
        self._writes: list[Write] = []
        self._collect: Callable[[], Write] | None = None
        self._changed = threading.Condition()
        self._is_closing = False
        self.is_lost = False
        self.end_reason: str | None = None
        self.error: Exception | None = None
        self.is_away = False
        self.may_preview = False
        self.message = ""
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    @property
    def is_held(self) -> bool:
        """Whether the lease is held for certain at this moment."""
        return not self.is_lost and time.monotonic() < self._held_until_s

    def begin_session(self, write: Write, collect: Callable[[], Write]) -> None:
        """Have ``write`` committed at once, and from then on, every few seconds, what ``collect`` gives.

        All writes are committed in order, and may run several times, so they must be keyed.
        """
        with self._changed:
            self._writes.append(write)
            self._collect = collect
            self._changed.notify_all()

    def end_session(self, *writes: Write) -> None:
        """Have a session's last ``writes`` committed."""
        with self._changed:
            self._writes += writes
            self._collect = None
            self._changed.notify_all()

    def wait_until_written(self, timeout_s: float) -> bool:
        """Wait until everything added so far is committed; return whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._writes or self.is_lost, timeout_s) and not self.is_lost

    def close(self, timeout_s: float) -> bool:
        """Write what is left, give the lease back and end; return whether everything was written.

        A database that answers nothing at all holds the thread for ever: it is left behind then, and the lease expires.
        """
        is_written = self.wait_until_written(timeout_s)
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        if not self.is_lost and is_written and not self._thread.is_alive():
            try:
                write_transaction(self._engine, partial(release_lease, lease=self._lease), retry_s=1.0)
            except ServiceError:
                return is_written  # it expires
        return is_written

    def _run(self) -> None:
        while not self._is_closing and not self.is_lost:
            self._keep()
            with self._changed:
                self._changed.wait_for(
                    lambda: self._is_closing or (bool(self._writes) and not self.is_away), self._renew_s
                )

    def _keep(self) -> None:
        """Renew the lease and write, in one transaction."""
        with self._changed:
            # While the database is away the session's own rows grow, and not the number of writes.
            if self._collect is not None and not self.is_away:
                self._writes.append(self._collect())
            writes = list(self._writes)
        begin_s = time.monotonic()
        try:
            end_reason = write_transaction(self._engine, partial(self._write, writes=writes), retry_s=0.0)
        except LeaseLostError as error:
            self._lose("taken_over", error)
        except RowsRefusedError as error:
            self._fail(error)
        except ServiceError as error:
            self.is_away, self.message = True, str(error)
        except Exception as error:
            # A run whose keeper has died would go on for ever, without a lease and without a word.
            self._fail(error)
        else:
            # Counted from before the call: the answer may have taken long.
            self._held_until_s = begin_s + self._lease_s
            with self._changed:
                self.is_away, self.message = False, ""
                self.end_reason = end_reason
                del self._writes[: len(writes)]
                self._changed.notify_all()

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._lose("failed", error)

    def _lose(self, end_reason: str, error: Exception) -> None:
        with self._changed:
            self.is_lost, self.end_reason = True, end_reason
            self.message = str(error)
            self._changed.notify_all()

    def _write(self, connection: sa.Connection, writes: list[Write]) -> str | None:
        """Write everything and return why the run is to end, if it is."""
        renew_lease(connection, self._lease, self._lease_s)
        for write in writes:
            write(connection)
        try:
            stream = cameras.read_stream(connection, self._lease.stream_id)
        except UsageError:
            return "removed"
        self.may_preview = bool(stream["preview"])
        if not stream["enabled"]:
            return "disabled"
        return "edited" if stream["revision"] != self._revision else None
