"""``emotrace up``: everything on one machine, restarted when it dies, ended by one Ctrl-C."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cli.children import Child
from cli.dashboard import check_accounts
from cli.services import Services, open_services
from cli.status import make_stream_table
from cli.watching import Interrupt, catch_interrupts
from contracts.errors import EmotraceError
from contracts.overview import Overview, read_overview

_POLL_S = 0.5
_DRAW_S = 2.0
_STOP_TIMEOUT_S = 20.0
_MAX_PAUSE_S = 30.0
_MAX_LOG_BYTES = 10_000_000  # of each process, twice: the present file and the one before it
# Ended first, so that what they hand over last is still worked on.
MAKE_WORK = ("ingest", "camera")
# A part that ran for so long begins again with the shortest pause.
_GOOD_S = 60.0


@dataclass
class Part:
    """One process of the installation, started anew when it ends; ``what`` says what happened last."""

    name: str
    arguments: list[str]
    child: Child | None = None
    started_s: float = 0.0
    next_start_s: float = 0.0
    num_restarts: int = 0
    pause_s: float = 1.0
    what: str = "starting"
    log: Path = field(default_factory=Path)

    def check(self, services: Services) -> bool:
        """Start the process where it does not run; return whether something changed."""
        now_s = time.monotonic()
        if self.child is None:
            if now_s < self.next_start_s:
                return False
            self.child = Child(self.arguments, services.environment, log=self.log)
            self.started_s, self.what = now_s, "running"
            return True
        if self.child.poll() is None:
            self.child.shorten_log(_MAX_LOG_BYTES)
            return False
        error = self.child.make_error(self.name)
        self.pause_s = 1.0 if now_s - self.started_s > _GOOD_S else min(2 * self.pause_s, _MAX_PAUSE_S)
        self.child, self.next_start_s = None, now_s + self.pause_s
        self.num_restarts += 1
        self.what = f"ended, starts again in {self.pause_s:g} s: {error}"
        return True


def run(
    capacity: int,
    workers: int,
    parts: int,
    dashboard: tuple[str, int] | None,
    redis_url: str | None,
    database_url: str | None,
) -> int:
    """Run everything until Ctrl-C or SIGTERM; return the exit code. ``dashboard`` is its address and port, if any.

    Raises:
        UsageError, ServiceError: the settings are wrong, or a service cannot be used.
    """
    with open_services(redis_url, database_url) as services, catch_interrupts() as interrupt:
        if dashboard is not None:
            check_accounts(services.engine, dashboard[0])
        known = [
            Part("scheduler", ["scheduler"]),
            *(Part(f"inference {number}", ["inference"]) for number in range(1, workers + 1)),
            Part("ingest", ["ingest", "--capacity", str(capacity), "--parts", str(parts)]),
        ]
        if dashboard is not None:
            host, port = dashboard
            known.insert(0, Part("dashboard", ["dashboard", "--host", host, "--port", str(port)]))
        run_parts(known, services, interrupt, "emotrace up")
    return 0


def run_parts(known: list[Part], services: Services, interrupt: Interrupt, title: str) -> None:
    """Run processes, started anew when they end, until ``interrupt``; then end them in order."""
    logs = services.settings.data_dir / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for part in known:
        part.log = logs / f"{part.name.replace(' ', '-')}.log"
    try:
        _watch(known, services, interrupt, title)
    finally:
        _stop(known)


def _watch(known: list[Part], services: Services, interrupt: Interrupt, title: str) -> None:
    console = Console(stderr=True)
    next_draw_s = 0.0
    with _show(console) as live:
        while not interrupt.is_asked:
            for part in known:
                if part.check(services) and live is None:
                    console.print(f"{part.name}: {part.what}", markup=False, highlight=False, soft_wrap=True)
            if live is not None and time.monotonic() >= next_draw_s:
                next_draw_s = time.monotonic() + _DRAW_S
                live.update(_draw(known, services, title))
            time.sleep(_POLL_S)


@contextmanager
def _show(console: Console) -> Iterator[Live | None]:
    """Have a table at hand that is drawn again and again, where somebody looks."""
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, refresh_per_second=2, screen=False) as live:
        yield live


def _draw(known: list[Part], services: Services, title: str) -> Table:
    whole = Table.grid(padding=(1, 0))
    table = Table(title=f"{title} — Ctrl-C ends it in order", title_justify="left")
    for name in ("part", "process", "for", "starts", "state"):
        table.add_column(name)
    for part in known:
        runs = part.child is not None
        table.add_row(
            part.name,
            str(part.child.process.pid) if part.child is not None else "",
            f"{time.monotonic() - part.started_s:.0f} s" if runs else "",
            str(part.num_restarts + 1),
            escape(part.what),
        )
    whole.add_row(table)
    try:
        overview: Overview = read_overview(services.engine, services.client)
        whole.add_row(make_stream_table(overview))
    except EmotraceError as error:
        whole.add_row(escape(str(error)))
    return whole


def _stop(known: list[Part]) -> None:
    """End all parts: those that make work first, then those that do it."""
    for part in reversed(known):
        if part.child is not None:
            part.child.ask_to_stop()
            if part.name in MAKE_WORK:
                part.child.stop(_STOP_TIMEOUT_S)
    for part in known:
        if part.child is not None:
            part.child.stop(_STOP_TIMEOUT_S)


def find_capacity() -> int:
    """Return how many cameras this machine takes unless told otherwise: eight a core."""
    return 8 * (os.cpu_count() or 1)
