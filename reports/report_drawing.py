"""How the pictures of a report are drawn: one face over time into a figure of Matplotlib's, or a part of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from contracts.emotions import COLOURS, EMOTIONS, INKS, PALE
from reports.derived import Floats
from reports.report_ticks import find_ticks

INK, QUIET, LINE, GAP = "#1A1F24", "#55606B", "#C5CCD3", "#F1F3F5"
_DASHES: dict[str, Any] = {
    "angry": (0, (5, 1)),
    "disgust": "-.",
    "fear": "--",
    "sad": ":",
    "surprise": (0, (8, 2)),
    "neutral": (0, (8, 2, 2, 2)),
}


@dataclass(frozen=True)
class ReportPanel:
    """A face's points over time, N of them: ``means``, ``lows`` and ``highs`` are N x 8, seven emotions and valence.

    ``segments`` numbers the stretches that may be drawn as one; ``half_s`` is half the usual time between points;
    ``gaps`` are start, end and what the reader is told.
    """

    times_s: Floats
    means: Floats
    lows: Floats
    highs: Floats
    is_uncertain: NDArray[np.bool_]
    segments: NDArray[np.int64]
    half_s: float
    gaps: Sequence[tuple[float, float, str]]


@dataclass(frozen=True)
class PanelView:
    """What is shown of a face: from ``start`` to ``end``, which a ``zone`` makes wall-clock times, and how."""

    start: float
    end: float
    zone: ZoneInfo | None
    is_area: bool
    with_valence: bool
    moment: float | None = None

    @property
    def heights(self) -> list[float]:
        """The rows' heights: the ribbon's, the probabilities', and valence's where it is shown."""
        return [0.5, 4.2, *([1.5] if self.with_valence else [])]


def fill_panel(figure: Figure | SubFigure, panel: ReportPanel, view: PanelView) -> None:
    """Draw a face into a figure."""
    heights, span = view.heights, view.end - view.start
    axes: list[Axes] = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    _draw_gaps(axes[1:], panel, span)
    for part in _split(panel.segments):
        edges = _hold(panel.times_s[part], panel.half_s)
        _draw_ribbon(axes[0], panel, part, span)
        (_draw_area if view.is_area else _draw_lines)(axes[1], panel, part, edges)
        if view.with_valence:
            low, high, mean = (_pad(values[part, -1]) for values in (panel.lows, panel.highs, panel.means))
            axes[2].fill_between(edges, low, high, color=INK, alpha=0.18, linewidth=0)
            axes[2].plot(edges, mean, color=INK, linewidth=1)
        _draw_veil(axes[:2], panel, part)
    if view.is_area:
        _draw_peaks(axes[1], panel)
    _style(axes, view)
    if view.moment is not None and view.start <= view.moment <= view.end:
        for one in axes:
            one.axvline(view.moment, color=INK, linewidth=1.2, linestyle=":")


def fill_shares(figure: Figure | SubFigure, faces: Sequence[str], shares: Floats) -> None:
    """Draw each face's time by emotion into a figure: ``shares`` is N x 7, each row's sum 1."""
    axes = figure.subplots()
    lefts = np.zeros(len(faces))
    for index, name in enumerate(EMOTIONS):
        widths = shares[:, index]
        bars = axes.barh(range(len(faces)), widths, left=lefts, color=COLOURS[name], height=0.72)
        words = [f"{name} {share:.0%}" if share >= 0.12 else "" for share in widths]
        axes.bar_label(bars, words, label_type="center", size=8, color=INKS[name])
        lefts = lefts + widths
    axes.set_yticks(range(len(faces)), [to_plain(face) for face in faces], size=9)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"], size=8)
    axes.set(xlim=(0, 1))
    axes.invert_yaxis()
    axes.tick_params(length=0, colors=QUIET)
    axes.spines[:].set_visible(False)


def _split(segments: NDArray[np.int64]) -> list[slice]:
    if not len(segments):
        return []
    bounds = [0, *(int(cut) for cut in np.flatnonzero(np.diff(segments)) + 1), len(segments)]
    return [slice(first, last) for first, last in pairwise(bounds)]


def _hold(times_s: Floats, half_s: float) -> Floats:
    return np.concatenate([[times_s[0] - half_s], times_s, [times_s[-1] + half_s]])


def _pad(values: Floats) -> Floats:
    return np.concatenate([values[:1], values, values[-1:]])


def _draw_area(axes: Axes, panel: ReportPanel, part: slice, edges: Floats) -> None:
    means = np.column_stack([_pad(column) for column in panel.means[part, :-1].T])
    axes.stackplot(edges, means.T, colors=[COLOURS[name] for name in EMOTIONS], linewidth=0)


def _draw_lines(axes: Axes, panel: ReportPanel, part: slice, edges: Floats) -> None:
    for index, name in enumerate(EMOTIONS):
        low, high, mean = (_pad(values[part, index]) for values in (panel.lows, panel.highs, panel.means))
        axes.fill_between(edges, low, high, color=COLOURS[name], alpha=0.16, linewidth=0)
        (drawn,) = axes.plot(edges, mean, color=COLOURS[name], linewidth=1.5, linestyle=_DASHES.get(name, "-"))
        if name in PALE:
            drawn.set_path_effects([withStroke(linewidth=2.6, foreground=INK)])


def _draw_peaks(axes: Axes, panel: ReportPanel) -> None:
    """Mark where an emotion led for a moment that the mean of its point does not show."""
    leading = panel.means[:, :-1].argmax(axis=1) if len(panel.means) else np.zeros(0)
    for index, name in enumerate(EMOTIONS):
        hidden = (panel.highs[:, index] >= 0.5) & (panel.means[:, index] < 0.5) & (leading != index)
        x, y = panel.times_s[hidden], panel.highs[hidden, index]
        axes.scatter(x, y, marker="^", s=22, color=COLOURS[name], edgecolors=INK, linewidths=0.6, zorder=4)


def _draw_ribbon(axes: Axes, panel: ReportPanel, part: slice, span: float) -> None:
    times_s, leading = panel.times_s[part], panel.means[part, :-1].argmax(axis=1)
    for first, last in _find_runs(leading):
        start, end = _find_ends(times_s, first, last, panel.half_s)
        name = EMOTIONS[leading[first]]
        axes.broken_barh([(start, end - start)], (0, 1), facecolor=COLOURS[name], linewidth=0)
        if end - start > 0.07 * span:
            # On a strip of its own: what is uncertain is faded below it.
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
            axes.text((start + end) / 2, 0.5, name, ha="center", va="center", size=7.5, color=INK, bbox=box, zorder=5)


def _draw_veil(axes: Sequence[Axes], panel: ReportPanel, part: slice) -> None:
    """Fade the stretches in which most rows are uncertain."""
    times_s, uncertain = panel.times_s[part], panel.is_uncertain[part]
    spans = [
        _find_ends(times_s, first, last, panel.half_s) for first, last in _find_runs(uncertain) if uncertain[first]
    ]
    for one in axes:
        one.broken_barh(
            [(start, end - start) for start, end in spans], (0, 1), facecolor=(1, 1, 1, 0.62), edgecolor="#8A949E",
            hatch="..", linewidth=0, zorder=3,
        )  # fmt: skip


def _draw_gaps(axes: Sequence[Axes], panel: ReportPanel, span: float) -> None:
    for index, one in enumerate(axes):
        low, high = (0, 1) if index == 0 else (-1, 2)
        widths = [(start, end - start) for start, end, _ in panel.gaps]
        one.broken_barh(widths, (low, high), facecolor=GAP, edgecolor="#B8C0C8", hatch="////", linewidth=0, zorder=0)
    for start, end, text in panel.gaps:
        if end - start > span * (0.012 * len(text) + 0.01):
            box = {"facecolor": GAP, "edgecolor": "none", "pad": 1.5}
            place = ((start + end) / 2, 0.5)
            axes[0].text(*place, to_plain(text), ha="center", va="center", size=8, color=QUIET, bbox=box)


def _find_runs(values: NDArray[Any]) -> list[tuple[int, int]]:
    """Return the first and last index of each stretch of one value."""
    bounds = [0, *(int(cut) for cut in np.flatnonzero(values[1:] != values[:-1]) + 1), len(values)]
    return [(first, following - 1) for first, following in pairwise(bounds)]


def _find_ends(times_s: Floats, first: int, last: int, half_s: float) -> tuple[float, float]:
    """Return where a stretch of points begins and ends: halfway to its neighbours."""
    start = (times_s[first - 1] + times_s[first]) / 2 if first else times_s[first] - half_s
    end = (times_s[last] + times_s[last + 1]) / 2 if last + 1 < len(times_s) else times_s[last] + half_s
    return float(start), float(end)


def _style(axes: Sequence[Axes], view: PanelView) -> None:
    axes[0].set(xlim=(view.start, view.end), ylim=(0, 1))
    axes[0].set_axis_off()
    axes[1].set(ylim=(0, 1), yticks=[0, 0.5, 1])
    axes[1].set_ylabel("probability", size=9, color=QUIET)
    for one in axes[2:]:
        one.set(ylim=(-1, 1), yticks=[-1, 0, 1])
        one.set_ylabel("valence", size=9, color=QUIET)
    for one in axes[1:]:
        one.tick_params(labelsize=8, colors=QUIET, color=LINE, length=3)
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(LINE)
    ticks, words, unit = find_ticks(view.start, view.end, view.zone)
    axes[-1].set_xticks(ticks, words)
    axes[-1].set_xlabel(f"time ({unit})", size=9, color=QUIET)


def to_plain(text: str) -> str:
    """Return a text that Matplotlib shows as it is; of what its font lacks, only that it is there."""
    known = _list_characters()
    shown = "".join(one if ord(one) in known or one == "\n" else "\N{REPLACEMENT CHARACTER}" for one in text)
    return shown.replace("$", r"\$")  # would begin mathematics


@cache
def _list_characters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
