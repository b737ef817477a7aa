"""The figures of the report: learning curves, confusion matrices, accuracy beside claims and under conditions."""

from collections.abc import Sequence
from itertools import cycle, product
from pathlib import Path
from textwrap import fill
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from contracts.emotions import COLOURS
from contracts.errors import OutputError
from training.datasets import REPORTED
from training.results import CKPLUS, Row

# Okabe and Ito's palette for systems, which are no emotions; line styles tell apart what comes after it.
_SYSTEM_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#333333")
_STYLES = ("-", "--", ":", "-.")
_MARKERS = "oDsv^Pd"
_CLAIM_COLOUR = "#333333"
_LABEL_OF = {"anger": "angry", "sadness": "sad"}


def draw_curves(rows: Sequence[Row], path: Path) -> None:
    """Draw loss and selection accuracy over all stages' epochs, for the first seed (and the first fold) of each row."""
    panels = [("loss", "training loss")]
    if any("accuracy" in line for row in rows for line in row.records[0]["curves"]):  # CK+ has no selection half
        panels.append(("accuracy", "accuracy on the selection half"))
    figure = Figure(figsize=(5.5 * len(panels), 4 + 0.2 * len(rows) / len(panels)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    styles = cycle([(colour, style) for style, colour in product(_STYLES, _SYSTEM_COLOURS)])
    for row, (colour, style) in zip(rows, styles, strict=False):
        curve = row.records[0]["curves"]
        epochs = np.arange(1, len(curve) + 1)
        for axis, (key, _) in zip(axes, panels, strict=True):
            values = np.array([line.get(key) for line in curve], dtype=float)
            # A curve of one epoch would be no line, and a diverged one has holes.
            mark = "o" if np.isfinite(values).sum() <= 2 else ""
            axis.plot(epochs, values, color=colour, linestyle=style, linewidth=1.4, marker=mark, markersize=4)
        axes[0].plot(
            [], [], color=colour, linestyle=style, linewidth=1.4, label=f"{_shorten(row.title)} ({_name_labels(row)})"
        )
    for axis, (_, title) in zip(axes, panels, strict=True):
        _calm(axis)
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlabel("epoch, stages one after the other", fontsize=9)
        _draw_grid(axis)
    figure.legend(loc="outside lower center", ncols=len(panels), fontsize=8, frameon=False)
    write_figure(figure, path)


def draw_confusions(rows: Sequence[Row], path: Path) -> None:
    """Draw the shares of each true class that were named as each class, for the first seed of each row."""
    columns = min(2 if len(rows) <= 4 else 4, len(rows))
    figure = Figure(figsize=(4.6 * columns, 5.0 * -(-len(rows) // columns)), layout="constrained")
    axes = figure.subplots(-(-len(rows) // columns), columns, squeeze=False).flatten()
    for spare in axes[len(rows) :]:
        spare.axis("off")
    for axis, row in zip(axes, rows, strict=False):
        metrics = row.records[0]["metrics"]
        counts = np.array((metrics[CKPLUS] if row.kind == "own" else metrics[REPORTED][row.kind])["confusion_matrix"])
        _draw_confusion(axis, counts, row)
    write_figure(figure, path)


def draw_claims(rows: Sequence[Row], path: Path) -> None:
    """Draw the accuracy of each row as a bar and what the paper claims as a diamond."""
    figure = Figure(figsize=(11, 1.2 + 0.27 * len(rows)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(rows))[::-1]
    colours = dict(zip(dict.fromkeys(row.group for row in rows), _SYSTEM_COLOURS, strict=False))
    for group, colour in colours.items():
        chosen = [(place, row) for place, row in zip(places, rows, strict=True) if row.group == group]
        values = [row.compute_mean(row.kind, "accuracy") or 0.0 for _, row in chosen]
        axis.barh([place for place, _ in chosen], values, height=0.6, color=colour, label=f"{group}: ours")
        for (place, _), value in zip(chosen, values, strict=True):
            axis.text(value - 0.008, place, f"{value:.3f}", ha="right", va="center", fontsize=7, color="white")
    claims = [(row.claim, place) for place, row in zip(places, rows, strict=True) if row.claim is not None]
    if claims:
        x, y = zip(*claims, strict=True)
        axis.scatter(x, y, s=28, c="white", marker="D", edgecolors=_CLAIM_COLOUR, zorder=3, label="the paper's claim")
    axis.set_yticks(places, [f"{_shorten(row.title)} ({_name_labels(row)})" for row in rows], fontsize=8)
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.7, len(rows) - 0.3)
    axis.set_xlabel("accuracy", fontsize=9)
    _draw_grid(axis, "x")
    _calm(axis)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    write_figure(figure, path)


def draw_conditions(rows: Sequence[Row], path: Path) -> None:
    """Draw the accuracy of each row under each condition, for the first seed."""
    names = list(rows[0].records[0]["conditions"])
    figure = Figure(figsize=(9, 1.4 + 0.25 * len(names)), layout="constrained")
    axis = figure.subplots()
    places = np.arange(len(names))[::-1]
    for row, colour, marker in zip(rows, cycle(_SYSTEM_COLOURS), cycle(_MARKERS), strict=False):
        values = [row.records[0]["conditions"][name]["accuracy"] for name in names]
        axis.axvline(values[0], color=colour, linewidth=0.8, linestyle=":")
        axis.scatter(values, places, color=colour, marker=marker, s=26, label=_shorten(row.title), zorder=3)
    axis.set_yticks(places, names, fontsize=8)
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_xlabel("accuracy; the dotted line is the system's own on faces as they are", fontsize=9)
    _draw_grid(axis)
    _calm(axis)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    write_figure(figure, path)


def draw_attention_means(rows: Sequence[Row], path: Path) -> None:
    """Draw the mean weight that attention gives to each row of the map, by true emotion, for the first seed."""
    figure = Figure(figsize=(4.2 * len(rows) + 0.8, 4.4), layout="constrained")
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    tables = [np.array(list(row.records[0]["attention"].values())).T for row in rows]  # of T steps and K emotions
    highest = max(float(table.max()) for table in tables)
    for axis, row, table in zip(panels, rows, tables, strict=True):
        heat = axis.imshow(table, cmap="inferno", vmin=0, vmax=highest, aspect="auto")
        names = list(row.records[0]["attention"])
        axis.set_xticks(np.arange(len(names)), names, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        for tick, name in zip(axis.get_xticklabels(), names, strict=True):
            tick.set_color(COLOURS.get(name, "#333333"))
        axis.set_yticks([0, len(table) - 1], ["forehead", "chin"], fontsize=8)
        axis.set_title(fill(row.title, 40), fontsize=9)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    figure.colorbar(heat, ax=panels.tolist(), shrink=0.8, label="mean weight of a row of the map")
    write_figure(figure, path)


def _draw_confusion(axis: Axes, counts: NDArray[np.int64], row: Row) -> None:
    total = counts.sum(1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    axis.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for (true, predicted), share in np.ndenumerate(shares):
        colour = "white" if share > 0.5 else "#333333"
        axis.text(predicted, true, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
    places = np.arange(len(row.labels))
    axis.set_xticks(places, row.labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    axis.set_yticks(places, row.labels, fontsize=8)
    for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
        for tick, name in zip(ticks, row.labels, strict=True):
            tick.set_color(COLOURS.get(_LABEL_OF.get(name, name), "#333333"))
    axis.set_xlabel("named as", fontsize=9)
    axis.set_ylabel("truly", fontsize=9)
    axis.set_title(f"{fill(_shorten(row.title), 42)}\n{_name_labels(row)}, percent of each row", fontsize=9)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _name_labels(row: Row) -> str:
    return {"own": "CK+", "ferplus": "FER+ majority", "fer2013": "original labels"}[row.kind]


def _shorten(title: str, most: int = 84) -> str:
    return title if len(title) <= most else f"{title[: most - 1]}…"


def _draw_grid(axis: Axes, which: Literal["both", "x"] = "both") -> None:
    axis.grid(axis=which, color="#E5E5E5", linewidth=0.8)


def _calm(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    axis.set_axisbelow(True)


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, its folder too; the same records give the same bytes.

    Raises:
        OutputError: the path cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the date and the version, the same records give the same bytes.
        FigureCanvasAgg(figure).print_figure(path, dpi=110, metadata={"Software": None})
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}). Give another --out.") from None
