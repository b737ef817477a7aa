"""The report of a timeline: each face's picture over time, its means, and its gaps."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW
from contracts.timelines import VALUES
from dashboard.files import exports
from dashboard.files.reporting import Shown, make_report, offer
from dashboard.reading.panels import Panel, average
from dashboard.reading.rows import iterate_rows
from dashboard.texts import tell_duration, tell_state, to_line
from reports.html import Attachment, Picture, ReportTable, Section
from reports.report_drawing import PanelView, ReportPanel
from reports.report_pictures import draw_panel, draw_panels_page

_MAX_GAPS = 200


def offer_timeline(shown: Shown, panels: Sequence[Panel], style: str, with_valence: bool, moment: float | None) -> None:
    """Offer the report of a timeline."""
    view = PanelView(shown.start, shown.end, shown.zone, style == "area", with_valence, moment)
    offer(partial(make_timeline, shown, panels, view), partial(make_picture, shown, panels, view), shown, "timeline")


def make_picture(shown: Shown, panels: Sequence[Panel], view: PanelView, _author: str) -> bytes:
    """Return the panels that are shown as a PNG."""
    drawn = [(panel.name, _to_report(panel, _tell_gaps(panel))) for panel in panels]
    return draw_panels_page(to_line(shown.title, 70), shown.facts, drawn, view)


def make_timeline(shown: Shown, panels: Sequence[Panel], view: PanelView, author: str) -> bytes:
    """Return the report of the panels that are shown."""
    sections = [_describe_panel(shown, panel, view) for panel in panels]
    sections.append(Section("How to read it", _READING))
    table = exports.make_table(panels, shown.zone)
    attachment = Attachment("timeline.csv", "text/csv", exports.to_csv(table, shown.origin))
    return make_report(shown, "Timeline", author, sections, [attachment])


_READING = (
    "The band above each picture has the colour of the leading emotion; below it stand the seven probabilities, and "
    "valence: happy minus the strongest negative emotion, from −1 to 1.",
    "Where there are more rows than points, each point is a mean; ▲ marks peaks that it hides, and a shadow reaches "
    "from the lowest to the highest value.",
    f"Faded and dotted: the highest probability is below {UNCERTAIN_BELOW:.0%}, so the label is more likely wrong than "
    "right. Hatched: no results, for the reason in the table.",
)


def _tell_gaps(panel: Panel) -> list[tuple[float, float, str]]:
    return [(gap.start, gap.end, tell_state(gap.state)) for gap in iterate_rows(panel.gaps)]


def _describe_panel(shown: Shown, panel: Panel, view: PanelView) -> Section:
    gaps = _tell_gaps(panel)
    told = [(shown.tell(start), shown.tell(end), tell_duration(end - start), why) for start, end, why in gaps]
    columns: tuple[str, ...] = ("from", "to", "for", "no results, because")
    tables = [ReportTable(columns, told[:_MAX_GAPS], caption="Gaps")] if gaps else []
    points = panel.points
    if not len(points):
        return Section(panel.name, ["No results in this range."], tables=tables)
    mean, number = average(points), int(points["num_faces"].sum())
    row = [f"{number:,}", *(f"{mean[name]:.1%}" for name in EMOTIONS), f"{mean['valence']:+.2f}",
           f"{points['num_uncertain'].sum() / number:.1%}"]  # fmt: skip
    columns = ("rows", *VALUES, "uncertain")
    numbers = [ReportTable(columns, [row], frozenset(columns), "Means over all rows")]
    if view.moment is not None and shown.start <= view.moment <= shown.end:
        numbers.append(_describe_moment(shown, points, view.moment))
    picture = draw_panel(_to_report(panel, gaps), view)
    strongest = ", ".join(f"{name} {value:.0%}" for name, value in mean[list(EMOTIONS)].nlargest(3).items())
    return Section(panel.name, (), [Picture(picture, f"{panel.name} over time: on average {strongest}.")],
                   [*numbers, *tables])  # fmt: skip


def _describe_moment(shown: Shown, points: pd.DataFrame, moment: float) -> ReportTable:
    nearest = points.iloc[int(np.abs(points["time_s"].to_numpy() - moment).argmin())]
    columns = ("time", "label", *VALUES)
    values = [f"{nearest[name]:.1%}" for name in EMOTIONS] + [f"{nearest['valence']:+.2f}"]
    row = [shown.tell(float(nearest["time_s"])), str(nearest["label"]), *values]
    return ReportTable(columns, [row], frozenset(VALUES), f"Nearest to the moment {shown.tell(moment)}")


def _to_report(panel: Panel, gaps: Sequence[tuple[float, float, str]]) -> ReportPanel:
    points = panel.points
    means, lows, highs = (
        points[[f"{name}{end}" for name in VALUES]].to_numpy(np.float64) for end in ("", "_min", "_max")
    )
    is_uncertain = (points["num_uncertain"] * 2 > points["num_faces"]).to_numpy()
    times_s, segments = points["time_s"].to_numpy(np.float64), points["segment"].to_numpy(np.int64)
    return ReportPanel(times_s, means, lows, highs, is_uncertain, segments, panel.half_s, gaps)
