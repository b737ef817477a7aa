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
from contracts.errors import ServiceError
from contracts.health import Check, serve_health
from contracts.logs import configure_logs
from contracts.overview import list_states, read_fleet
from contracts.patience import Patience


def run_ingest(capacity: int, parts: int, health_port: int | None) -> None:
    """Run up to ``capacity`` cameras and ``parts`` parts of archives at a time on this host.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service refused this process.
    """
    # Read when the detector is loaded: parallelism is by processes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    configure_logs("ingest")
    import ingest.jobs  # noqa: F401 - before the pool forks, so that its processes share the memory
    from ingest.worker import IngestPool

    end_with_parent()
    with open_services(None, None, Patience(is_endless=True, should_stop=lambda: False)) as services:
        host, engine, client = socket.gethostname(), services.engine, services.client
        os.environ.update(services.environment)
        metrics.CAPACITY.set(capacity)
        metrics.register_cameras(lambda: [state for state in list_states(engine, client) if state.host == host])
        with serve_health(health_port, make_check(services)):
            IngestPool(client, capacity, parts).start(logging_level="WARNING")


def run_scheduler(health_port: int | None) -> None:
    """Make camera jobs match the table of streams, and seal sessions, until told to stop.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service refused this process.
    """
    configure_logs("scheduler")
    from workers.scheduler import Scheduler

    should_stop = watch_for_stop()
    with open_services(None, None, Patience(is_endless=True, should_stop=should_stop)) as services:
        metrics.register_fleet(lambda: read_fleet(services.engine, services.client))
        with serve_health(health_port, make_check(services)):
            Scheduler(services.client, services.engine).run(should_stop)


def make_check(services: Services) -> Check:
    """Return a check that a process is ready: its services answer."""

    def check() -> bool:
        try:
            services.client.ping()
        except redis.exceptions.RedisError as error:
            raise ServiceError(f"Redis is out of reach ({error}). Check that the server runs.") from None
        with read_transaction(services.engine) as connection:
            connection.execute(sa.select(1))
        return True

    return check
