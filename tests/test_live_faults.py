"""A camera's whole run through every fault that cameras have: sessions, reasons, what is told, balanced ledgers."""

from collections.abc import Iterator
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path

import pytest
from street import Outcome, Outcomes, run_street

from contracts import ledger, store
from contracts.stream_state import BACKING_OFF, CONNECTING, FAILED, LIVE, STALLED
from ingest.connection import Reason

SETTINGS = {
    "CAMERA_OPEN_TIMEOUT_S": "4",
    "CAMERA_READ_TIMEOUT_S": "5",
    # Half of it at least is waited, and what a run tells is a second old at most.
    "CAMERA_MIN_BACKOFF_S": "3",
    "CAMERA_MAX_BACKOFF_S": "3",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, valkey_url: str, carphone: Path) -> Iterator[Outcomes]:
    """What becomes of each camera; they begin together."""
    with run_street(tmp_path_factory.mktemp("street"), valkey_url, carphone, SETTINGS) as found:
        yield found


def check(future: Future[Outcome], *reasons: str) -> Outcome:
    """Check what holds for every camera, and that its sessions ended for these ``reasons``; return what it left."""
    outcome = future.result()
    assert [row["end_reason"] for row in outcome.sessions] == [*reasons, "stopped"]
    assert {row["epoch"] for row in outcome.sessions} == {1}, "one run bore it all"
    for row, found in zip(outcome.sessions, outcome.ledgers, strict=True):
        assert row["status"] == store.COMPLETE, row["error"]
        assert found.find_imbalances() == [] and found.rejected == 0 and found.rows == found.published > 0
        assert row["ended_at"] >= row["started_at"]
    for before, after in pairwise(outcome.sessions):
        assert before["ended_at"] <= after["started_at"]
    return outcome


def test_a_camera_that_accepts_without_media_backs_off_and_is_tried_again(outcomes: Outcomes) -> None:
    outcome = check(outcomes["accepts without media"])
    assert outcome.has_told(CONNECTING, BACKING_OFF, LIVE)
    assert "no video came within 4 s of connecting" in outcome.messages


def test_a_camera_that_freezes_is_stalled_and_then_connected_anew(outcomes: Outcomes) -> None:
    outcome = check(outcomes["freezes"], Reason.TIMEOUT)
    assert outcome.has_told(LIVE, STALLED, BACKING_OFF, LIVE)
    assert "no picture comes" in outcome.messages and "no packet came for 5 s" in outcome.messages
    assert outcome.ledgers[0].packets == outcome.num_sent[0] == 40


def test_a_camera_that_dies_and_comes_back_begins_a_new_session(outcomes: Outcomes) -> None:
    outcome = check(outcomes["dies"], Reason.END_OF_STREAM)
    assert outcome.has_told(LIVE, BACKING_OFF, LIVE)


def test_damaged_packets_and_what_hangs_on_them_are_counted(outcomes: Outcomes) -> None:
    first, _ = check(outcomes["sends damaged packets"], Reason.END_OF_STREAM).ledgers
    assert (first.packets, first.undecodable) == (60, 1)
    assert first.skipped[ledger.AWAITING_KEYFRAME] == 30 - 24


def test_frames_that_never_come_are_no_loss_of_ours(outcomes: Outcomes) -> None:
    first, _ = check(outcomes["loses frames"], Reason.END_OF_STREAM).ledgers
    assert (first.packets, first.undecodable) == (55, 0)


def test_a_part_of_a_frame_that_is_lost_on_the_way_costs_the_frames_until_the_next_keyframe(
    outcomes: Outcomes,
) -> None:
    first, _ = check(outcomes["loses packets"], Reason.END_OF_STREAM).ledgers
    assert first.packets == 60
    assert (first.undecodable, first.skipped[ledger.AWAITING_KEYFRAME]) == (1, 20 - 14)


def test_another_picture_size_begins_a_new_session(outcomes: Outcomes) -> None:
    outcome = check(outcomes["changes its size"], Reason.FORMAT_CHANGE)
    assert outcome.ledgers[0].skipped[ledger.INTERRUPTED] == 1
    assert [row["facts"]["width"] for row in outcome.sessions] == [176, 160]


def test_a_jump_of_the_clock_begins_a_new_session(outcomes: Outcomes) -> None:
    outcome = check(outcomes["jumps its clock"], Reason.CLOCK_JUMP)
    assert outcome.ledgers[0].packets == 40
    assert outcome.sessions[0]["facts"]["last_time_s"] < 3


def test_a_camera_that_is_slow_to_start_is_waited_for(outcomes: Outcomes) -> None:
    outcome = check(outcomes["is slow"])
    assert outcome.has_told(CONNECTING, LIVE) and BACKING_OFF not in outcome.states


def test_a_camera_without_such_a_stream_has_failed_until_it_has_one(outcomes: Outcomes) -> None:
    outcome = check(outcomes["is not there"])
    assert outcome.has_told(FAILED, LIVE)
    assert any("there is no such stream" in message for message in outcome.messages)
