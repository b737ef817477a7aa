"""``emotrace status``: what runs, how it goes, and what is lost, with a reason for each."""

import json
import time
from dataclasses import asdict
from typing import Any

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cli.services import open_services
from contracts.overview import Overview, StreamOverview, read_overview

_REFRESH_S = 2.0
_COLOURS = {"live": "green", "connecting": "yellow", "stalled": "yellow", "backing_off": "yellow", "failed": "red"}


def run(watch: bool, as_json: bool, redis_url: str | None, database_url: str | None) -> None:
    """Print the state of everything once, or again and again until Ctrl-C.

    Raises:
        ServiceError: a service is out of reach.
    """
    with open_services(redis_url, database_url) as services:
        overview = read_overview(services.engine, services.client)
        if as_json:
            print(json.dumps(describe(overview), indent=2))
            return
        console = Console()
        if not watch:
            console.print(draw(overview, None))
            return
        with Live(draw(overview, None), console=console, refresh_per_second=2) as live:
            while True:
                time.sleep(_REFRESH_S)
                before, overview = overview, read_overview(services.engine, services.client)
                live.update(draw(overview, before))


def describe(overview: Overview) -> dict[str, Any]:
    """Return an overview as JSON has it."""
    return {
        **{name: value for name, value in asdict(overview).items() if name not in ("streams", "lanes")},
        "lanes": [asdict(lane) for lane in overview.lanes],
        "streams": [
            {
                "stream_id": one.stream["stream_id"],
                "name": one.stream["name"],
                "url": one.stream["url"],
                "enabled": one.stream["enabled"],
                "state": one.state,
                "holder": one.holder,
                "run": msgspec.to_builtins(one.told) if one.told is not None else None,
            }
            for one in overview.streams
        ],
    }


def draw(overview: Overview, before: Overview | None) -> Group:
    """Return what people see; rates are since ``before``, else over the run."""
    used, limit = overview.redis_used_bytes / 2**20, overview.redis_max_bytes / 2**20
    lines = [
        *(
            f"lane {lane.name}: {lane.num_waiting} windows wait, {lane.num_pending} of them with a worker, the oldest "
            f"for {lane.oldest_age_s:.1f} s"
            for lane in overview.lanes
        ),
        "queues: " + ", ".join(f"{name} {number}" for name, number in overview.queues.items()),
        f"Redis: {used:.0f} MiB" + (f" of {limit:.0f}" if limit else ", without a limit"),
        f"database: {overview.database_bytes / 2**20:.1f} MiB, {overview.num_rows:,} rows, {overview.num_sessions} "
        "sessions" + _describe_row_rate(overview, before),
    ]
    return Group(make_stream_table(overview), "\n".join(lines))


def make_stream_table(overview: Overview) -> Table:
    """Return the streams as a table."""
    table = Table(title=f"{len(overview.streams)} streams", title_justify="left")
    for name, justify in (
        ("stream", "left"),
        ("state", "left"),
        ("for", "right"),
        ("host", "left"),
        ("reconnects", "right"),
        ("decoded/s", "right"),
        ("analysed/s", "right"),
        ("fps", "right"),
        ("lag", "right"),
        ("skipped", "left"),
        ("message", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for one in overview.streams:
        table.add_row(*_make_row(one, overview.at))
    return table


def _make_row(one: StreamOverview, now: float) -> list[str]:
    colour = _COLOURS.get(one.state)
    state = f"[{colour}]{one.state}[/]" if colour else one.state
    told = one.told
    if told is None:
        return [one.stream["name"], state, *[""] * 9]
    run_s = max(1.0, now - (told.connected_at or now))
    skipped = ", ".join(f"{reason} {number}" for reason, number in sorted(told.skipped.items()))
    lowered = f"{told.fps:g} of {told.asked_fps:g}" if told.fps != told.asked_fps else f"{told.fps:g}"
    return [
        one.stream["name"],
        state,
        _describe_time(now - told.since),
        f"{told.host} {told.pid}",
        str(sum(told.reconnects.values())),
        f"{told.decoded / run_s:.1f}",
        f"{told.analysed / run_s:.1f}",
        lowered,
        f"{told.lag_s:.2f} s",
        skipped,
        escape(told.message),
    ]


def _describe_time(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _describe_row_rate(overview: Overview, before: Overview | None) -> str:
    if before is None or overview.at <= before.at:
        return ""
    return f", {(overview.num_rows - before.num_rows) / (overview.at - before.at):.1f} rows a second"
