"""The long-running processes of an installation: what ``up``, a compose file or Kubernetes starts.

Each waits for services that are away, says so in its log and in its health, and ends in order on SIGTERM.
"""

import os
import socket

import redis
import sqlalchemy as sa

from cli.children import end_with_parent, watch_for_stop
from cli.services import Services, open_services
from contracts import metrics
from contracts.database import read_transaction
from contracts.health import serve_health
from contracts.logs import configure_logs
from contracts.overview import list_states, read_fleet
from contracts.patience import Patience
from contracts.redis_server import explain_error


def run_ingest(capacity: int, parts: int, health_port: int | None) -> None:
    """Run up to ``capacity`` cameras and ``parts`` parts of archives at a time on this host.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service refused this process.
    """
    # Read when the detector is loaded: parallelism is by processes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    configure_logs("ingest")
    import ingest.camera_run  # noqa: F401 - before the pool forks, so that its processes share the memory
    from ingest.worker import IngestPool

    end_with_parent()
    patience = Patience(is_endless=True, should_stop=lambda: False)
    readiness = Readiness(patience)
    # Health first: services may be away for longer than whoever restarts processes waits.
    with serve_health(health_port, readiness.check), open_services(None, None, patience) as services:
        readiness.services = services
        host, engine, client = socket.gethostname(), services.engine, services.client
        os.environ.update(services.environment)
        # SQLite counts a process's locks in its memory: a child that is forked while the file is open takes none of its
        # own, and whoever closes the file last deletes what that child writes.
        os.register_at_fork(before=engine.dispose)
        metrics.CAPACITY.set(capacity)
        metrics.register_cameras(lambda: [state for state in list_states(engine, client) if state.host == host])
        IngestPool(client, capacity, parts).start(logging_level="WARNING")


def run_scheduler(health_port: int | None) -> None:
    """Make camera jobs match the table of streams, and seal sessions, until told to stop.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service refused this process.
    """
    configure_logs("scheduler")
    from workers.scheduler import Scheduler

    should_stop = watch_for_stop()
    patience = Patience(is_endless=True, should_stop=should_stop)
    readiness = Readiness(patience)
    with serve_health(health_port, readiness.check), open_services(None, None, patience) as services:
        readiness.services = services
        metrics.register_fleet(lambda: read_fleet(services.engine, services.client))
        Scheduler(services.client, services.engine).run(should_stop)


class Readiness:
    """Answers whether a process is ready: its services are open, and answer."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.services: Services | None = None

    def check(self) -> bool | str:
        """Return True, or why not.

        Raises:
            ServiceError: a service does not answer.
        """
        if self.services is None:
            return self._patience.problem or "it is starting"
        try:
            self.services.client.ping()
        except redis.exceptions.RedisError as error:
            raise explain_error(error) from None
        with read_transaction(self.services.engine) as connection:
            connection.execute(sa.select(1))
        return True
