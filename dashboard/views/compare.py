"""Compare: faces, sessions or spans over each other or side by side, and what they have in common."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from contracts.timelines import VALUES
from dashboard.charts import compare_charts, timeline_charts
from dashboard.charts.theme import find_theme
from dashboard.files import exports
from dashboard.queries import compare_queries
from dashboard.reading.comparing import Strip, average_strips, find_bounds, make_bins
from dashboard.reading.panels import Panel, average
from dashboard.texts import show_errors, tell_seconds, to_html, to_line
from dashboard.widgets import choosing, compare_choosing
from dashboard.widgets.legend import show_legend

OVERLAID, SIDE_BY_SIDE = "overlaid", "side by side"
_CHART = {"displayModeBar": False}
_COLUMNS = 3


def render() -> None:
    """Draw the page."""
    st.title("Compare")
    strips = compare_choosing.choose_strips(choosing.choose_zone())
    if not strips:
        st.info("Choose what to compare: faces, sessions, or spans that were marked.", icon=":material/compare_arrows:")
        return
    panels, bin_s = compare_queries.read_strips(tuple(strips))
    bins = make_bins(panels, bin_s)
    if bins.empty:
        st.info("There are no results in these stretches of time.", icon=":material/compare_arrows:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layout = st.segmented_control(
            "Layout", [OVERLAID, SIDE_BY_SIDE], default=OVERLAID, required=True, key="layout",
            label_visibility="collapsed",
        )  # fmt: skip
        with_mean = st.toggle("Mean with its band", value=len(strips) > 2, key="with-mean", disabled=len(strips) < 2)
    group = average_strips(bins) if with_mean and len(strips) > 1 else None
    if layout == SIDE_BY_SIDE:
        _show_multiples(panels, find_bounds(strips))
    else:
        _show_overlay(bins, group, strips, bin_s)
    _show_numbers(bins, group, panels, strips, bin_s)


def _show_overlay(bins: pd.DataFrame, group: pd.DataFrame | None, strips: Sequence[Strip], bin_s: float) -> None:
    values = st.pills(
        "Values", VALUES, selection_mode="multi", default=["happy", "valence"], key="values",
        label_visibility="collapsed",
    )  # fmt: skip
    values = values or ["valence"]
    names = [one.name for one in strips]
    _show_lines(names, group is not None)
    st.plotly_chart(
        compare_charts.draw_overlay(bins, group, names, values, bin_s, find_bounds(strips), find_theme()),
        theme=None, config=_CHART, key="overlay",
        alt=f"{', '.join(values)} of {len(names)} strips over time. The numbers are in the table below.",
    )  # fmt: skip
    first, last = find_bounds(strips)
    aligned = "; the dotted line is where they are aligned" if first < 0 < last else ""
    band = "; grey: where the mean of all lies at 95 % confidence" if group is not None else ""
    st.caption(f"Each point is the mean over {tell_seconds(bin_s)}{aligned}{band}.")


def _show_lines(names: Sequence[str], has_group: bool) -> None:
    """Show which line is whose."""
    entries, base = [], "display:inline-block;width:1.8em;margin-right:0.5em;vertical-align:middle;border-top:3px"
    for index, name in enumerate(names):
        colour, dash = compare_charts.find_pen(index)
        style = "dashed" if dash == "dash" else "solid"
        entries.append((f"{base} {style} {colour}", name))
    if has_group:
        entries.append((f"{base} solid {find_theme().ink}", "mean"))
    drawn = "".join(
        f"<span style='margin-right:1.4em;white-space:nowrap'><span style='{line}'></span>{to_html(name)}</span>"
        for line, name in entries
    )
    st.html(f"<div role='note' aria-label='Lines of the chart' style='font-size:0.9em'>{drawn}</div>")


def _show_multiples(panels: Sequence[Panel], span: tuple[float, float]) -> None:
    show_legend()
    columns = st.columns(min(_COLUMNS, len(panels)))
    for index, panel in enumerate(panels):
        with columns[index % len(columns)]:
            figure = timeline_charts.draw_timeline(
                [panel],
                *span,
                theme=find_theme(),
                with_valence=False,
                with_facts=False,
                moment=0.0 if span[0] < 0 else None,
            )
            figure.update_layout(dragmode=False)
            mean = average(panel.points).drop("valence").sort_values(ascending=False)
            told = ", ".join(f"{name} {value:.0%}" for name, value in mean.head(2).items())
            st.plotly_chart(
                figure, theme=None, config=_CHART, key=f"multiple-{index}",
                alt=f"{to_line(panel.name)}: on average {told}. The numbers are in the table below.",
            )  # fmt: skip


def _show_numbers(
    bins: pd.DataFrame, group: pd.DataFrame | None, panels: Sequence[Panel], strips: Sequence[Strip], bin_s: float
) -> None:
    """Show the numbers behind the charts, and offer them as files."""
    means = pd.DataFrame([{"strip": panel.name, "rows": int(panel.points["num_faces"].sum()), **average(panel.points)}
                          for panel in panels])  # fmt: skip
    st.subheader("Means")
    st.dataframe(means, hide_index=True, column_config=exports.describe_columns(means))
    about = {
        "session_id": "comparison",
        "source": ", ".join(dict.fromkeys(one.name for one in strips))[:1000],
        "model_id": ", ".join(compare_queries.list_models(tuple(strips))),
        "settings": {"bin_s": bin_s, "strips": [one._asdict() for one in strips]},
    }
    tables = {"Table of these numbers": (bins, "bins")}
    if group is not None:
        tables["Table of the mean and its band"] = (group, "group")
    for title, (table, key) in tables.items():
        with st.expander(title):
            st.dataframe(table, hide_index=True, column_config=exports.describe_columns(table))
            exports.offer(table, about, f"compare-{key}")


with show_errors():
    render()
