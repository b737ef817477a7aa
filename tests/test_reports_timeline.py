"""What a timeline's picture shows, and what it must not."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from reported_sessions import make_probabilities, make_row, make_session, make_stretch, open_store

from contracts import store
from contracts.database import read_transaction
from contracts.emotions import EMOTIONS
from reports.series import (
    Gap,
    TrackSeries,
    average_bins,
    find_absences,
    find_gaps,
    pad_segments,
    read_series,
    split_segments,
)
from reports.timeline import draw_timeline


def draw_texts(monkeypatch: pytest.MonkeyPatch, engine, session, path: Path) -> str:  # type: ignore[no-untyped-def]
    """Draw the timeline of ``session`` and return all the words in the picture."""
    words: list[str] = []
    save = Figure.savefig

    def read_and_save(figure: Figure, *args: object, **kwargs: object) -> None:
        texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
        words.extend(text.get_text() for text in texts)
        words.extend(axes.get_xlabel() for axes in figure.axes)
        save(figure, *args, **kwargs)

    monkeypatch.setattr(Figure, "savefig", read_and_save)
    with read_transaction(engine) as connection:
        session_id = session["session_id"]
        series = read_series(connection, session_id)
        coverage, tracks = store.list_coverage(connection, session_id), store.list_tracks(connection, session_id)
    draw_timeline(path, session, series, coverage, tracks, [])
    return "\n".join(words)


def test_a_series_breaks_where_a_gap_of_coverage_begins() -> None:
    times_s = np.arange(0, 4, 0.1)
    assert split_segments(times_s, [Gap(1.95, 1.98, "no_face")]) == [slice(0, 20), slice(20, 40)]
    assert split_segments(times_s, []) == [slice(0, 40)]


def test_a_series_breaks_where_samples_are_too_far_apart() -> None:
    times_s = np.array([0.0, 0.1, 0.2, 0.6, 0.7, 1.3, 1.4])
    assert split_segments(times_s, []) == [slice(0, 5), slice(5, 7)]  # 0.4 s is bridged, 0.6 s is not
    slow_s = np.array([0.0, 10.0, 20.0, 30.0, 54.0, 80.0])
    assert split_segments(slow_s, []) == [slice(0, 5), slice(5, 6)]


def test_series_of_one_sample_and_of_none_have_one_segment_and_none() -> None:
    assert split_segments(np.array([3.0]), []) == [slice(0, 1)]
    assert split_segments(np.array([]), [Gap(0, 1, "no_face")]) == []


def test_nothing_is_drawn_between_segments() -> None:
    series = TrackSeries(1, np.array([0.0, 0.1, 5.0, 5.1]), make_probabilities(4))
    times_s, probabilities = pad_segments(series, split_segments(series.times_s, []), 0.05)
    drawn = np.isfinite(probabilities).all(axis=1)
    joined = drawn[1:] & drawn[:-1]
    assert np.diff(times_s)[joined].max() == pytest.approx(0.1)


def test_gaps_last_until_the_next_stretch_and_neighbours_of_one_reason_are_joined() -> None:
    coverage = [
        make_stretch("analysed", 0, 1, 25),
        make_stretch("no_face", 1, 1.9, 20),
        make_stretch("no_face", 2, 2.9, 20),
        make_stretch("analysed", 3, 4, 25),
        make_stretch("interrupted", 4, 9, 0),
    ]
    assert find_gaps(coverage) == [Gap(1, 3, "no_face"), Gap(4, 9, "interrupted")]


def test_the_absence_of_one_face_is_what_neither_it_nor_a_gap_covers() -> None:
    absences = find_absences([(2.0, 4.0), (8.0, 9.8)], [Gap(4.0, 6.0, "no_face")], 10.0)
    assert [(gap.start_s, gap.end_s) for gap in absences] == [(0.0, 2.0), (6.0, 8.0)]


def test_averaged_bins_keep_sums_of_one_and_invent_no_times() -> None:
    series = TrackSeries(1, np.concatenate([np.arange(0, 10, 0.01), np.arange(50, 60, 0.01)]), make_probabilities(2000))
    binned = average_bins(series, 0.5)
    assert len(binned.times_s) == 40
    assert not np.any((binned.times_s > 10) & (binned.times_s < 50))
    assert binned.probabilities.sum(axis=1) == pytest.approx(1)


def test_a_track_of_very_many_rows_is_read_into_a_bounded_series(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    probabilities = make_probabilities(25_000)
    session = make_session(engine, [make_row(1, 0.04 * i, one) for i, one in enumerate(probabilities)])
    with read_transaction(engine) as connection:
        (series,) = read_series(connection, session["session_id"])
    assert 15_000 < len(series.times_s) <= 20_001
    assert np.all(np.diff(series.times_s) > 0)
    assert series.probabilities.mean(axis=0) == pytest.approx(probabilities.mean(axis=0), abs=0.01)


def test_the_picture_tells_the_reasons_of_gaps_and_hidden_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_store(tmp_path)
    rows = [
        make_row(track_id, time_s, make_probabilities(1, track_id)[0])
        for track_id in range(1, 9)
        for time_s in np.arange(0, 60, 0.5)
        if not 20 <= time_s < 40 and time_s < 58 - track_id
    ]
    coverage = [make_stretch("analysed", 0, 20, 40), make_stretch("backpressure", 20, 40, 40)]
    coverage.append(make_stretch("analysed", 40, 60, 40))
    session = make_session(engine, rows, coverage, name="a $5 clip.mp4", duration_s=60)
    texts = draw_texts(monkeypatch, engine, session, tmp_path / "timeline.png")
    assert "workers behind" in texts and "not in view" in texts and "time (s)" in texts
    assert "2 more faces are not shown" in texts and "80 frames analysed" in texts
    assert re.findall(r"Face (\d)", texts) == ["1", "2", "3", "4", "5", "6"]
    height, width, _ = imread(tmp_path / "timeline.png").shape
    assert width == 1600 and height > 6 * 200


def test_a_session_without_faces_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, [], [make_stretch("no_face", 0, 60, 1500)], duration_s=60)
    assert "no face found" in draw_texts(monkeypatch, engine, session, tmp_path / "timeline.png")
    still = make_session(engine, [], [make_stretch("low_quality", 0, 0, 1)], "portrait.jpg", 0.0)
    assert "face too small" in draw_texts(monkeypatch, engine, still, tmp_path / "still.png")
    bare = make_session(engine, name="bare.mp4")
    assert "no face found" in draw_texts(monkeypatch, engine, bare, tmp_path / "bare.png")


def test_a_still_picture_shows_seven_bars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_store(tmp_path)
    rows = [make_row(1, 0.0, [0.05, 0.05, 0.1, 0.6, 0.1, 0.05, 0.05])]
    session = make_session(engine, rows, [make_stretch("analysed", 0, 0, 1)], "portrait.jpg", 0.0)
    texts = draw_texts(monkeypatch, engine, session, tmp_path / "timeline.png")
    assert texts.count("%") >= len(EMOTIONS) and "60%" in texts and "1 frame analysed" in texts
    assert (tmp_path / "timeline.png").stat().st_size > 5000


def test_hours_of_flickering_detection_render(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    times_s = np.arange(0, 7200, 0.5)
    probabilities = make_probabilities(len(times_s))
    rows = [make_row(1, time_s, one) for time_s, one in zip(times_s, probabilities, strict=True)]
    coverage = [
        make_stretch(state, time_s + shift, time_s + shift, 1)
        for time_s in times_s
        for state, shift in (("analysed", 0.0), ("no_face", 0.25))
    ]
    session = make_session(engine, rows, coverage, duration_s=7200)
    with read_transaction(engine) as connection:
        series = read_series(connection, session["session_id"])
        tracks = store.list_tracks(connection, session["session_id"])
    draw_timeline(tmp_path / "timeline.png", session, series, coverage, tracks, [])
    assert imread(tmp_path / "timeline.png").shape[1] == 1600
