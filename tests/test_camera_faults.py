"""Cameras fail in every way that there is; the reader says so in bounded time, comes back, and accounts for all."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from read_camera import QUICK, Attempt, frames_in_second, watch
from rtsp_server import CLOCK_HZ, Act, encode_clip, run_camera

from contracts import ledger
from ingest.connection import Reason

GOP, FPS = 10, 100
CLIP = encode_clip(40, gop=GOP)
LARGE_CLIP = encode_clip(20, 320, 240, gop=GOP)
TICKS = CLOCK_HZ // FPS  # from one frame to the next


def has_frames(num: int) -> Callable[[list[Attempt]], bool]:
    return lambda attempts: len(attempts[-1].frames) >= num


def test_a_camera_that_works_is_read_without_loss() -> None:
    with run_camera(Act(CLIP)) as camera:
        (attempt,) = watch(camera.url, has_frames(60))
    assert attempt.connected is not None
    facts = attempt.connected.facts
    assert (facts.codec, facts.width, facts.height) == ("h264", 160, 120)
    assert [frame.pts for frame in attempt.frames[1:]] == [TICKS * index for index in range(1, 60)]
    assert (attempt.undecodable, attempt.skipped) == ([], [])


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_closes_is_connected_again(transport: str) -> None:
    with run_camera(Act(CLIP, close_at=30)) as camera:
        first, second = watch(camera.url, frames_in_second, transport=transport)
    assert first.disconnected is not None and first.disconnected.reason is Reason.END_OF_STREAM
    assert len(first.frames) == 30 == camera.num_sent[0]
    assert second.frames[0].index == 0 and second.frames[0].time_s == 0.0


def test_joining_between_keyframes_waits_for_the_next_one() -> None:
    with run_camera(Act(CLIP, first=GOP - 4, close_at=20), Act(CLIP, first=3)) as camera:
        first, second = watch(camera.url, frames_in_second)
    assert [item.reason for item in first.skipped] == [ledger.AWAITING_KEYFRAME] * 4
    assert first.frames[0].pts == 4 * TICKS
    assert len(first.frames) == 20 - 4
    assert second.num_awaiting == GOP - 3


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_camera_that_freezes_is_given_up_after_the_read_timeout(transport: str) -> None:
    with run_camera(Act(CLIP, freeze_at=30), Act(CLIP)) as camera:
        first, second = watch(camera.url, frames_in_second, transport=transport)
    assert first.disconnected is not None and first.disconnected.reason is Reason.TIMEOUT
    # The frame before the silence is among them, although FFmpeg keeps it until another one begins.
    assert len(first.frames) == 30
    silent_s = first.disconnected.at - first.frames[-2].arrived_at
    assert QUICK["read_timeout_s"] <= silent_s < QUICK["read_timeout_s"] + 2
    assert second.connected is not None


@pytest.mark.parametrize("act", [Act(is_silent=True), Act(CLIP, has_media=False)], ids=["no answer", "no media"])
def test_a_camera_that_stays_silent_is_given_up_after_the_open_timeout(act: Act) -> None:
    begin_s = time.monotonic()
    with run_camera(act, Act(CLIP)) as camera:
        first, second = watch(camera.url, frames_in_second, open_timeout_s=1.5)
    assert first.disconnected is not None and first.disconnected.reason is Reason.TIMEOUT
    assert first.disconnected.message == "no video came within 1.5 s of connecting"
    assert (first.connected, first.frames) == (None, [])
    assert time.monotonic() - begin_s < 8
    assert len(second.frames) >= 5


@contextmanager
def swallow_connections() -> Iterator[int]:
    """Give a port to which packets go without any answer: its queue of connections is full."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for client in clients:
            client.close()


def test_a_host_that_swallows_packets_is_given_up_after_the_open_timeout() -> None:
    with swallow_connections() as port:
        (attempt,) = watch(f"rtsp://127.0.0.1:{port}/live", lambda seen: bool(seen[-1].disconnected), open_timeout_s=1)
    assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.TIMEOUT


def test_a_host_where_nothing_listens_is_refused_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"rtsp://127.0.0.1:{unused.getsockname()[1]}/live"
        attempts = watch(url, lambda seen: len(seen) == 3 and bool(seen[-1].disconnected))
    for attempt in attempts:
        assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.REFUSED


@pytest.mark.parametrize("act", [Act(CLIP, answer_delay_s=2.5), Act(CLIP, media_delay_s=2.5)], ids=["answer", "media"])
def test_a_slow_start_is_waited_for_when_configured(act: Act) -> None:
    """In small what a camera does that takes 40 s to start: longer than the read time-out."""
    with run_camera(act) as camera:
        (attempt,) = watch(camera.url, has_frames(5), open_timeout_s=10)
    assert attempt.disconnected is None


