"""A street of cameras, each with a fault of its own: sessions, reasons, what was told, and sealed ledgers.

All of them run at once, because most of their time is waiting.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
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

from contracts import sealing, store
from contracts.database import migrate, open_database, read_transaction
from contracts.ledger import Ledger
from contracts.schema import sessions
from contracts.stream_state import read_states

FPS, GOP = 20, 10


@dataclass
class Outcome:
    """What a camera left behind: its sessions and their sealed ledgers, what its run told of itself, frames sent.

    ``begun_at`` (seconds since 1970): when its run began.
    """

    begun_at: float
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
            wait_for(lambda: self.has_frames(stream_id, num_sessions), f"the last session of {name}", 180.0)

        return self.run(name, acts, wait_until_done)

    def run(self, name: str, acts: Sequence[Act], meanwhile: Callable[[str, Proxy], None]) -> Outcome:
        """Run a camera while ``meanwhile`` lasts; then have every session sealed."""
        with run_camera(*acts) as camera, run_proxy(("127.0.0.1", urlsplit(camera.url).port or 0)) as proxy:
            transport = "udp" if any(act.thin for act in acts) else "tcp"
            url = camera.url if transport == "udp" else f"rtsp://127.0.0.1:{proxy.port}/live"
            stream_id = add_camera(self.engine, url, name, fps=5, transport=transport)
            self._told[stream_id] = []
            begun_at = time.time()
            with camera_running(stream_id):
                meanwhile(stream_id, proxy)
        ids = [row["session_id"] for row in self.list_sessions(stream_id)]
        wait_for(lambda: not any(map(self._count_waiting, ids)), f"the last rows of {name}")
        with self.engine.begin() as connection:
            ledgers = [sealing.seal_session(connection, session_id) for session_id in ids]
        return Outcome(begun_at, self.list_sessions(stream_id), ledgers, self._told[stream_id], camera.num_sent)

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


@contextmanager
def run_street(
    folder: Path, valkey_url: str, clip_path: Path, settings: Mapping[str, str], slow_s: float = 3.0
) -> Iterator[Outcomes]:
    """Run all cameras together, with ``settings`` of the environment, and yield what becomes of each.

    Their pictures are those of ``clip_path``; one is ``slow_s`` seconds late with its first.
    """
    engine = open_database(f"sqlite:///{folder / 'test.db'}")
    migrate(engine)
    client = redis.Redis.from_url(valkey_url, protocol=2)
    client.flushall()
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(12) as pool:
        configure(patch, folder, valkey_url, engine)
        for name, value in settings.items():
            patch.setenv(f"EMOTRACE_{name}", value)
        street, is_over = Street(engine, client, clip_path), threading.Event()
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
                "is slow": (Act(clip, FPS, media_delay_s=slow_s),),
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
