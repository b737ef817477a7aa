"""Events, flips, lag and smoothing on sequences counted by hand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.events import Event, compute_event_f1, count_flips, count_matches, find_events, measure_lag
from training.smoothing import average_around, choose_smoother, list_smoothers, smooth_exponentially


def labels(text: str) -> NDArray[np.int64]:
    return np.array([int(digit) for digit in text])


def test_an_event_is_a_run_of_one_label() -> None:
    assert find_events(labels("0011102")) == [Event(0, 0, 2), Event(1, 2, 5), Event(0, 5, 6), Event(2, 6, 7)]
    assert find_events(labels("3")) == [Event(3, 0, 1)]
    assert find_events(labels("")) == []


def test_an_event_is_found_by_its_label_and_half_of_the_union() -> None:
    true = [Event(1, 0, 8)]
    assert count_matches(true, [Event(1, 0, 4)]) == 1
    assert count_matches(true, [Event(1, 0, 3)]) == 0
    assert count_matches(true, [Event(2, 0, 8)]) == 0


def test_each_event_is_matched_once_and_the_best_pair_first() -> None:
    assert count_matches([Event(1, 0, 4)], [Event(1, 0, 2), Event(1, 2, 4)]) == 1
    assert count_matches([Event(1, 0, 4), Event(1, 4, 8)], [Event(1, 0, 6), Event(1, 5, 8)]) == 2


def test_a_flickering_timeline_has_most_crops_right_and_few_events() -> None:
    """Two true events; five are said, of which the longest and the last match."""
    truth, flickering = labels("0000000011111111")[None], labels("0000020011111111")[None]
    assert (truth == flickering).mean() > 0.9
    assert compute_event_f1(truth, flickering) == pytest.approx(2 * 2 / (2 + 4))
    assert compute_event_f1(truth, truth) == 1
    assert compute_event_f1(truth, 1 - truth) == 0


def test_events_of_all_clips_are_counted_together() -> None:
    truth = np.stack((labels("0000"), labels("1111")))
    predicted = np.stack((labels("0000"), labels("1212")))
    assert compute_event_f1(truth, predicted) == pytest.approx(2 * 1 / (2 + 5))


def test_flips_are_changes_of_label() -> None:
    assert count_flips(labels("0012201")) == 4
    assert count_flips(labels("3")) == 0


def test_the_lag_counts_crops_until_the_new_emotion_is_named() -> None:
    truth = np.stack([labels("00001111")] * 3)
    predicted = np.stack((labels("00001111"), labels("00000011"), labels("00000000")))
    lag, missed = measure_lag(predicted, truth, np.array([4, 4, 4]))
    assert (lag, missed) == (1.0, pytest.approx(1 / 3))


def test_exponential_smoothing_starts_from_the_first_answer() -> None:
    rows = np.array([[1.0], [0.0], [0.0]], np.float32)
    assert smooth_exponentially(rows, 0.5).tolist() == [[1.0], [0.5], [0.25]]
    assert smooth_exponentially(rows, 1.0).tolist() == rows.tolist()
    assert rows.tolist() == [[1.0], [0.0], [0.0]]


def test_the_centred_mean_takes_what_there_is_at_the_ends() -> None:
    rows = np.array([[0.0], [3.0], [6.0], [0.0]], np.float32)
    assert average_around(rows, 1).tolist() == [[1.5], [3.0], [3.0], [3.0]]
    assert average_around(rows, 9).tolist() == [[2.25]] * 4


def test_smoothers_treat_each_clip_alone_and_keep_probabilities() -> None:
    rng = np.random.default_rng(0)
    clips = rng.dirichlet(np.ones(7), (3, 16)).astype(np.float32)
    for smooth in list_smoothers().values():
        smoothed = smooth(clips)
        assert smoothed.shape == clips.shape
        assert np.allclose(smoothed.sum(-1), 1, atol=1e-5)
        assert np.allclose(smoothed[1], smooth(clips[1]), atol=1e-6)


def test_the_smoother_is_chosen_by_its_accuracy() -> None:
    """Every second answer is wrong and a little weaker: only a mean over both sides is right everywhere."""
    truth = np.zeros((1, 16), np.int64)
    rows = np.where(np.arange(16)[:, None] % 2 == 0, [0.8, 0.2], [0.4, 0.6]).astype(np.float32)[None]
    name = choose_smoother(rows, truth)
    assert (list_smoothers()[name](rows).argmax(-1) == truth).all()
    assert choose_smoother(np.eye(2, dtype=np.float32)[[[0, 1, 0, 1]]], np.array([[0, 1, 0, 1]])) == (
        "exponential, weight 1"
    )
