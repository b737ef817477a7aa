"""The state of everything that runs, as tables: from one overview of the database and Redis."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from contracts.ledger import NO_FACE, NOT_SAMPLED
from contracts.overview import Overview, StreamOverview
from contracts.stream_state import BACKING_OFF, CONNECTING, DISABLED, FAILED, LIVE, STALLED
from dashboard.texts import tell_state, to_line

# A sign beside each word, so that states are told apart without colour too.
SIGNS = {LIVE: "●", CONNECTING: "◌", STALLED: "▲", BACKING_OFF: "▲", FAILED: "■", DISABLED: "○", "silent": "▲"}
TROUBLE = (STALLED, BACKING_OFF, FAILED, "silent")
_WALL_COLUMNS = [
    "stream_id", "name", "state", "shown", "for_s", "emotion", "valences", "faces", "fps", "asked_fps", "reconnects",
    "skipped", "lag_s", "host", "live", "message",
]  # fmt: skip


class Recent(NamedTuple):
    """What a camera saw in the last minutes: valence over time, and now the leading emotion and faces a second."""

    valences: tuple[float, ...]
    label: str
    confidence: float


def make_wall(overview: Overview, recent: Mapping[str, Recent]) -> pd.DataFrame:
    """Return one row a camera, those in trouble first."""
    rows = [_make_row(one, recent, overview.at) for one in overview.streams]
    wall = pd.DataFrame(rows, columns=_WALL_COLUMNS)
    urgency = wall["state"].map(lambda state: 0 if state in TROUBLE else 2 if state == DISABLED else 1)
    return wall.assign(urgency=urgency).sort_values(["urgency", "name"], ignore_index=True).drop(columns="urgency")


def _make_row(one: StreamOverview, recent: Mapping[str, Recent], now: float) -> dict[str, Any]:
    told = one.told
    row = {
        "stream_id": one.stream["stream_id"],
        "name": to_line(one.stream["name"]),
        "state": one.state,
        "shown": f"{SIGNS.get(one.state, '◌')} {tell_state(one.state)}",
        "emotion": "",
        "message": "",
        "host": "",
        "live": f"/live?camera={one.stream['stream_id']}&look=on" if one.stream["preview"] else None,
    }
    if told is None:
        return row
    seen = recent.get(told.session_id or "")
    lost = sum(number for reason, number in told.skipped.items() if reason not in (NOT_SAMPLED, NO_FACE))
    return {
        **row,
        "for_s": max(0.0, now - told.since),
        "emotion": f"{seen.label} {seen.confidence:.0%}" if seen and seen.label and told.state == LIVE else "",
        "valences": list(seen.valences) if seen else [],
        "faces": told.num_tracks,
        "fps": told.fps,
        "asked_fps": told.asked_fps,
        "reconnects": sum(told.reconnects.values()),
        "skipped": (lost + told.undecodable) / max(1, told.decoded + told.undecodable),
        "lag_s": told.lag_s,
        "host": to_line(told.host),
        "message": to_line(told.message, 200),
    }


def make_lanes(overview: Overview) -> pd.DataFrame:
    """Return the lanes of crop sequences: how many wait, since when, and how many were rejected."""
    rows = [
        {
            "lane": lane.name, "model": lane.model_id, "waiting": lane.num_waiting, "with a worker": lane.num_pending,
            "oldest (s)": lane.oldest_age_s, "rejected": lane.num_rejected,
        }
        for lane in overview.lanes
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["lane", "model", "waiting", "with a worker", "oldest (s)", "rejected"])


def make_workers(overview: Overview) -> pd.DataFrame:
    """Return the inference workers that reported within the last seconds."""
    rows = [
        {
            "host": to_line(worker.host), "process": worker.pid, "device": to_line(worker.device),
            "backend": to_line(worker.backend), "lanes": to_line(worker.lanes), "crops/s": worker.crops_per_s,
            "crops": worker.crops, "up (s)": round(overview.at - worker.started_at),
            "waits for": to_line(worker.problem, 200),
        }
        for worker in overview.workers
    ]  # fmt: skip
    columns = ["host", "process", "device", "backend", "lanes", "crops/s", "crops", "up (s)", "waits for"]
    return pd.DataFrame(rows, columns=columns)
