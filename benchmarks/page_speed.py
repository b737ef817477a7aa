"""How long a visitor of the dashboard waits, by the size of the database.

python benchmarks/page_speed.py [--rows 1,5,50] [--postgresql] [--runs 5]

For each number of rows (in millions) a seeded database is made (``dashboard_rows.py``). Timed are whole page runs, from
a visitor's wish to everything that the browser is sent, with nothing cached: the first chart of the camera with the
longest session (an hour, three faces at a time), a closer look at five minutes of it, a day of all its faces, the
summary of the hour, and the wall of a hundred cameras. The median of the runs; the longest in brackets.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa
import streamlit as st
from dashboard_rows import FPS, NUM_FACES, fill_database
from installation import run_postgresql
from measure import describe_machine

from contracts import leases
from contracts.database import migrate, open_database
from contracts.embedded import run_valkey
from contracts.stream_state import LIVE, StreamState, publish_state

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from dashboard_pages import APP
from streamlit.testing.v1 import AppTest


@contextmanager
def open_database_of(num_rows: int, folder: Path, has_postgresql: bool) -> Iterator[list[tuple[str, str]]]:
    """Make a database and a Redis, name them in the environment, and yield (stream, session) of each camera."""
    with ExitStack() as stack:
        os.environ["EMOTRACE_DATA_DIR"] = str(folder)
        url = stack.enter_context(run_postgresql()) if has_postgresql else f"sqlite:///{folder}/rows.db"
        os.environ["EMOTRACE_DATABASE_URL"] = url
        os.environ["EMOTRACE_REDIS_URL"] = stack.enter_context(run_valkey(folder))
        engine = open_database(url)
        stack.callback(engine.dispose)
        migrate(engine)
        made = fill_database(engine, num_rows)
        client = redis.Redis.from_url(os.environ["EMOTRACE_REDIS_URL"])
        stack.callback(client.close)
        tell_states(engine, client, made)
        yield made


def tell_states(engine: sa.Engine, client: redis.Redis, made: list[tuple[str, str]]) -> None:
    """Have all cameras look as if they ran: the wall shows them live for as long as this is repeated."""
    now = time.time()
    with engine.begin() as connection:
        for stream_id, _ in made:
            leases.acquire_lease(connection, stream_id, "benchmark", 3600.0)
    for number, (stream_id, session_id) in enumerate(made):
        state = StreamState(
            stream_id=stream_id, name=f"camera {number + 1:03}", state=LIVE, since=now - 60, at=now, host="host",
            pid=1, epoch=1, session_id=session_id, asked_fps=FPS, fps=FPS, num_tracks=NUM_FACES, decoded=1000,
        )  # fmt: skip
        publish_state(client, state)


def time_page(page: str | None, runs: int, prepare: Callable[[], None], **parameters: str) -> list[float]:
    """Return the seconds of whole runs of a page for a new visitor, nothing of it cached but the connections."""
    seconds = []
    for _ in range(runs + 1):
        app = AppTest.from_file(str(APP), default_timeout=600)
        if page is not None:
            app.run()
            app.switch_page(f"views/{page}.py")
        for name, value in parameters.items():
            app.query_params[name] = value
        st.cache_data.clear()
        prepare()
        begin_s = time.perf_counter()
        app.run()
        seconds.append(time.perf_counter() - begin_s)
        assert not app.exception and not app.error, (app.exception, app.error)
    return seconds[1:]  # the first one imports


def measure_pages(made: list[tuple[str, str]], runs: int) -> dict[str, list[float]]:
    """Return the seconds of each page's runs."""
    stream_id = made[0][0]
    engine = open_database(os.environ["EMOTRACE_DATABASE_URL"])
    client = redis.Redis.from_url(os.environ["EMOTRACE_REDIS_URL"])

    def custom(span_s: float) -> dict[str, str]:
        now = time.time()
        return {"range": "custom", "from": f"{now - span_s:.0f}", "to": f"{now:.0f}"}

    def nothing() -> None:
        """The timeline needs no states."""

    try:
        return {
            "first chart of an hour": time_page(None, runs, nothing, source=stream_id, range="last hour"),
            "five minutes of it": time_page(None, runs, nothing, source=stream_id, **custom(300)),
            "a day": time_page(None, runs, nothing, source=stream_id, range="last day"),
            "summary of an hour": time_page("summary", runs, nothing, source=stream_id, range="last hour"),
            "wall of 100 cameras": time_page("wall", runs, lambda: tell_states(engine, client, made)),
        }
    finally:
        engine.dispose()
        client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="1,5", help="millions of rows, with commas")
    parser.add_argument("--postgresql", action="store_true", help="PostgreSQL in place of SQLite")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the seconds to a file too")
    arguments = parser.parse_args()
    print(describe_machine(), "PostgreSQL" if arguments.postgresql else "SQLite")
    told: dict[str, Any] = {}
    for millions in map(float, arguments.rows.split(",")):
        with tempfile.TemporaryDirectory(prefix="emotrace-rows-") as folder:
            begin_s = time.monotonic()
            with open_database_of(round(millions * 1e6), Path(folder), arguments.postgresql) as made:
                print(f"\n{millions:g} million rows, made in {time.monotonic() - begin_s:.0f} s", flush=True)
                st.cache_resource.clear()
                seconds = told[f"{millions:g}"] = measure_pages(made, arguments.runs)
                for name, values in seconds.items():
                    print(f"  {name:<24} {statistics.median(values):.2f} s  ({max(values):.2f})", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
