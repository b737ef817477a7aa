"""How long a visitor waits in a real browser, the server's time included.

python benchmarks/page_drawing.py [--rows 5] [--postgresql] [--runs 5]

The databases are those of ``page_speed.py``. Chromium runs on the same machine. Timed: the hour's timeline, from the
wish for the page until the chart is drawn, for a new visitor whose browser has nothing yet, neither scripts nor styles,
and for one whose browser has been here; a closer look, from the end of a drag over a sixth of the chart until the finer
points are drawn; and the wall of a hundred cameras, by a new browser too. The median of the runs; the longest in
brackets.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import redis
from measure import describe_machine
from page_speed import open_database_of, tell_states
from playwright.sync_api import Page

from contracts.database import open_database

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browsing import CHART, open_browser, wait_until_drawn
from dashboard_process import run_dashboard

# For so long the server may answer from what it has just read.
_KEPT_S = 6.0
# Changes as soon as other points are drawn.
_POINTS = "JSON.stringify([...document.querySelector('.js-plotly-plot')._fullData].map(one => one.x && one.x.length))"


def time_opening(page: Page, address: str, drawn: str) -> float:
    """Return the seconds from the wish for a page until ``drawn`` is there and nothing is drawn any more."""
    begin_s = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(drawn)
    wait_until_drawn(page)
    return time.perf_counter() - begin_s


def time_drag(page: Page) -> float:
    """Return the seconds from the end of a drag over a sixth of the chart until the finer points are drawn."""
    box = page.locator(".js-plotly-plot").last.bounding_box()
    assert box is not None
    before = page.evaluate(_POINTS)
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.65 * box["width"], box["y"] + 125, steps=8)
    page.mouse.up()
    begin_s = time.perf_counter()
    page.wait_for_function(f"before => {_POINTS} !== before", arg=before)
    return time.perf_counter() - begin_s


def measure(made: list[tuple[str, str]], runs: int) -> dict[str, list[float]]:
    names = ("first chart, new browser", "first chart, known browser", "a closer look", "wall of 100 cameras")
    told: dict[str, list[float]] = {name: [] for name in names}
    engine = open_database(os.environ["EMOTRACE_DATABASE_URL"])
    client = redis.Redis.from_url(os.environ["EMOTRACE_REDIS_URL"])
    folder, url = Path(os.environ["EMOTRACE_DATA_DIR"]), os.environ["EMOTRACE_DATABASE_URL"]
    try:
        with run_dashboard(folder, dict(os.environ), url) as address:
            for _ in range(runs + 1):
                with open_browser() as page:
                    timeline = f"{address}/?source={made[0][0]}&range=last%20hour"
                    told["first chart, new browser"].append(time_opening(page, timeline, CHART))
                    told["a closer look"].append(time_drag(page))
                    for _ in range(2):  # browsers keep compiled scripts from the second visit on
                        page.goto("about:blank")
                        time.sleep(_KEPT_S)
                        again_s = time_opening(page, timeline, CHART)
                    told["first chart, known browser"].append(again_s)
                tell_states(engine, client, made)
                with open_browser() as page:
                    told["wall of 100 cameras"].append(
                        time_opening(page, f"{address}/wall", "[data-testid=stDataFrame]")
                    )
    finally:
        engine.dispose()
        client.close()
    return {name: values[1:] for name, values in told.items()}  # at the first visit the server imports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=5, help="millions of rows")
    parser.add_argument("--postgresql", action="store_true", help="PostgreSQL in place of SQLite")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    print(describe_machine(), "PostgreSQL" if arguments.postgresql else "SQLite")
    with (
        tempfile.TemporaryDirectory(prefix="emotrace-rows-") as folder,
        open_database_of(round(arguments.rows * 1e6), Path(folder), arguments.postgresql) as made,
    ):
        print(f"{arguments.rows:g} million rows")
        for name, values in measure(made, arguments.runs).items():
            print(f"  {name:<28} {statistics.median(values):.2f} s  ({max(values):.2f})", flush=True)


if __name__ == "__main__":
    main()
