"""What the page Compare reads."""

import numpy as np
import pandas as pd
import sqlalchemy as sa

from contracts import markers, store, timelines
from dashboard.asking import FRESH_S, query, read
from dashboard.identity import VIEWER, require
from dashboard.reading.camera_gaps import list_camera_gaps
from dashboard.reading.comparing import NUM_BINS, Strip, find_bin_s, find_bounds
from dashboard.reading.panels import Panel, make_panel
from dashboard.reading.stretches import Stretch, list_stretches, make_clocks
from reports.series import Gap, find_gaps

_FRESH_S = 10.0
_FINER = 5  # points of a bin: its edges are met this closely
MAX_LISTED = 500


@query(VIEWER, ttl=FRESH_S, max_entries=8)
def list_sessions(kept: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return the newest sessions of recordings, then of cameras, and those of ``kept``, however old.

    Columns: session_id, source_id, source (its name), kind, started_at and ended_at (None: it goes on).
    """
    with read() as connection:
        rows = [
            row
            for kind in ("file", "camera")
            for row in timelines.list_newest_sessions(connection, kind, MAX_LISTED, kept)
        ]
    columns = ["session_id", "source_id", "source", "kind", "started_at", "ended_at"]
    return pd.DataFrame(rows, columns=columns).replace({np.nan: None})


def list_all_markers() -> list[store.Row]:
    """Return the newest markers of all sources, each with its source's name and kind."""
    require(VIEWER)
    with read() as connection:
        return markers.list_all_markers(connection, MAX_LISTED)


def list_models(strips: tuple[Strip, ...]) -> list[str]:
    """Return the models whose rows strips show."""
    require(VIEWER)
    with read() as connection:
        found = {stretch.session["model_id"] for one in strips for stretch in _list_stretches(connection, one)}
    return sorted(found)


@query(VIEWER, ttl=_FRESH_S, max_entries=32, spinner="Comparing …")
def read_strips(strips: tuple[Strip, ...]) -> tuple[list[Panel], float]:
    """Return a panel for each strip, in seconds from its origin, and the bins' length in seconds.

    Raises:
        UsageError: a session is not there any more.
    """
    start, end = find_bounds(strips)
    least_s = timelines.find_bucket_s(end - start, NUM_BINS)
    panels = [_read_strip(strip, least_s / _FINER, start, end) for strip in strips]
    return panels, find_bin_s(panels, least_s)


def _read_strip(strip: Strip, bucket_s: float, start: float, end: float) -> Panel:
    rows: list[store.Row] = []
    with read() as connection:
        for session, tracks, start_s, end_s, place, _ in _list_stretches(connection, strip):
            for point in timelines.read_points(connection, session, start_s, end_s, tracks, bucket_s=bucket_s):
                moved = {name: place(point[name]) - strip.origin for name in ("time_s", "first_s", "last_s")}
                rows.append({**point, **moved})
        gaps = _list_gaps(connection, strip)
    inside = [
        Gap(max(gap.start_s, strip.start) - strip.origin, min(gap.end_s, strip.end) - strip.origin, gap.state)
        for gap in gaps
        if gap.end_s > strip.start and gap.start_s < strip.end
    ]
    return make_panel(strip.name, rows, inside, start, end)


def _list_stretches(connection: sa.Connection, strip: Strip) -> list[Stretch]:
    asked = (strip.source_id, strip.session_id, strip.faces, strip.start, strip.end)
    found = list_stretches(connection, *asked)
    return [one for one in found if strip.camera_session_id in (None, one.session["session_id"])]


def _list_gaps(connection: sa.Connection, strip: Strip) -> list[Gap]:
    if strip.session_id is not None:
        asked = (connection, strip.session_id, strip.start, strip.end)
        return find_gaps(timelines.list_coverage_between(*asked))
    sessions = timelines.list_source_sessions(connection, strip.source_id, strip.start, strip.end)
    clocks = make_clocks(connection, sessions)
    return list_camera_gaps(connection, strip.source_id, sessions, clocks, strip.start, strip.end)
