"""Who may run a camera: a lease that expires, with an epoch that grows with each new holder.

The queue alone cannot promise that a camera runs once: a host that is cut off goes on running. So a run renews its
lease, stops where it cannot, and names its epoch with everything it writes; whatever comes from an older epoch is
refused. Expiry is judged by the database's clock alone, because hosts' clocks differ. Source: M. Kleppmann, "How to do
distributed locking", 2016 ("fencing tokens").
"""

import os
import socket
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.database import read_clock
from contracts.errors import LeaseLostError
from contracts.schema import leases

LEASE_S = 15.0


@dataclass(frozen=True)
class Lease:
    """The right to run a stream, for as long as nobody has a later ``epoch``."""

    stream_id: str
    epoch: int
    holder: str


def acquire_lease(
    connection: sa.Connection, stream_id: str, holder: str, lease_s: float = LEASE_S, force: bool = False
) -> Lease | None:
    """Take the lease where it is free, or in any case with ``force``; None where somebody else holds it.

    A holder that asks again while it holds the lease keeps its epoch: the answer to its first call was lost.
    """
    store.insert_new(connection, leases, [{"stream_id": stream_id, "epoch": 0, "holder": "", "expires_at": 0.0}])
    held = _read_locked(connection, stream_id)
    now_s = read_clock(connection)
    is_own = held.holder == holder and held.epoch > 0
    if held.expires_at > now_s and not is_own and not force:
        return None
    epoch = held.epoch if is_own else held.epoch + 1
    update = sa.update(leases).where(leases.c.stream_id == stream_id)
    connection.execute(update.values(epoch=epoch, holder=holder, expires_at=now_s + lease_s))
    return Lease(stream_id, epoch, holder)


def renew_lease(connection: sa.Connection, lease: Lease, lease_s: float = LEASE_S) -> None:
    """Hold the lease for another ``lease_s`` seconds, also where it expired and nobody took it.

    Raises:
        LeaseLostError: somebody else took it.
    """
    check_lease(connection, lease)
    update = sa.update(leases).where(leases.c.stream_id == lease.stream_id)
    connection.execute(update.values(expires_at=read_clock(connection) + lease_s))


def release_lease(connection: sa.Connection, lease: Lease) -> None:
    """Give the lease back, where it is still held: the next run need not wait for its end."""
    mine = sa.and_(leases.c.stream_id == lease.stream_id, leases.c.epoch == lease.epoch)
    connection.execute(sa.update(leases).where(mine).values(expires_at=0.0))


def make_holder() -> str:
    """Return a name for this process as a holder; it tells the host and the process."""
    return f"{_name_process(os.getpid())}{os.urandom(4).hex()}"


def release_dead(connection: sa.Connection, stream_id: str, pid: int) -> None:
    """Give back the lease of a stream that a process of this host held, which is known to be dead."""
    held = sa.and_(leases.c.stream_id == stream_id, leases.c.holder.startswith(_name_process(pid), autoescape=True))
    connection.execute(sa.update(leases).where(held).values(expires_at=0.0))


def _name_process(pid: int) -> str:
    return f"{socket.gethostname()}-{pid}-"


def check_lease(connection: sa.Connection, lease: Lease) -> None:
    """Check, and keep so until the transaction ends, that nobody has a later epoch.

    Raises:
        LeaseLostError: somebody has.
    """
    held = _read_locked(connection, lease.stream_id)
    if held is None or held.epoch != lease.epoch:
        raise LeaseLostError(
            f"The stream {lease.stream_id} is run by {held.holder if held else 'nobody'} now; this run, of an older "
            "epoch, ends."
        )


def list_held(connection: sa.Connection) -> dict[str, str]:
    """Return who holds the lease of which stream, of those leases that have not expired."""
    now_s = read_clock(connection)
    query = sa.select(leases.c.stream_id, leases.c.holder).where(leases.c.expires_at > now_s)
    return {row.stream_id: row.holder for row in connection.execute(query)}


def _read_locked(connection: sa.Connection, stream_id: str) -> Any:
    # SQLite has one writer at a time anyway, and ignores FOR UPDATE.
    query = sa.select(leases).where(leases.c.stream_id == stream_id).with_for_update()
    return connection.execute(query).one_or_none()
