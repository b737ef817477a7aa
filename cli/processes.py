"""The long-running processes of an installation: what ``up``, a compose file or Kubernetes starts."""

import os

from cli.children import end_with_parent, watch_for_stop
from contracts.database import check_migrated, open_database
from contracts.embedded import find_database_url
from contracts.errors import ServiceError
from contracts.settings import Settings, read_settings
from contracts.stream import connect


def run_ingest(capacity: int, parts: int) -> None:
    """Run up to ``capacity`` cameras and ``parts`` parts of archives at a time on this host.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service cannot be used.
    """
    # Read when the detector is loaded: parallelism is by processes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings = read_settings()
    check_services(settings)
    import ingest.jobs  # noqa: F401 - before the pool forks, so that its processes share the memory
    from ingest.worker import IngestPool

    end_with_parent()
    client = connect(_require_redis(settings), settings.retry_s)
    IngestPool(client, capacity, parts).start(logging_level="WARNING")


def run_scheduler() -> None:
    """Make camera jobs match the table of streams, and seal sessions, until told to stop.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service cannot be used.
    """
    from workers.scheduler import Scheduler

    settings = read_settings()
    check_services(settings)
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    client = connect(_require_redis(settings), settings.retry_s)
    try:
        Scheduler(client, engine).run(watch_for_stop())
    finally:
        client.close()
        engine.dispose()


def check_services(settings: Settings) -> None:
    """Check that the database has this release's tables and that a Redis is named.

    Raises:
        ServiceError: it is not so.
    """
    _require_redis(settings)
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    try:
        check_migrated(engine)
    finally:
        engine.dispose()


def _require_redis(settings: Settings) -> str:
    if settings.redis_url is None:
        raise ServiceError(
            "No Redis is configured for this process. Set EMOTRACE_REDIS_URL, or run everything with: emotrace up"
        )
    return settings.redis_url
