"""timeline.png: one panel per face over time, with its thumbnails, its probabilities and every gap explained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from contracts.emotions import COLOURS, EMOTIONS
from contracts.ledger import ANALYSED, NO_FACE, REASON_TEXTS
from reports.output import replace_file
from reports.panel_frame import LEFT_PX, MIN_DURATION_S, RIGHT_PX, PanelFrame, format_time
from reports.panels import (
    PANEL_PX,
    SINGLE_PX,
    draw_empty_panel,
    draw_panel,
    draw_single_panel,
)
from reports.series import MAX_TRACKS, Gap, TrackSeries, average_bins, find_gaps, find_interval
from reports.thumbnails import Thumbnail

DPI = 130
WIDTH_PX = 1600
HEADER_PX, FOOTER_PX = 128, 24
# Finer than a pixel of the picture, so averaging takes nothing away that could be seen.
_NUM_BINS = 2000


def draw_timeline(
    path: Path,
    session: Mapping[str, Any],
    series: Sequence[TrackSeries],
    coverage: Sequence[Mapping[str, Any]],
    tracks: Sequence[Mapping[str, Any]],
    thumbnails: Sequence[Thumbnail],
) -> None:
    """Draw the timeline of ``session`` (from ``store.read_session``) as a PNG of 1600 pixels' width.

    ``series`` comes from ``read_series``, most faces first; the first six get a panel. ``coverage`` comes from
    the store, ``tracks`` from ``persons.list_persons``. Nothing is drawn over a gap: it is hatched and says why.

    Raises:
        OutputError: the file cannot be written.
    """
    shown = series[:MAX_TRACKS]
    gaps = find_gaps(coverage)
    duration_s = _find_duration(session, coverage, shown)
    # A still picture has no time to plot over.
    single = bool(shown) and duration_s < 1 and all(len(one.times_s) == 1 for one in shown)
    panel_px = SINGLE_PX if single else PANEL_PX
    height_px = HEADER_PX + panel_px * max(len(shown), 1) + FOOTER_PX
    figure = Figure(figsize=(WIDTH_PX / DPI, height_px / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    _draw_header(figure, height_px, session, duration_s, coverage, len(shown), len(tracks))
    num_faces = {track["track_id"]: track["num_faces"] for track in tracks}
    interval_s = max((find_interval(one.times_s) for one in shown), default=0.0)
    for index, one in enumerate(shown):
        frame = PanelFrame(
            figure, top_px=HEADER_PX + index * panel_px, height_px=height_px, duration_s=duration_s,
            is_last=index == len(shown) - 1,
        )  # fmt: skip
        faces = [thumbnail for thumbnail in thumbnails if thumbnail.track_id == one.track_id]
        if single:
            draw_single_panel(frame, one, faces)
        else:
            binned = average_bins(one, duration_s / _NUM_BINS if len(one.times_s) > _NUM_BINS else 0.0)
            draw_panel(frame, binned, gaps, faces, num_faces.get(one.track_id, len(one.times_s)), interval_s)
    if not shown:
        frame = PanelFrame(figure, HEADER_PX, height_px, duration_s, is_last=True)
        lasting = [gap for gap in gaps if gap.end_s > gap.start_s]
        draw_empty_panel(frame, lasting or [Gap(0.0, duration_s, gaps[0].state if gaps else NO_FACE)])
    with replace_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)


def _find_duration(
    session: Mapping[str, Any], coverage: Sequence[Mapping[str, Any]], series: Sequence[TrackSeries]
) -> float:
    """Return the seconds that the time axis spans: what the container says, or what was read if that is more.

    A still picture has none; an axis needs some.
    """
    ends: list[float] = [stretch["end_s"] for stretch in coverage] + [float(one.times_s[-1]) for one in series]
    return max([*ends, session["facts"].get("duration_s") or 0.001])


def _draw_header(
    figure: Figure,
    height_px: int,
    session: Mapping[str, Any],
    duration_s: float,
    coverage: Sequence[Mapping[str, Any]],
    num_shown: int,
    num_tracks: int,
) -> None:
    left, right = LEFT_PX / WIDTH_PX, 1 - RIGHT_PX / WIDTH_PX
    analysed = sum(stretch["num_frames"] for stretch in coverage if stretch["state"] == ANALYSED)
    facts = [
        *([format_time(duration_s)] if duration_s >= MIN_DURATION_S else []),  # a still picture has none
        f"{analysed:,} frames analysed" if analysed != 1 else "1 frame analysed",
        f"model {session['model_id']}",
        # The milliseconds of a UUIDv7: enough to name the session on the command line.
        f"session {session['session_id'][:13]}",
    ]
    if session["status"] != "complete":
        facts.append(session["status"])
    if not num_shown:
        states = {stretch["state"] for stretch in coverage}
        if not states or NO_FACE in states:
            facts.append(REASON_TEXTS[NO_FACE])
    num_hidden = num_tracks - num_shown
    if num_shown and num_hidden > 0:
        facts.append(f"{num_hidden} more {'face is' if num_hidden == 1 else 'faces are'} not shown")
    title = _shorten(session["source"])
    figure.text(left, 1 - 22 / height_px, title, size=15, weight="bold", va="top", color="#1A1A1A")
    figure.text(left, 1 - 60 / height_px, "   ·   ".join(facts), size=8.5, va="top", color="#5A5A5A")
    legend = figure.legend(
        handles=[Patch(facecolor=COLOURS[name], label=name) for name in EMOTIONS],
        loc="upper left", bbox_to_anchor=(left, 1 - 84 / height_px), ncols=len(EMOTIONS), frameon=False, fontsize=8.5,
        borderpad=0, borderaxespad=0, handlelength=1.1, handleheight=1.1, handletextpad=0.5, columnspacing=1.8,
    )  # fmt: skip
    legend.set_in_layout(False)
    figure.text(right, 1 - 30 / height_px, "emotrace", size=9, va="top", ha="right", color="#9A9A9A")


def _shorten(name: str, limit: int = 80) -> str:
    # A dollar sign would start mathematics.
    name = name if len(name) <= limit else f"{name[: limit // 2]}…{name[-limit // 2 + 1 :]}"
    return name.replace("$", r"\$")
