"""The sampling rate under pressure, and who the driver is."""

import pytest

from ingest.driver import DriverChooser
from ingest.rates import RateStepper
from ingest.tracking import Track


def run(stepper: RateStepper, ages_s: list[float], start_s: float = 0.0) -> list[float]:
    """The rate after each second."""
    rates = []
    for second, age_s in enumerate(ages_s):
        stepper.update(start_s + second, age_s)
        rates.append(stepper.fps)
    return rates


def test_the_rate_steps_down_while_the_oldest_work_is_old_and_gives_each_step_time_to_show() -> None:
    assert run(RateStepper(10, 1.5, 0.5), [2.0] * 12) == [5, 5, 5, 2, 2, 2, 1, 1, 1, 1, 1, 1]


def test_the_rate_steps_up_after_ten_calm_seconds_and_not_while_the_age_lies_between_the_bounds() -> None:
    stepper = RateStepper(10, 1.5, 0.5)
    assert run(stepper, [2.0])[-1] == 5
    assert set(run(stepper, [1.0] * 60, start_s=1)) == {5}
    rates = run(stepper, [0.1] * 12, start_s=61)
    assert rates == [5] * 10 + [10] * 2


def test_a_single_moment_of_age_ends_the_calm() -> None:
    stepper = RateStepper(10, 1.5, 0.5)
    run(stepper, [2.0])
    assert set(run(stepper, [0.1] * 9 + [0.6] + [0.1] * 9, start_s=1)) == {5}


def make_track(track_id: int, size: float, at: float = 0.0) -> Track:
    return Track(track_id, (at, 0.0, at + size, size), 0.9, 0.0)


def choose(chooser: DriverChooser, time_s: float, *tracks: Track) -> int | None:
    chosen = chooser.choose(tracks, time_s)
    assert len(chosen) <= 1
    return chosen[0].track_id if chosen else None


def test_the_driver_is_the_largest_face_and_stays_it_while_a_passenger_leans_forward() -> None:
    chooser, driver, passenger = DriverChooser(), make_track(1, 100), make_track(2, 60, at=300)
    assert choose(chooser, 0.0, passenger, driver) == 1
    close = make_track(2, 150, at=300)
    assert choose(chooser, 0.2, close, driver) == 1
    assert choose(chooser, 0.4, passenger, driver) == 1
    assert choose(chooser, 1.5, close, driver) == 1, "its second begins anew"


def test_another_driver_takes_over_when_its_face_has_been_the_largest_for_a_second() -> None:
    chooser = DriverChooser()
    assert choose(chooser, 0.0, make_track(1, 100)) == 1
    assert choose(chooser, 1.0) is None
    assert choose(chooser, 2.0, make_track(2, 90)) is None, "the passenger, while the driver looks away"
    assert choose(chooser, 3.1, make_track(2, 90)) == 2


@pytest.mark.parametrize("size", [100.0, 110.0])
def test_a_face_that_is_about_as_large_never_takes_over(size: float) -> None:
    chooser = DriverChooser()
    assert choose(chooser, 0.0, make_track(1, 100)) == 1
    for second in range(1, 5):
        assert choose(chooser, second, make_track(1, 100), make_track(2, size, at=300)) == 1