def test_damaged_packets_cost_the_frames_until_the_next_keyframe_and_no_more() -> None:
    with run_camera(Act(CLIP, damage=frozenset({13, 36}), close_at=60)) as camera:
        attempt, *_ = watch(camera.url, lambda seen: bool(seen[-1].disconnected))
    assert [item.pts for item in attempt.undecodable] == [13 * TICKS, 36 * TICKS]
    expected = [*range(14, 20), *range(37, 40)]
    assert [item.pts for item in attempt.skipped] == [TICKS * index for index in expected]
    shown = [index for index in range(60) if index not in {13, 36, *expected}]
    assert [frame.pts for frame in attempt.frames] == [TICKS * index for index in shown]


def test_a_damaged_keyframe_costs_its_whole_group() -> None:
    with run_camera(Act(CLIP, damage=frozenset({GOP}), close_at=40)) as camera:
        attempt, *_ = watch(camera.url, lambda seen: bool(seen[-1].disconnected))
    assert len(attempt.undecodable) == 1 and attempt.num_awaiting == GOP - 1
    assert len(attempt.frames) == 40 - GOP


def test_parts_of_frames_lost_on_udp_are_noticed() -> None:
    noisy = encode_clip(20, gop=GOP, picture=draw_noise)
    with run_camera(Act(noisy, thin=frozenset({12}), close_at=30)) as camera:
        attempt, *_ = watch(camera.url, lambda seen: bool(seen[-1].disconnected), transport="udp")
    assert 12 * TICKS in [item.pts for item in attempt.undecodable]
    group = [TICKS * index for index in range(GOP, 2 * GOP)]
    assert [frame.pts for frame in attempt.frames if frame.pts in group] == group[:2]
    assert attempt.frames[-1].pts > group[-1]


def draw_noise(index: int) -> NDArray[np.uint8]:
    """Return a picture so full of detail that it takes several packets."""
    return np.random.default_rng(index).integers(0, 255, (120, 160, 3), np.uint8)


def test_frames_that_never_come_leave_a_gap_in_time_and_no_frame_is_made_up() -> None:
    with run_camera(Act(CLIP, lose=frozenset(range(15, 20)), close_at=40)) as camera:
        attempt, *_ = watch(camera.url, lambda seen: bool(seen[-1].disconnected))
    shown = [index for index in range(40) if not 15 <= index < 20]
    assert [frame.pts for frame in attempt.frames] == [TICKS * index for index in shown]


@pytest.mark.parametrize("jump_s", [-100.0, -5.0, 100.0])
def test_a_jump_of_the_cameras_clock_begins_a_new_session(jump_s: float) -> None:
    with run_camera(Act(CLIP, jump_at=30, jump_s=jump_s), Act(CLIP)) as camera:
        first, second = watch(camera.url, frames_in_second)
    assert first.disconnected is not None and first.disconnected.reason is Reason.CLOCK_JUMP
    assert len(first.frames) == 30
    assert second.frames[0].time_s == 0.0


def test_timestamps_that_wrap_are_no_jump() -> None:
    """RTP's 32 bits last 13 hours at 90 kHz (RFC 3550, section 5.1)."""
    with run_camera(Act(CLIP, first_ticks=2**32 - 20 * TICKS)) as camera:
        (attempt,) = watch(camera.url, has_frames(40))
    assert [frame.pts for frame in attempt.frames[1:]] == [TICKS * index for index in range(1, 40)]


def test_another_picture_size_begins_a_new_session() -> None:
    acts = (Act(CLIP, next_clip=LARGE_CLIP, change_at=30), Act(LARGE_CLIP))
    with run_camera(*acts) as camera:
        first, second = watch(camera.url, frames_in_second)
    assert first.disconnected is not None and first.disconnected.reason is Reason.FORMAT_CHANGE
    assert first.disconnected.message == "pictures changed from 160×120 to 320×240"
    assert {frame.image.width for frame in first.frames} == {160} and len(first.frames) == 30
    assert [item.reason for item in first.skipped] == [ledger.INTERRUPTED]
    assert {frame.image.width for frame in second.frames} == {320}


def test_packets_without_any_picture_are_given_up() -> None:
    endless = CLIP[:1] + CLIP[1:GOP] * 20  # one keyframe, which each connection has just missed
    with run_camera(Act(endless, first=1)) as camera:
        (attempt,) = watch(camera.url, lambda seen: bool(seen[-1].disconnected), picture_timeout_s=1)
    assert attempt.disconnected is not None and attempt.disconnected.reason is Reason.NO_PICTURE
    assert attempt.frames == [] and attempt.num_awaiting > 20
