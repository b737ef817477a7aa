"""What months of reading come down to: memory that stays flat, back-off that spreads, clocks that can be corrected."""

import gc
import statistics
import threading
from contextlib import closing
from fractions import Fraction

import psutil
import pytest
from read_camera import watch
from rtsp_server import Act, encode_clip, run_camera

from contracts.sources import parse_source
from ingest.anchors import AnchorPicker
from ingest.backoff import Backoff
from ingest.camera import CameraReader
from ingest.camera_events import ClockAnchor, Connected, Disconnected
from ingest.connection import CameraOptions

CLIP = encode_clip(20, gop=5)


def test_memory_and_threads_stay_flat_over_a_thousand_reconnects() -> None:
    process = psutil.Process()
    options = CameraOptions(min_backoff_s=0.001, max_backoff_s=0.001)
    num_connected, sizes = 0, []
    with (
        run_camera(Act(CLIP, fps=500, close_at=8)) as camera,
        closing(iter(CameraReader(parse_source(camera.url), options))) as events,
    ):
        for event in events:
            num_connected += isinstance(event, Connected)
            if isinstance(event, Disconnected) and num_connected % 50 == 0:
                gc.collect()
                sizes.append(process.memory_info().rss)
            if num_connected == 1000:
                break
        assert threading.active_count() < 10
        assert process.num_fds() < 60
    # The first ones fill the allocator's pools.
    growth = statistics.median(sizes[-5:]) - statistics.median(sizes[2:7])
    assert growth < 3e6, sizes


def test_delays_double_up_to_a_bound_with_jitter_and_begin_again_after_success() -> None:
    backoff = Backoff(1.0, 60.0)
    delays = [backoff.next_delay_s() for _ in range(2000)]
    for delay_s, longest_s in zip(delays, [1, 2, 4, 8, 16, 32] + [60] * 2000, strict=False):
        assert longest_s / 2 <= delay_s <= longest_s
    assert len(set(delays)) == len(delays)
    backoff.reset()
    assert backoff.next_delay_s() <= 1.0


@pytest.mark.parametrize("good_after_s", [0.1, 1000.0])
def test_only_a_connection_that_was_good_for_a_while_shortens_the_delay(good_after_s: float) -> None:
    with run_camera(Act(CLIP, close_at=40)) as camera:
        attempts = watch(
            camera.url,
            lambda seen: len(seen) == 4 and seen[-1].disconnected is not None,
            min_backoff_s=0.02,
            max_backoff_s=10,
            good_after_s=good_after_s,
        )
    delays = [attempt.disconnected.retry_s or 0.0 for attempt in attempts if attempt.disconnected is not None]
    if good_after_s < 1:
        assert max(delays) <= 0.02
    else:
        assert delays == sorted(delays) and delays[3] >= 0.08


def test_anchors_come_at_the_start_and_tie_the_cameras_clock_to_the_walls() -> None:
    with run_camera(Act(CLIP)) as camera:
        (attempt,) = watch(camera.url, lambda seen: len(seen[-1].anchors) == 3, anchor_interval_s=1.0)
    offsets = [anchor.wall_s - anchor.pts / 90_000 for anchor in attempt.anchors]
    assert max(offsets[1:]) - min(offsets[1:]) < 0.3
    # The first packets waited inside FFmpeg until the stream's parameters were known.
    assert offsets[0] >= min(offsets) - 0.05


def test_drift_of_the_cameras_clock_shows_in_the_anchors_whatever_single_packets_do() -> None:
    """A camera whose clock runs 100 parts per million fast, behind a network that delays packets by up to 0.4 s."""
    picker = AnchorPicker(Fraction(1, 90_000), interval_s=60.0)
    anchors: list[ClockAnchor] = []
    wall_s = 0.0
    for index in range(25 * 3600):
        true_s = index / 25
        late_s = 0.4 * ((index * 7919) % 101) / 101
        wall_s = max(wall_s, true_s + late_s)  # packets do not overtake each other
        anchor = picker.add(round(true_s * 1.0001 * 90_000), wall_s)
        if anchor is not None:
            anchors.append(anchor)
    assert 60 <= len(anchors) <= 70
    first, last = anchors[1], anchors[-1]
    rate = (last.pts - first.pts) / 90_000 / (last.wall_s - first.wall_s)
    assert rate == pytest.approx(1.0001, abs=2e-5)
