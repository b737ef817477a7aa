"""Open the services a command needs: the configured servers, or the embedded ones."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import redis
import sqlalchemy as sa

from contracts.database import check_migrated, migrate, open_database
from contracts.embedded import find_database_url, run_valkey
from contracts.patience import Patience
from contracts.redis_server import connect
from contracts.settings import Settings, read_settings

# One try of a process that waits anyway, before it says that it does.
_TRY_S = 1.0
_IMPATIENCE = Patience(is_endless=False, should_stop=lambda: False)


@dataclass(frozen=True)
class Services:
    """What a run works with; ``environment`` hands the same services to child processes, URLs not on command lines."""

    settings: Settings
    engine: sa.Engine
    client: redis.Redis
    environment: dict[str, str]


@contextmanager
def open_engine(
    database_url: str | None, patience: Patience | None = None
) -> Iterator[tuple[Settings, sa.Engine, str]]:
    """Open the database, its tables up to date, and yield the settings, the engine and the URL.

    One that is away is waited for as ``patience`` has it.

    Raises:
        UsageError, ServiceError: the settings are wrong, or the database cannot be used.
    """
    settings = read_settings()
    url = database_url or settings.database_url or find_database_url(settings.data_dir)
    engine = open_database(url)
    try:
        # A server's schema is its owner's business.
        prepare = partial(migrate if engine.dialect.name == "sqlite" else check_migrated, engine)
        (patience or _IMPATIENCE).call("the database", prepare)
        yield settings, engine, url
    finally:
        engine.dispose()


@contextmanager
def open_redis(redis_url: str | None) -> Iterator[tuple[Settings, redis.Redis]]:
    """Connect to the configured Redis, or the embedded one, and yield the settings and the client.

    Raises:
        UsageError, ServiceError: the settings are wrong, or Redis cannot be used.
    """
    settings = read_settings()
    with ExitStack() as stack:
        url = redis_url or settings.redis_url or stack.enter_context(run_valkey(settings.data_dir))
        client = connect(url, settings.retry_s)
        stack.callback(client.close)
        yield settings, client


@contextmanager
def open_services(
    redis_url: str | None, database_url: str | None, patience: Patience | None = None
) -> Iterator[Services]:
    """Open the database and Redis, starting the embedded Valkey where no server is configured.

    A service that is away is waited for as ``patience`` has it, else for ``retry_s``.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service cannot be used.
    """
    with ExitStack() as stack:
        settings, engine, url = stack.enter_context(open_engine(database_url, patience))
        redis_url = redis_url or settings.redis_url or stack.enter_context(run_valkey(settings.data_dir))
        try_s = settings.retry_s if patience is None else _TRY_S
        client = (patience or _IMPATIENCE).call("Redis", partial(connect, redis_url, try_s))
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
