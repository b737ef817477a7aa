"""The pictures of a report, as SVG; and a page's picture as one PNG, with what it is of."""

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from contracts.emotions import COLOURS, EMOTIONS
from reports.derived import Floats
from reports.report_drawing import INK, QUIET, PanelView, ReportPanel, fill_panel, fill_shares, to_plain

_WIDTH_IN, _DPI, _PNG_DPI = 10.0, 96, 160
_HEADER_IN, _TITLE_IN, _AXIS_IN, _ROW_IN = 0.95, 0.3, 0.55, 0.45
_BAR_IN = 0.42


def draw_panel(panel: ReportPanel, view: PanelView) -> bytes:
    """Return the picture of a face over time as SVG."""
    figure = Figure(figsize=(_WIDTH_IN, _find_height(view)), dpi=_DPI, layout="constrained")
    fill_panel(figure, panel, view)
    return _save_svg(figure)


def draw_shares(faces: Sequence[str], shares: Floats) -> bytes:
    """Return the picture of each face's time by emotion as SVG: ``shares`` is N x 7, each row's sum 1."""
    figure = Figure(figsize=(_WIDTH_IN, _BAR_IN * len(faces) + 0.5), dpi=_DPI, layout="constrained")
    fill_shares(figure, faces, shares)
    return _save_svg(figure)


def draw_panels_page(title: str, facts: str, panels: Sequence[tuple[str, ReportPanel]], view: PanelView) -> bytes:
    """Return faces below each other, each with its name, as one PNG that says what it is of."""
    heights = [_TITLE_IN + _find_height(view)] * len(panels)
    figure, parts = _make_page(title, facts, heights)
    for part, (name, panel) in zip(parts, panels, strict=True):
        part.suptitle(to_plain(name), x=0.01, ha="left", size=11, weight="bold", color=INK)
        fill_panel(part, panel, view)
    return _save_png(figure)


def draw_shares_page(title: str, facts: str, faces: Sequence[str], shares: Floats) -> bytes:
    """Return each face's time by emotion as one PNG that says what it is of."""
    figure, (part,) = _make_page(title, facts, [_BAR_IN * len(faces) + 0.5])
    fill_shares(part, faces, shares)
    return _save_png(figure)


def _find_height(view: PanelView) -> float:
    return _ROW_IN * sum(view.heights) + _AXIS_IN


def _make_page(title: str, facts: str, heights: Sequence[float]) -> tuple[Figure, list[SubFigure]]:
    """Return a figure with a header, and its parts of the given heights in inches below it."""
    figure = Figure(figsize=(_WIDTH_IN, _HEADER_IN + sum(heights)), dpi=_PNG_DPI, layout="constrained")
    header, *parts = list(
        figure.subfigures(1 + len(heights), 1, height_ratios=[_HEADER_IN, *heights], squeeze=False)[:, 0]
    )
    header.text(0.01, 0.95, to_plain(title), size=15, weight="bold", va="top", color=INK)
    header.text(0.01, 0.55, to_plain(facts), size=8, va="top", color=QUIET)
    header.legend(
        handles=[Patch(facecolor=COLOURS[name], label=name) for name in EMOTIONS], loc="lower left",
        bbox_to_anchor=(0.005, 0.0), ncols=len(EMOTIONS), frameon=False, fontsize=8.5, borderpad=0, handlelength=1.1,
        handleheight=1.1, handletextpad=0.5, columnspacing=1.8,
    )  # fmt: skip
    return figure, parts


def _save_svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasSVG(figure)
    # Matplotlib's identifiers and date are those of the moment otherwise, and the same report would be another file.
    with mpl.rc_context({"svg.hashsalt": "emotrace", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _save_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
