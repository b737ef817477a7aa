"""Open, migrate and use a database, SQLite or PostgreSQL, with bounded retries while it is away."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from contracts.errors import RowsRefusedError, ServiceAwayError, ServiceError
from contracts.settings import hide_credentials

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS = 5_000
# A server that vanishes without a word (power, network) would else be waited for until the kernel gives up, in hours.
_POSTGRESQL_LIMITS = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
# A host that is cut off in the middle of a transaction would keep its locks until the server's kernel gives up, in
# hours, and its cameras' leases are among them. So the server ends what stands still for this long, before they expire.
_POSTGRESQL_STANDSTILL_MS = 10_000
_READ_ONLY = "emotrace_read_only"
_R = TypeVar("_R")


def open_database(url: str) -> sa.Engine:
    """Return an engine for ``sqlite:///PATH`` or ``postgresql://USER:PASSWORD@HOST/NAME``; nothing connects yet.

    Raises:
        ServiceError: the URL is malformed or names another kind of database.
    """
    try:
        parsed = sa.make_url(url)
        if "@" in (parsed.host or ""):
            # The password holds an "@", and its end would be shown as a part of the host.
            raise ValueError
    except (sa.exc.ArgumentError, ValueError):
        shown = hide_credentials(url) if "://" in url else "without a scheme"
        raise ServiceError(
            f"The database URL {shown!r} cannot be read. Expected sqlite:///PATH or "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME, special characters in them %-encoded."
        ) from None
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername == "postgresql+psycopg":
        query = {**_POSTGRESQL_LIMITS, **parsed.query}
        engine = sa.create_engine(parsed.set(query=query), pool_pre_ping=True, pool_size=2)
        sa.event.listen(engine, "begin", _begin_postgresql)
        return engine
    if parsed.drivername != "sqlite":
        raise ServiceError(f"The database kind {parsed.drivername!r} is not supported. Use SQLite or PostgreSQL.")
    engine = sa.create_engine(parsed)
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another one writes, whatever the timeout.
    read_only = connection.get_execution_options().get(_READ_ONLY)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _begin_postgresql(connection: sa.Connection) -> None:
    # Reading locks no rows, and may go slowly from one page to the next.
    if not connection.get_execution_options().get(_READ_ONLY):
        connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = {_POSTGRESQL_STANDSTILL_MS}")


@contextmanager
def read_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a transaction that only reads; it never waits for a writer.

    Raises:
        ServiceError: the database is out of reach.
    """
    try:
        with engine.connect().execution_options(**{_READ_ONLY: True}) as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise _explain(engine, error) from None


def write_transaction(engine: sa.Engine, write: Callable[[sa.Connection], _R], retry_s: float) -> _R:
    """Run ``write`` in a transaction and commit; repeat the whole of it while the database is away or busy.

    ``write`` may run several times, so it must be keyed: what it inserts twice must end up there once.

    Raises:
        RowsRefusedError: the database refused the rows, which break a rule of its tables.
        ServiceAwayError: it stayed out of reach or busy for ``retry_s`` seconds.
        ServiceError: it refused the statement.
    """
    deadline = time.monotonic() + retry_s
    pause_s = 0.05
    while True:
        try:
            with engine.begin() as connection:
                return write(connection)
        except (IntegrityError, DataError) as error:
            raise RowsRefusedError(f"The database refused rows: {_read_first_line(error)}.") from None
        except OverflowError as error:  # SQLite's way of refusing a number
            raise RowsRefusedError(f"The database refused rows: {error}.") from None
        except DBAPIError as error:
            if not _may_pass(error) or time.monotonic() + pause_s > deadline:
                raise _explain(engine, error) from None
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)


def read_clock(connection: sa.Connection) -> float:
    """Return the database's time in seconds since 1970: what hosts compare must not depend on their own clocks."""
    if connection.dialect.name == "postgresql":
        clock: sa.ColumnElement[Any] = sa.extract("epoch", sa.func.clock_timestamp())
    else:
        clock = (sa.func.julianday("now") - 2_440_587.5) * 86_400
    return float(connection.execute(sa.select(clock)).scalar_one())


def _read_first_line(error: DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return hide_credentials(lines[0] if lines else repr(error.orig)).rstrip(".")


def _may_pass(error: DBAPIError) -> bool:
    """Return whether the same call may succeed a little later."""
    return isinstance(error, OperationalError) or error.connection_invalidated


def _explain(engine: sa.Engine, error: DBAPIError) -> ServiceError:
    kind = ServiceAwayError if _may_pass(error) else ServiceError
    where = hide_credentials(engine.url.set(query={}).render_as_string(hide_password=True))
    return kind(
        f"The database {where} failed: {_read_first_line(error)}. Check that it runs, that the disk has room and that "
        "the user may write; what was committed is kept."
    )


def migrate(engine: sa.Engine) -> tuple[str | None, str]:
    """Bring the schema up to date and return the revisions before and after.

    Raises:
        ServiceError: the database is out of reach, or was made by a newer release.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Two processes that migrate at once would both create the tables.
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(727161)"))
            before, head = _read_revisions(connection)
            if before != head:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except DBAPIError as error:
        raise _explain(engine, error) from None
    return before, head


def check_migrated(engine: sa.Engine) -> None:
    """Check that the tables are there, and are those of this release.

    Raises:
        ServiceError: they are not, or the database is out of reach.
    """
    with read_transaction(engine) as connection:
        found, head = _read_revisions(connection)
    if found is None:
        raise ServiceError("The database has no emotrace tables. Run `emotrace migrate` on it once.")
    if found != head:
        raise ServiceError(
            f"The database has the schema revision {found}; this release needs {head}. Run `emotrace migrate` on it."
        )


def _read_revisions(connection: sa.Connection) -> tuple[str | None, str]:
    """Return the database's schema revision and this release's.

    Raises:
        ServiceError: the database was made by a newer release.
    """
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(_MIGRATIONS))
    head = scripts.get_current_head()
    assert head is not None
    found = MigrationContext.configure(connection).get_current_revision()
    if found is not None and found not in {script.revision for script in scripts.walk_revisions()}:
        raise ServiceError(
            f"The database has the schema revision {found}; this release knows up to {head}. A newer emotrace made it: "
            "upgrade this one."
        )
    return found, head
