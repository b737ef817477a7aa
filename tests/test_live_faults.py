"""A camera's whole run through every fault that cameras have: sessions, reasons, what is told, balanced ledgers.

All of them run at once, because most of their time is waiting.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import redis
import sqlalchemy as sa
from camera_runs import LANE, add_camera, camera_running, configure, wait_for, worker_running
from make_videos import read_pictures
from proxy import Proxy, run_proxy
from rtsp_server import Act, encode_clip, run_camera

from contracts import ledger, sealing, store
from contracts.database import migrate, open_database, read_transaction
from contracts.ledger import Ledger
from contracts.schema import sessions
from contracts.stream_state import BACKING_OFF, CONNECTING, FAILED, LIVE, STALLED, read_states
from ingest.connection import Reason

FPS, GOP = 20, 10
SETTINGS = {
    "CAMERA_OPEN_TIMEOUT_S": "4",
    "CAMERA_READ_TIMEOUT_S": "5",
    # Half of it at least is waited, and what a run tells is a second old at most.
    "CAMERA_MIN_BACKOFF_S": "3",
    "CAMERA_MAX_BACKOFF_S": "3",
}


@dataclass
class Outcome:
    """What a camera left behind: its sessions and their sealed ledgers, what its run told of itself, frames sent."""

    sessions: list[store.Row]
    ledgers: list[Ledger]
    told: list[tuple[str, str]]
    num_sent: list[int]

    @property
    def states(self) -> list[str]:
        return [state for state, _ in self.told]

    @property
    def messages(self) -> set[str]:
        return {message for _, message in self.told}

    def has_told(self, *expected: str) -> bool:
        """Whether the run told these states in this order, with others in between or not."""
        told = iter(self.states)
        return all(state in told for state in expected)


Outcomes = dict[str, Future[Outcome]]


class Street:
    """Cameras that run side by side, with one inference worker for all."""

    def __init__(self, engine: sa.Engine, client: redis.Redis, carphone: Path) -> None:
        self.engine, self._client = engine, client
        pictures = read_pictures(carphone, limit=40)
        self.clip = encode_clip(40, 176, 144, gop=GOP, picture=lambda index: pictures[index])
        self.small_clip = encode_clip(40, 160, 128, gop=GOP, picture=lambda index: pictures[index][8:136, 8:168])
        # Full of detail, so that each frame takes several packets.
        noise = np.random.default_rng(0).integers(-12, 12, (40, *pictures[0].shape))
        noisy = [np.clip(picture + noise[index], 0, 255).astype(np.uint8) for index, picture in enumerate(pictures)]
        self.noisy_clip = encode_clip(40, 176, 144, gop=GOP, picture=lambda index: noisy[index])
        self._told: dict[str, list[tuple[str, str]]] = {}

    def note_states(self, is_over: threading.Event) -> None:
        """Take down what the runs tell, as it changes."""
        while not is_over.wait(0.1):
            for stream_id, state in read_states(self._client, list(self._told)).items():
                told = self._told[stream_id]
                if not told or told[-1] != (state.state, state.message):
                    told.append((state.state, state.message))

    def play(self, name: str, *acts: Act, num_sessions: int) -> Outcome:
        """Run a camera until its last session has pictures."""

        def wait_until_done(stream_id: str, _proxy: Proxy) -> None:
            wait_for(lambda: self.has_frames(stream_id, num_sessions), f"the last session of {name}")

        return self.run(name, acts, wait_until_done)

    def run(self, name: str, acts: Sequence[Act], meanwhile: Callable[[str, Proxy], None]) -> Outcome:
        """Run a camera while ``meanwhile`` lasts; then have every session sealed."""
        with run_camera(*acts) as camera, run_proxy(("127.0.0.1", urlsplit(camera.url).port or 0)) as proxy:
            transport = "udp" if any(act.thin for act in acts) else "tcp"
            url = camera.url if transport == "udp" else f"rtsp://127.0.0.1:{proxy.port}/live"
            stream_id = add_camera(self.engine, url, name, fps=5, transport=transport)
            self._told[stream_id] = []
            with camera_running(stream_id):
                meanwhile(stream_id, proxy)
        ids = [row["session_id"] for row in self.list_sessions(stream_id)]
        wait_for(lambda: not any(map(self._count_waiting, ids)), f"the last rows of {name}")
        with self.engine.begin() as connection:
            ledgers = [sealing.seal_session(connection, session_id) for session_id in ids]
        return Outcome(self.list_sessions(stream_id), ledgers, self._told[stream_id], camera.num_sent)

    def list_sessions(self, stream_id: str) -> list[store.Row]:
        query = sa.select(sessions).where(sessions.c.source_id == stream_id).order_by(sessions.c.started_at)
        with read_transaction(self.engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def has_frames(self, stream_id: str, num_sessions: int) -> bool:
        found = self.list_sessions(stream_id)
        return len(found) >= num_sessions and (found[-1]["num_frames"] or 0) >= 20

    def has_told(self, stream_id: str, part: str) -> bool:
        return any(part in message for _, message in self._told[stream_id])

    def _count_waiting(self, session_id: str) -> int:
        with read_transaction(self.engine) as connection:
            return sealing.count_missing_faces(connection, [session_id])[session_id]

    def lose_and_find(self, act: Act) -> Outcome:
        """Run a camera that loses its power for some seconds."""

        def cut_and_mend(stream_id: str, proxy: Proxy) -> None:
            wait_for(lambda: self.has_frames(stream_id, 1), "the first session")
            proxy.cut()
            wait_for(lambda: self.has_told(stream_id, "refused"), "the refusal")
            proxy.mend()
            wait_for(lambda: self.has_frames(stream_id, 2), "the second session")

        return self.run("dies", [act], cut_and_mend)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, valkey_url: str, carphone: Path) -> Iterator[Outcomes]:
    """What becomes of each camera; they begin together."""
    folder = tmp_path_factory.mktemp("street")
    engine = open_database(f"sqlite:///{folder / 'test.db'}")
    migrate(engine)
    client = redis.Redis.from_url(valkey_url, protocol=2)
    client.flushall()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(12) as pool:
        configure(patch, folder, valkey_url, engine)
        for name, value in SETTINGS.items():
            patch.setenv(f"EMOTRACE_{name}", value)
        street, is_over = Street(engine, client, carphone), threading.Event()
        pool.submit(street.note_states, is_over)
        with worker_running():
            wait_for(lambda: client.exists(LANE), "the worker")
            clip, small = street.clip, street.small_clip
            works = Act(clip, FPS)
            scripts = {
                "accepts without media": (Act(clip, has_media=False), works),
                "freezes": (Act(clip, FPS, freeze_at=40), works),
                "sends damaged packets": (Act(clip, FPS, damage=frozenset({23}), close_at=60), works),
                "loses frames": (Act(clip, FPS, lose=frozenset(range(15, 20)), close_at=60), works),
                "loses packets": (Act(street.noisy_clip, FPS, thin=frozenset({13}), close_at=60), works),
                "changes its size": (Act(clip, FPS, next_clip=small, change_at=40), Act(small, FPS)),
                "jumps its clock": (Act(clip, FPS, jump_at=40, jump_s=100), works),
                "is slow": (Act(clip, FPS, media_delay_s=3),),
                "is not there": (Act(clip, has_missing_path=True), works),
            }
            only_one = ("accepts without media", "is slow", "is not there")
            found = {
                name: pool.submit(street.play, name, *acts, num_sessions=1 if name in only_one else 2)
                for name, acts in scripts.items()
            }
            found["dies"] = pool.submit(street.lose_and_find, works)
            wait(found.values())
        is_over.set()
        yield found
    client.close()
    engine.dispose()


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
