"""Memory of the dashboard and of a browser that stays on its live pages.

python benchmarks/page_memory.py VIDEO [--minutes 10]

A clip plays as a camera through the real processes. Chromium opens the wall, the live timeline and the live view, each
in a tab of its own, and stays. Every half minute: the server's resident memory, and each tab's JavaScript heap and
number of DOM nodes after a garbage collection. Told are the medians of the third and the last fifth of the time.
"""

import argparse
import statistics
import sys
import time
import urllib.request
from pathlib import Path

import psutil
from installation import run_installation, wait_for
from measure import describe_machine
from playwright.sync_api import CDPSession, Page

from cli.children import Child
from contracts import cameras, store
from contracts.encryption import find_secret_key
from contracts.settings import read_settings
from contracts.sources import parse_source
from contracts.stream_state import LIVE, read_states

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browsing import CHART, run_chromium

_EVERY_S, _PORT = 30.0, 8598


def answers(address: str) -> bool:
    """Tell whether the dashboard is up."""
    try:
        with urllib.request.urlopen(address + "/_stcore/health", timeout=2):
            return True
    except OSError:
        return False


def open_tab(page: Page, address: str, drawn: str) -> CDPSession:
    """Open a page and wait until it is drawn; return what measures it."""
    page.set_default_timeout(120_000)
    page.goto(address)
    page.wait_for_selector(drawn)
    return page.context.new_cdp_session(page)


def measure_tab(session: CDPSession) -> tuple[float, float]:
    """Return a tab's heap in MB and its DOM nodes, without what nobody refers to any more."""
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return metrics["JSHeapUsedSize"] / 1e6, metrics["Nodes"]


def print_growth(name: str, values: list[float], unit: str) -> None:
    """Print the medians of the third and the last fifth of ``values``."""
    fifth = max(1, len(values) // 5)
    before, after = statistics.median(values[2 * fifth : 3 * fifth]), statistics.median(values[-fifth:])
    print(f"  {name:<22} {before:8.1f} -> {after:8.1f} {unit}  ({100 * (after / before - 1):+.1f} %)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    print(describe_machine())
    with run_installation(1, 1, has_postgresql=False) as one, run_chromium() as browser:
        stream_id, key = store.make_uuid7(), find_secret_key(read_settings())
        source = parse_source(str(arguments.video.resolve()))
        with one.engine.begin() as connection:
            cameras.add_stream(
                connection, key, stream_id=stream_id, name="camera", source=source, profile="live", fps=5.0,
                transport=None, enabled=True, preview=True,
            )  # fmt: skip
        server = one.children["dashboard"] = Child(["dashboard", "--port", str(_PORT)], {})
        parent = psutil.Process(server.process.pid)
        address = f"http://127.0.0.1:{_PORT}"
        wait_for(lambda: answers(address), "the dashboard", 60.0)
        ids = [stream_id]
        wait_for(lambda: any(told.state == LIVE for told in read_states(one.client, ids).values()), "the camera", 60.0)
        time.sleep(10)
        pages = {
            "wall": ("/wall", "[data-testid=stDataFrame]"),
            "live timeline": (f"/?source={stream_id}&range=live", CHART),
            "live view": (f"/live?camera={stream_id}&look=on", ".live .box .label"),
        }
        tabs = {name: open_tab(browser.new_page(), address + path, drawn) for name, (path, drawn) in pages.items()}
        told: dict[tuple[str, str], list[float]] = {}
        end_s = time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < end_s:
            family = (parent, *parent.children(recursive=True))
            resident = sum(process.memory_info().rss for process in family) / 1e6
            told.setdefault(("server", "MB"), []).append(resident)
            for name, session in tabs.items():
                heap, nodes = measure_tab(session)
                told.setdefault((f"{name}: heap", "MB"), []).append(heap)
                told.setdefault((f"{name}: nodes", ""), []).append(nodes)
            time.sleep(_EVERY_S)
        print(f"{arguments.minutes:g} minutes on live pages")
        for (name, unit), values in told.items():
            print_growth(name, values, unit)


if __name__ == "__main__":
    main()
