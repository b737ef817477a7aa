"""The panels of a timeline: one face each, drawn at exact pixels so that thumbnails stand at their times."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from contracts.emotions import COLOURS, EMOTIONS
from contracts.ledger import REASON_TEXTS
from reports.panel_frame import LEFT_PX, MIN_DURATION_S, PanelFrame, format_clock
from reports.series import (
    ABSENT,
    Gap,
    TrackSeries,
    find_absences,
    find_interval,
    join_spans,
    pad_segments,
    split_segments,
)
from reports.thumbnails import SIZE_PX, Thumbnail

PANEL_PX, SINGLE_PX = 290, 250
_TITLE_PX, _STRIP_PX, _RIBBON_PX, _AREA_PX = 26, 68, 9, 130
_TEXTS = {**REASON_TEXTS, ABSENT: "not in view"}
_GREY, _INK = "#F1F1F1", "#333333"
_CHARACTER_PX = 8.2
_STEPS_S = (10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)


def draw_panel(
    frame: PanelFrame,
    series: TrackSeries,
    gaps: Sequence[Gap],
    thumbnails: Sequence[Thumbnail],
    num_faces: int,
    interval_s: float,
) -> None:
    """Draw one track: its thumbnails, the ribbon of the dominant emotion, and the stacked probabilities.

    ``interval_s`` is the session's usual time between samples; a sample of a track that has no second one is drawn as
    wide as that.
    """
    half_s = (find_interval(series.times_s) or interval_s or frame.duration_s / 200) / 2
    segments = split_segments(series.times_s, gaps)
    spans = [(series.times_s[part][0] - half_s, series.times_s[part][-1] + half_s) for part in segments]
    gaps = [*gaps, *find_absences(spans, gaps, frame.duration_s)]

    strip = frame.add_axes(_TITLE_PX, _STRIP_PX)
    _prepare(strip, frame)
    strip.set_axis_off()
    _draw_title(frame, series, num_faces)
    _draw_thumbnails(strip, frame, thumbnails)

    ribbon = frame.add_axes(_TITLE_PX + _STRIP_PX + 5, _RIBBON_PX)
    _prepare(ribbon, frame)
    ribbon.set_axis_off()
    _draw_ribbon(ribbon, series, segments, half_s)

    area = frame.add_axes(_TITLE_PX + _STRIP_PX + _RIBBON_PX + 8, _AREA_PX)
    _prepare_area(area, frame)
    _draw_gaps(area, frame, gaps)
    times_s, probabilities = pad_segments(series, segments, half_s)
    area.stackplot(times_s, probabilities.T, colors=[COLOURS[name] for name in EMOTIONS], linewidth=0, zorder=2)


def draw_empty_panel(frame: PanelFrame, gaps: Sequence[Gap]) -> None:
    """Draw the time axis with nothing but gaps, for a session in which no face was found."""
    area = frame.add_axes(_TITLE_PX, _STRIP_PX + _RIBBON_PX + _AREA_PX)
    _prepare_area(area, frame)
    _draw_gaps(area, frame, gaps)


def draw_single_panel(frame: PanelFrame, series: TrackSeries, thumbnails: Sequence[Thumbnail]) -> None:
    """Draw one face of one picture: the seven probabilities as bars beside the face."""
    if thumbnails:
        corner = frame.add_axes(_TITLE_PX + 8, 2 * SIZE_PX)
        corner.set_axis_off()
        corner.imshow(thumbnails[0].image, interpolation="bicubic")
        corner.set_anchor("W")
    _draw_title(frame, series, 1)
    bars = frame.add_axes(_TITLE_PX + 4, SINGLE_PX - _TITLE_PX - 54, left_px=LEFT_PX + 2 * SIZE_PX + 120)
    probabilities = series.probabilities[0]
    bars.barh(EMOTIONS, probabilities, color=[COLOURS[name] for name in EMOTIONS], height=0.72)
    for row, probability in enumerate(probabilities):
        bars.text(probability + 0.008, row, f"{probability:.0%}", va="center", size=8, color=_INK)
    bars.set(xlim=(0, 1.06), xticks=np.linspace(0, 1, 5))
    bars.invert_yaxis()
    bars.tick_params(labelsize=8.5, length=0, colors=_INK)
    bars.spines[["top", "right", "left"]].set_visible(False)
    if frame.is_last:
        bars.set_xlabel("probability", size=9, color=_INK)


def _prepare(axes: Axes, frame: PanelFrame) -> None:
    axes.set(xlim=(0, max(frame.duration_s, 1e-3)), ylim=(0, 1))


def _prepare_area(axes: Axes, frame: PanelFrame) -> None:
    _prepare(axes, frame)
    axes.set_ylabel("probability", size=9, color=_INK)
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(labelsize=8, colors=_INK, length=3, color="#9A9A9A")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#9A9A9A")
    with_hours = frame.duration_s >= 3600
    if frame.duration_s < MIN_DURATION_S:
        axes.set_xticks([])
        return
    if frame.duration_s > 120:
        step_s = next((step for step in _STEPS_S if frame.duration_s / step <= 14), _STEPS_S[-1])
        axes.xaxis.set_major_locator(FixedLocator(list(np.arange(0, frame.duration_s + 1e-6, step_s))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda time_s, _: format_clock(time_s, with_hours)))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(14, steps=[1, 2, 5, 10]))
    if frame.is_last:
        unit = "s" if frame.duration_s <= 120 else "h:min:s" if with_hours else "min:s"
        axes.set_xlabel(f"time ({unit})", size=9, color=_INK)


def _draw_title(frame: PanelFrame, series: TrackSeries, num_faces: int) -> None:
    mean = series.probabilities.mean(axis=0)
    strongest = ", ".join(f"{mean[index]:.0%} {EMOTIONS[index]}" for index in np.argsort(-mean)[:2])
    facts = f"in {num_faces:,} frames   ·   on average {strongest}" if num_faces > 1 else strongest
    y = 1 - (frame.top_px + 4) / frame.height_px
    left = LEFT_PX / frame.figure.bbox.width
    text = frame.figure.text(left, y, f"Face {series.track_id}", size=10, weight="bold", va="top", color=_INK)
    frame.figure.text(
        left + (text.get_window_extent().width + 14) / frame.figure.bbox.width, y - 1.5 / frame.height_px,
        facts, size=8.5, va="top", color="#5A5A5A",
    )  # fmt: skip


def _draw_thumbnails(axes: Axes, frame: PanelFrame, thumbnails: Sequence[Thumbnail]) -> None:
    half_s = SIZE_PX / 2 / frame.pixels_per_s
    free_s = 0.0
    for thumbnail in sorted(thumbnails, key=lambda thumbnail: thumbnail.time_s):
        middle_s = min(max(thumbnail.time_s, half_s), frame.duration_s - half_s)
        if middle_s - half_s < free_s:
            continue
        image = OffsetImage(thumbnail.image, zoom=72 / frame.figure.dpi)
        axes.add_artist(AnnotationBbox(image, (middle_s, 0.5), frameon=False, pad=0))
        # The tick below the picture is the time it was taken.
        axes.plot([thumbnail.time_s] * 2, [-0.09, 0.02], color="#9A9A9A", linewidth=1, clip_on=False)
        free_s = middle_s + half_s


def _draw_ribbon(axes: Axes, series: TrackSeries, segments: Sequence[slice], half_s: float) -> None:
    bars: dict[str, list[tuple[float, float]]] = {name: [] for name in EMOTIONS}
    for part in segments:
        times_s, dominant = series.times_s[part], series.probabilities[part].argmax(axis=1)
        starts = np.concatenate([[0], np.flatnonzero(np.diff(dominant)) + 1])
        middles_s = (times_s[starts[1:]] + times_s[starts[1:] - 1]) / 2
        edges_s = np.concatenate([[times_s[0] - half_s], middles_s, [times_s[-1] + half_s]])
        for start, left_s, right_s in zip(starts, edges_s[:-1], edges_s[1:], strict=True):
            bars[EMOTIONS[dominant[start]]].append((left_s, right_s - left_s))
    for name, widths in bars.items():
        axes.broken_barh(widths, (0, 1), facecolor=COLOURS[name], linewidth=0)


def _draw_gaps(axes: Axes, frame: PanelFrame, gaps: Sequence[Gap]) -> None:
    # A face that flickers for hours has tens of thousands of gaps thinner than a pixel.
    spans = join_spans(gaps, 0.5 / frame.pixels_per_s)
    axes.broken_barh(
        [(start_s, end_s - start_s) for start_s, end_s in spans], (0, 1),
        facecolor=_GREY, edgecolor="#D4D4D4", hatch="////", linewidth=0, zorder=1,
    )  # fmt: skip
    for gap in gaps:
        text = _TEXTS.get(gap.state, gap.state.replace("_", " "))
        width_px = (gap.end_s - gap.start_s) * frame.pixels_per_s
        length_px = len(text) * _CHARACTER_PX
        if width_px < 20 or (width_px < length_px + 8 and length_px > _AREA_PX - 6):
            continue
        axes.axvline(gap.start_s, color="white", linewidth=2, zorder=1)  # keeps neighbours apart
        axes.text(
            (gap.start_s + gap.end_s) / 2, 0.5, text, ha="center", va="center", size=8.5, color="#5A5A5A", zorder=3,
            rotation=0 if width_px >= length_px + 8 else 90,
            bbox={"facecolor": _GREY, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
