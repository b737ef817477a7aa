"""When a camera gave nothing, and why."""

import time
from collections.abc import Sequence

import sqlalchemy as sa

from contracts import camera_sessions, store, timelines
from contracts.clocks import SessionClock
from reports.series import Gap, find_gaps

_NOT_RUNNING = "not_running"


def list_camera_gaps(
    connection: sa.Connection,
    source_id: str,
    sessions: Sequence[store.Row],
    clocks: dict[str, SessionClock],
    start_at: float,
    end_at: float,
) -> list[Gap]:
    """Return when a camera gave nothing between two moments: in its sessions, between them, and before the first."""
    gaps = []
    until = min(end_at, time.time())
    for session in reversed(sessions):
        clock = clocks[session["session_id"]]
        start_s, end_s = (float(moment) for moment in clock.to_session([start_at, end_at]))
        for gap in find_gaps(timelines.list_coverage_between(connection, session["session_id"], start_s, end_s)):
            gap_start, gap_end = (float(at) for at in clock.to_wall([gap.start_s, gap.end_s]))
            gaps.append(Gap(gap_start, gap_end, gap.state))
    outages = camera_sessions.list_outages(connection, source_id, start_at, until)
    gaps += [Gap(one.start_at, one.end_at, one.reason) for one in outages if one.end_at > start_at]
    first_at = min((float(one["started_at"]) for one in sessions), default=until)
    if first_at > start_at and not any(one.start_at <= start_at for one in outages):
        gaps.append(Gap(start_at, first_at, _NOT_RUNNING))
    return sorted(gaps, key=lambda gap: gap.start_s)
