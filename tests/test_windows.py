"""Windows: every eligible face is stored exactly once, whatever the profile and the track."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.messages import CropSequence
from ingest.windows import PROFILES, FaceCrop, WindowBuffer, WindowProfile

GOLDEN = json.loads((Path(__file__).parent.parent / "docs" / "golden" / "windows.json").read_text())


def make_face(index: int, time_s: float) -> FaceCrop:
    return FaceCrop(
        pts=index,
        time_s=time_s,
        frame_index=index,
        box=(0.0, 0.0, 10.0, 10.0),
        detection_score=0.9,
        quality=0.5,
        crop=np.full((4, 4), index % 256, np.uint8),
    )


def collect(profile: WindowProfile, times_s: list[float], breaks: set[int]) -> Iterator[CropSequence]:
    buffer = WindowBuffer(profile, "session", "model")
    for index, time_s in enumerate(times_s):
        yield from buffer.add(1, make_face(index, time_s), is_break=index in breaks)
        yield from buffer.flush_overdue(time_s)
    yield from buffer.flush_all()


@st.composite
def profiles(draw: st.DrawFn) -> WindowProfile:
    window_length = draw(st.integers(1, 20))
    stride = draw(st.integers(1, window_length))
    lookahead = draw(st.integers(0, window_length - stride))
    deadline_s = draw(st.none() | st.floats(0.05, 3))
    return WindowProfile(window_length, stride, lookahead, deadline_s, max_gap_s=draw(st.floats(0.2, 3)))


@given(
    profile=profiles(),
    steps=st.lists(st.sampled_from([0.04, 0.1, 0.5, 1.5, 4.0]), max_size=70),
    breaks=st.sets(st.integers(0, 70), max_size=5),
)
def test_every_face_of_a_track_is_stored_exactly_once_in_order(
    profile: WindowProfile, steps: list[float], breaks: set[int]
) -> None:
    times_s = np.cumsum(steps).tolist()
    stored: list[int] = []
    for window in collect(profile, times_s, breaks):
        stored += window.pts[window.store_from : window.store_to]
        assert 1 <= len(window.pts) <= profile.window_length
        inside = np.diff(window.times_s)
        assert (inside <= profile.max_gap_s + 1e-9).all()
        assert not breaks & set(window.pts[1:]), "a window goes on across a likely change of person"
        assert window.read_crops()[:, 0, 0].tolist() == [pts % 256 for pts in window.pts]
    assert stored == list(range(len(times_s)))


@given(num_faces=st.integers(30, 200))
def test_in_the_middle_of_a_track_each_stored_face_has_context_on_both_sides(num_faces: int) -> None:
    profile = PROFILES["batch"]
    windows = list(collect(profile, [index / 10 for index in range(num_faces)], set()))
    for window in windows[1:-1]:
        assert window.store_from >= profile.window_length - profile.stride - profile.lookahead
        assert len(window.pts) - window.store_to == profile.lookahead


def test_a_live_face_waits_for_others_no_longer_than_the_deadline() -> None:
    profile = PROFILES["live"]
    assert profile.deadline_s is not None
    buffer = WindowBuffer(profile, "session", "model")
    assert list(buffer.add(1, make_face(0, 0.0))) == []
    assert list(buffer.flush_overdue(0.9)) == []
    [window] = buffer.flush_overdue(1.0)
    assert window.pts == (0,)
    assert list(buffer.flush_overdue(5.0)) == [], "it is stored once only"


def test_tracks_do_not_share_windows() -> None:
    buffer = WindowBuffer(PROFILES["batch"], "session", "model")
    windows = [
        window
        for index in range(40)
        for track_id in (1, 2)
        for window in buffer.add(track_id, make_face(2 * index + track_id, index / 10))
    ]
    windows += buffer.flush_all()
    for track_id in (1, 2):
        stored = [p for w in windows if w.track_id == track_id for p in w.pts[w.store_from : w.store_to]]
        assert stored == [2 * index + track_id for index in range(40)]


def test_a_profile_whose_windows_cannot_hold_stride_and_lookahead_is_refused() -> None:
    with pytest.raises(ValueError, match="stride"):
        WindowProfile(window_length=8, stride=6, lookahead=4, deadline_s=None)


@pytest.mark.parametrize("example", GOLDEN, ids=lambda example: example["name"])
def test_windows_are_cut_as_the_contract_shows(example: dict[str, object]) -> None:
    profile = PROFILES[example["profile"]]
    windows = collect(profile, example["times_s"], set(example["breaks"]))
    found = [{"pts": list(w.pts), "store": [w.store_from, w.store_to]} for w in windows]
    assert found == example["windows"]
