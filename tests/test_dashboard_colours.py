"""What is told by the emotions' colours is told otherwise too, and words on them can be read."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from charted_points import make_points
from timeline_rows import PROBABILITIES

from contracts import markers
from contracts.emotions import COLOURS, EMOTIONS, INKS, PALE
from dashboard.charts import summary_charts, timeline_charts
from dashboard.charts.shapes import find_contrast, find_ink, mix
from dashboard.charts.theme import DARK, LIGHT, Theme
from dashboard.reading.panels import make_panel

READABLE, SEEN = 4.5, 3.0  # WCAG 2, AA: words; what pictures are made of


def test_words_on_an_emotion_s_colour_can_be_read() -> None:
    assert find_contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    for name in EMOTIONS:
        assert find_contrast(INKS[name], COLOURS[name]) >= READABLE
        assert INKS[name] == find_ink(COLOURS[name])


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_numbers_of_transitions_can_be_read_however_dark_their_square_is(theme: Theme) -> None:
    numbers = pd.DataFrame(np.arange(1, 50).reshape(7, 7), index=EMOTIONS, columns=EMOTIONS)
    words = summary_charts.draw_transitions(numbers, theme).data[1]
    inks = dict(zip(words.text, words.textfont.color, strict=True))
    for number in range(1, 50):
        assert find_contrast(inks[str(number)], mix(theme.gap, theme.accent, number / 49)) >= READABLE


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_lines_are_told_apart_by_their_dashes_and_pale_ones_have_an_edge(theme: Theme) -> None:
    panel = make_panel("Face 1", make_points(np.arange(20.0), PROBABILITIES[:20]), [], 0.0, 20.0)
    drawn = timeline_charts.draw_timeline([panel], 0.0, 20.0, theme=theme, style="lines").to_plotly_json()["data"]
    lines = {trace["name"]: trace["line"] for trace in drawn if trace.get("name") in EMOTIONS}
    assert len({line["dash"] for line in lines.values()}) == len(EMOTIONS)
    for name in EMOTIONS:
        edges = [
            trace["line"]
            for trace in drawn
            if trace.get("line", {}).get("color") == theme.ink and trace["line"].get("dash") == lines[name]["dash"]
        ]
        assert find_contrast(COLOURS[name], theme.paper) >= SEEN or any(
            edge["width"] > lines[name]["width"] for edge in edges
        )
    assert {name for name in EMOTIONS if find_contrast(COLOURS[name], "#FFFFFF") < SEEN} == set(PALE)


def test_markers_stand_out_from_both_themes_and_words_are_readable() -> None:
    for theme, colour in product((LIGHT, DARK), markers.COLOURS.values()):
        assert find_contrast(colour, theme.paper) >= SEEN
    for theme in (LIGHT, DARK):
        for word in (theme.ink, theme.quiet, theme.accent):
            assert find_contrast(word, theme.paper) >= READABLE
