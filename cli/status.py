"""``emotrace status``: what runs, how it goes, and what is lost, with a reason for each."""

import json
import time
from dataclasses import asdict
from typing import Any

import msgspec
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.services import open_services
from contracts.ledger import NO_FACE, NOT_SAMPLED, REASON_TEXTS
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
        **{name: value for name, value in asdict(overview).items() if name not in ("streams", "lanes", "workers")},
        "workers": [asdict(worker) for worker in overview.workers],
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
        *(f"{one.stream['name']}: {one.told.message}" for one in overview.streams if one.told and one.told.message),
        *(
            f"worker {one.host} {one.pid}: {one.device} ({one.backend}), {one.lanes}, {one.crops:,} crops, "
            f"{one.crops_per_s:g} a second, heard {one.age_s:.0f} s ago" + (f"; {one.problem}" if one.problem else "")
            for one in overview.workers
        ),
        *([] if overview.workers else ["no inference worker runs"]),
        *(
            f"lane {lane.name}: {lane.num_waiting} windows wait, {lane.num_pending} of them with a worker, the oldest "
            f"for {lane.oldest_age_s:.1f} s" + (f"; {lane.num_rejected} rejected" if lane.num_rejected else "")
            for lane in overview.lanes
        ),
        "queues: " + ", ".join(f"{name} {number}" for name, number in overview.queues.items()),
        f"Redis: {used:.0f} MiB" + (f" of {limit:.0f}" if limit else ", without a limit"),
        f"database: {overview.database_bytes / 2**20:.1f} MiB, {overview.num_rows:,} rows, {overview.num_sessions} "
        "sessions" + _describe_row_rate(overview, before),
    ]
    return Group(make_stream_table(overview), Text("\n".join(lines)))


def make_stream_table(overview: Overview) -> Table:
    """Return the streams as a table."""
    table = Table(title=f"{len(overview.streams)} streams", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("stream", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("for", "frames/s", "lag", "reconnects"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("not analysed", overflow="fold")
    table.add_column("host", overflow="fold")
    for one in overview.streams:
        table.add_row(*_make_row(one, overview.at))
    return table


def _make_row(one: StreamOverview, now: float) -> list[str]:
    colour = _COLOURS.get(one.state)
    state = one.state.replace("_", " ")
    shown = f"[{colour}]{state}[/]" if colour else state
    told = one.told
    if told is None:
        return [one.stream["name"], shown, *[""] * 6]
    run_s = max(1.0, now - (told.connected_at or now))
    # Frames between the sampled ones are no loss.
    lost = {reason: number for reason, number in told.skipped.items() if reason != NOT_SAMPLED}
    lowered = f" of {told.asked_fps:g}" if told.fps != told.asked_fps else ""
    return [
        one.stream["name"],
        shown,
        _describe_time(now - told.since),
        f"{(told.analysed + told.skipped.get(NO_FACE, 0)) / run_s:.1f}{lowered}",
        f"{told.lag_s:.2f} s",
        str(sum(told.reconnects.values())),
        ", ".join(f"{REASON_TEXTS.get(reason, reason)} {number}" for reason, number in sorted(lost.items())),
        f"{told.host} {told.pid}",
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
