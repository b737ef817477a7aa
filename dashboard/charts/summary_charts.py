"""The pictures of a summary: data frames in, a figure out."""

import pandas as pd
import plotly.graph_objects as go

from contracts.emotions import COLOURS, EMOTIONS, INKS
from dashboard.charts.shapes import find_ink, mix
from dashboard.charts.theme import Theme
from dashboard.texts import to_html

_BAR_PX = 42


def draw_shares(shares: pd.DataFrame, theme: Theme) -> go.Figure:
    """Draw a bar for each face: its time by emotion, the larger shares with their names."""
    shares = shares.assign(face=shares["face"].map(to_html))
    faces = list(dict.fromkeys(shares["face"]))
    figure = _make_figure(_BAR_PX * max(1, len(faces)) + 40, theme)
    for name in EMOTIONS:
        of_name = shares[shares["label"] == name]
        words = [f"{name} {share:.0%}" if share >= 0.12 else "" for share in of_name["share"]]
        bar = go.Bar(
            y=of_name["face"], x=of_name["share"], orientation="h", name=name, text=words, textposition="inside",
            insidetextanchor="middle", textangle=0, textfont={"color": INKS[name]},
            customdata=of_name[["seconds", "rows"]],
            marker={"color": COLOURS[name], "line": {"color": theme.ink, "width": 1}},
            hovertemplate=f"%{{y}}: {name} %{{x:.1%}}<br>%{{customdata[0]:.1f}} s, %{{customdata[1]}} rows"
            "<extra></extra>",
        )  # fmt: skip
        figure.add_trace(bar)
    figure.update_layout(barmode="stack", bargap=0.3)
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%", showgrid=False)
    figure.update_yaxes(categoryorder="array", categoryarray=faces[::-1], showgrid=False)
    return figure


def draw_transitions(transitions: pd.DataFrame, theme: Theme) -> go.Figure:
    """Draw how often each emotion was followed by each other, as a square of numbers."""
    numbers = transitions.to_numpy()
    most = max(1, int(numbers.max()))
    figure = _make_figure(340, theme)
    figure.add_trace(
        go.Heatmap(
            z=numbers, x=list(EMOTIONS), y=list(EMOTIONS), showscale=False, zmin=0, zmax=most, xgap=2, ygap=2,
            colorscale=[[0, theme.gap], [1, theme.accent]], hovertemplate="%{y} to %{x}: %{z}<extra></extra>",
        )
    )  # fmt: skip
    # The ink of a number follows its square's darkness.
    squares = [(row, column) for row, column in zip(*numbers.nonzero(), strict=True)]
    inks = [find_ink(mix(theme.gap, theme.accent, float(numbers[square]) / most)) for square in squares]
    figure.add_trace(
        go.Scatter(
            x=[EMOTIONS[column] for _, column in squares], y=[EMOTIONS[row] for row, _ in squares], mode="text",
            text=[f"{numbers[square]}" for square in squares], textfont={"color": inks, "size": 13}, hoverinfo="skip",
        )
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", title_text="from", showgrid=False)
    figure.update_xaxes(side="top", title_text="to", showgrid=False)
    figure.update_layout(margin={"t": 60, "b": 10})
    return figure


def _make_figure(height_px: int, theme: Theme) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        height=height_px, margin={"l": 70, "r": 24, "t": 6, "b": 30}, paper_bgcolor=theme.paper, dragmode=False,
        plot_bgcolor=theme.paper, font={"color": theme.ink, "size": 12}, showlegend=False,
        hoverlabel={"bgcolor": theme.paper, "font": {"color": theme.ink}, "bordercolor": theme.line},
    )  # fmt: skip
    figure.update_xaxes(fixedrange=True, zeroline=False, linecolor=theme.line)
    figure.update_yaxes(fixedrange=True, zeroline=False, linecolor=theme.line)
    return figure
