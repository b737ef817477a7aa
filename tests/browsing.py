"""A real browser that looks at the dashboard: Debian's Chromium, through playwright."""

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeoutError

_CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="Chromium is not at hand")
CHART = ".js-plotly-plot .main-svg"


@contextmanager
def run_chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@contextmanager
def open_browser() -> Iterator[Page]:
    """An empty page, with the patience that a busy machine needs."""
    with run_chromium() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(90_000)
        yield page


def keep_picture(page: Page, name: str) -> None:
    """Where ``EMOTRACE_SHOTS`` names a folder, keep there what the page looks like."""
    if folder := os.environ.get("EMOTRACE_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def wait_until_drawn(page: Page) -> None:
    """Wait until nothing on the page is left from before it was drawn anew."""
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


def download(page: Page, label: str) -> Path:
    """Press a button until its file comes: one that is pressed while the page is drawn anew gives none."""
    for _ in range(5):
        # A button that is being drawn anew still asks for what stood there before.
        wait_until_drawn(page)
        try:
            with page.expect_download(timeout=15_000) as expected:
                page.get_by_role("button", name=label).click()
            return Path(expected.value.path())
        except PageTimeoutError:
            continue
    raise AssertionError(f"{label} gives no file")


def read_download(page: Page, label: str) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(download(page, label).read_bytes()))
