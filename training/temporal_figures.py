"""Pictures of the temporal benchmark: accuracy around a switch, example clips, and a real face's timeline."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from contracts.emotions import COLOURS, EMOTIONS
from training.flips import FaceTimeline
from training.report_figures import write_figure
from training.smoothing import Probabilities
from training.temporal import JOINTLY, SetAnswers
from training.temporal_sets import SWITCHING_SETS

# Okabe and Ito's blue, vermilion and green; each system has a line style of its own as well.
_STYLES = {"model": ("#0072B2", "-"), JOINTLY: ("#00805B", "--"), "cnn": ("#D55E00", ":")}
_NAMES = {"model": "model (whole window)", JOINTLY: "CNN, smoothed", "smoothed": "CNN, smoothed", "cnn": "CNN alone"}
_PALETTE = ListedColormap([COLOURS[emotion] for emotion in EMOTIONS])
_EXAMPLES = 6


def draw_switch(record: dict[str, Any], path: Path) -> None:
    """Draw each system's accuracy by distance from the switch, for seen and unseen corruptions, from a record."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), SWITCHING_SETS, strict=True):
        for system, (colour, style) in _STYLES.items():
            curve = record["sets"][name]["systems"][system]["accuracy_by_distance"]
            seconds = [int(step) * record["config"]["step_s"] for step in curve]
            axes.plot(seconds, list(curve.values()), style, color=colour, label=_NAMES[system], linewidth=2)
        axes.axvline(-0.05, color="#8C8C8C", linewidth=1)
        title = "corruptions never seen in training" if "unseen" in name else "corruptions known from training"
        axes.set(title=title, xlabel="seconds from the switch", ylim=(30, 95))
        axes.grid(alpha=0.3)
        _clear(axes)
    figure.axes[0].set_ylabel("crops named right, %")
    figure.axes[0].legend(frameon=False)
    write_figure(figure, path)


def draw_examples(found: SetAnswers, path: Path) -> None:
    """Draw the first clips of a set: the crops, and below them the true emotions and each system's."""
    clips = found.clips
    number = min(_EXAMPLES, len(clips))
    figure = Figure(figsize=(11, 1.45 * number + 0.5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    rows = figure.subplots(number, 1, squeeze=False)[:, 0]
    systems = ("model", JOINTLY, "cnn")
    for index, axes in enumerate(rows):
        length, height = clips.crops.shape[1], 0.25
        axes.imshow(np.hstack(clips.crops[index]), cmap="gray", vmin=0, vmax=255, extent=(0, length, 0, 1))
        labels = [clips.truth[index], *(found.answers[system][index].argmax(-1) for system in systems)]
        for row, values in enumerate(labels):
            top = -0.08 - row * height
            axes.imshow(values[None], cmap=_PALETTE, vmin=-0.5, vmax=6.5, extent=(0, length, top - height + 0.05, top))
        axes.set(xlim=(0, length), ylim=(-0.08 - len(labels) * height, 1), aspect="auto", xticks=[])
        axes.set_yticks([-0.19 - row * height for row in range(len(labels))])
        axes.set_yticklabels(["truth", *(_NAMES[system] for system in systems)], fontsize=7)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    _add_legend(figure)
    canvas.print_figure(path, dpi=110)


def draw_timeline(timeline: FaceTimeline, title: str, path: Path) -> None:
    """Draw what each system says of one real face over time, as stacked probabilities."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(3, 1, sharex=True), ("cnn", "smoothed", "model"), strict=True):
        _stack(axes, timeline.times_s, timeline.answers[name])
        flips = int((np.diff(timeline.answers[name].argmax(-1)) != 0).sum())
        axes.set_title(f"{_NAMES[name]}: {flips} label flips", fontsize=9, loc="left")
    figure.axes[-1].set_xlabel("seconds")
    figure.suptitle(title, fontsize=10)
    _add_legend(figure)
    canvas.print_figure(path, dpi=110)


def _stack(axes: Axes, times_s: NDArray[np.float64], probabilities: Probabilities) -> None:
    axes.stackplot(times_s, probabilities.T, colors=[COLOURS[emotion] for emotion in EMOTIONS], linewidth=0)
    axes.set(ylim=(0, 1), xlim=(times_s[0], times_s[-1]), yticks=[0, 1])
    _clear(axes)


def _clear(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _add_legend(figure: Figure) -> None:
    handles = [Patch(color=COLOURS[emotion], label=emotion) for emotion in EMOTIONS]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(EMOTIONS), frameon=False, fontsize=8)
