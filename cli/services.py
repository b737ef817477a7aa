"""Open the services a command needs: the configured servers, or the embedded ones."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import redis
import sqlalchemy as sa

from contracts.database import check_migrated, migrate, open_database
from contracts.embedded import find_database_url, run_valkey
from contracts.settings import Settings, read_settings
from contracts.stream import connect


@dataclass(frozen=True)
class Services:
    """What a run works with; ``environment`` hands the same services to child processes, URLs not on command lines."""

    settings: Settings
    engine: sa.Engine
    client: redis.Redis
    environment: dict[str, str]


@contextmanager
def open_engine(database_url: str | None) -> Iterator[tuple[Settings, sa.Engine, str]]:
    """Open the database, its tables up to date, and yield the settings, the engine and the URL.

    Raises:
        UsageError, ServiceError: the settings are wrong, or the database cannot be used.
    """
    settings = read_settings()
    url = database_url or settings.database_url or find_database_url(settings.data_dir)
    engine = open_database(url)
    try:
        if engine.dialect.name == "sqlite":
            migrate(engine)
        else:
            # A server's schema is its owner's business.
            check_migrated(engine)
        yield settings, engine, url
    finally:
        engine.dispose()


@contextmanager
def open_services(redis_url: str | None, database_url: str | None) -> Iterator[Services]:
    """Open the database and Redis, starting the embedded Valkey where no server is configured.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service cannot be used.
    """
    with ExitStack() as stack:
        settings, engine, url = stack.enter_context(open_engine(database_url))
        redis_url = redis_url or settings.redis_url or stack.enter_context(run_valkey(settings.data_dir))
        client = connect(redis_url, settings.retry_s)
        stack.callback(client.close)
        environment = {
            "EMOTRACE_DATA_DIR": str(settings.data_dir),
            "EMOTRACE_DATABASE_URL": url,
            "EMOTRACE_REDIS_URL": redis_url,
            # The URLs hold them already.
            "EMOTRACE_REDIS_PASSWORD_FILE": "",
            "EMOTRACE_DATABASE_PASSWORD_FILE": "",
        }
        yield Services(settings, engine, client, environment)
