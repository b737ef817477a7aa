"""The stream: every crop sequence is delivered at least once, counted while it waits, and gone when it is stored."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from crop_sequences import make_sequence
from valkey_process import OwnValkey, run_own_valkey

from contracts.errors import ServiceError
from contracts.messages import VERSION, CropSequence, decode
from contracts.progress import Progress, publish_progress, read_progress
from contracts.redis_server import connect
from contracts.stream import GROUP, CropStream

SESSION = "01900000-0000-7000-8000-000000000001"


@pytest.fixture
def stream(valkey: redis.Redis) -> CropStream:
    stream = CropStream(valkey, "crops", "worker-1")
    stream.create_group()
    return stream


def make_numbered(number: int, **changes: Any) -> CropSequence:
    return make_sequence(pts=(10 * number, 10 * number + 1, 10 * number + 2), **changes)


def test_a_published_sequence_is_read_once_and_gone_after_it_is_acknowledged(stream: CropStream) -> None:
    sequence = make_sequence(store_from=1, store_to=3)
    stream.publish(sequence)
    (entry,) = stream.read(10, block_ms=1)
    assert decode(entry.payload) == sequence
    assert (entry.session_id, entry.track_id, entry.first_pts, entry.num_faces) == (SESSION, 1, 3, 2)
    assert entry.num_deliveries == 1
    assert stream.read(10, block_ms=1) == [], "nobody gets it a second time"
    assert stream.count_waiting() == 1, "it waits until it is acknowledged"
    stream.acknowledge([entry])
    assert stream.count_waiting() == 0
    assert stream.client.xpending(stream.name, GROUP)["pending"] == 0
    stream.acknowledge([])


def test_entries_are_read_in_order_and_not_more_than_asked_for(stream: CropStream) -> None:
    for number in range(5):
        stream.publish(make_numbered(number))
    assert [entry.first_pts for entry in stream.read(3, 1)] == [0, 10, 20]
    assert [entry.first_pts for entry in stream.read(3, 1)] == [30, 40]


def test_what_was_published_before_the_group_existed_is_read_too(valkey: redis.Redis) -> None:
    stream = CropStream(valkey, "crops")
    stream.publish(make_sequence())
    stream.create_group()
    stream.create_group()
    assert len(stream.read(10, 1)) == 1


def test_a_dead_workers_entries_are_claimed_one_at_a_time_with_a_growing_count(stream: CropStream) -> None:
    for number in range(3):
        stream.publish(make_numbered(number))
    assert len(stream.read(10, 1)) == 3
    heir = CropStream(stream.client, stream.name, "worker-2")
    assert heir.claim_stale(60_000) is None, "its worker may still be at it"
    first = heir.claim_stale(0)
    assert first is not None and (first.first_pts, first.num_deliveries) == (0, 2)
    again = heir.claim_stale(0)
    assert again is not None and (again.first_pts, again.num_deliveries) == (0, 3)
    heir.acknowledge([again])
    for expected in (10, 20):
        entry = heir.claim_stale(0)
        assert entry is not None and (entry.first_pts, entry.num_deliveries) == (expected, 2)
        heir.acknowledge([entry])
    assert heir.claim_stale(0) is None and heir.count_waiting() == 0


def test_an_entry_is_claimed_only_when_it_has_been_idle_long_enough(stream: CropStream) -> None:
    stream.publish(make_sequence())
    stream.read(1, 1)
    heir = CropStream(stream.client, stream.name, "worker-2")
    assert heir.claim_stale(100) is None
    time.sleep(0.12)
    assert heir.claim_stale(100) is not None
    assert stream.claim_stale(100) is None, "the claim began its time anew"


def test_what_a_worker_holds_on_to_is_not_claimed(stream: CropStream) -> None:
    stream.publish(make_sequence())
    entries = stream.read(1, 1)
    heir = CropStream(stream.client, stream.name, "worker-2")
    for _ in range(4):
        time.sleep(0.05)
        stream.hold(entries)
        assert heir.claim_stale(150) is None
    time.sleep(0.16)
    assert stream.claim_stale(150, own_min_idle_ms=60_000) is None, "it knows of it"
    claimed = heir.claim_stale(150)
    assert claimed is not None and claimed.num_deliveries == 2, "holding on is no delivery"
    heir.acknowledge([claimed])
    stream.hold(entries)
    assert stream.client.xpending(stream.name, GROUP)["pending"] == 0, "what is stored does not come back"


def test_a_worker_that_ends_takes_its_name_along_but_not_what_it_left(stream: CropStream) -> None:
    stream.publish(make_sequence())
    entries = stream.read(1, 1)
    stream.leave()
    assert stream.client.xpending(stream.name, GROUP)["pending"] == 1
    stream.acknowledge(entries)
    stream.leave()
    assert stream.client.xinfo_consumers(stream.name, GROUP) == []
    stream.leave()


def test_what_is_given_back_is_there_for_others_at_once(stream: CropStream) -> None:
    stream.publish(make_sequence())
    stream.give_back(stream.read(1, 1))
    assert CropStream(stream.client, stream.name, "worker-2").claim_stale(3_600_000) is not None


def test_what_waits_for_a_newer_release_does_not_stand_in_the_way(stream: CropStream) -> None:
    for number in range(1002):
        stream.publish(make_numbered(number))
    entries = stream.read(2000, 1)
    for entry in entries[:-1]:
        stream.park(entry, VERSION + 1)
    heir = CropStream(stream.client, stream.name, "worker-2")
    found = heir.claim_stale(0)
    assert found is not None and found.first_pts == 10_010
    assert heir.claim_stale(0, own_min_idle_ms=60_000) is None
    # A name that only looks like that of a version is a dead worker's.
    stream.client.xclaim(stream.name, GROUP, "newer-version:x", 0, [entries[3].entry_id], justid=True)
    found = heir.claim_stale(0, own_min_idle_ms=60_000)
    assert found is not None and found.first_pts == 30


def test_a_delivery_that_is_given_back_does_not_count(stream: CropStream) -> None:
    stream.publish(make_sequence())
    for _ in range(5):
        entries = stream.read(10, 1)
        entry = entries[0] if entries else stream.claim_stale(0)
        assert entry is not None and entry.num_deliveries == 1
        stream.give_back([entry])
    assert stream.count_waiting() == 1


def test_a_pending_entry_that_was_deleted_does_not_stand_in_the_way(stream: CropStream) -> None:
    for number in range(2):
        stream.publish(make_numbered(number))
    gone, _ = stream.read(10, 1)
    stream.client.xdel(stream.name, gone.entry_id)
    claimed = [stream.claim_stale(0) for _ in range(2)]
    assert [entry.first_pts for entry in claimed if entry is not None] == [10]


@pytest.mark.parametrize(
    "fields",
    [
        {"other": "x"},
        {"payload": b"\xc1", "session": b"\xff\xfe\x00", "track": "x", "first_pts": "", "faces": "1.5"},
        {"payload": b"", "session": "s", "track": "9" * 30, "first_pts": "-" + "9" * 30, "faces": "-3"},
    ],
)
def test_an_entry_with_malformed_fields_is_read_beside_its_neighbours(
    stream: CropStream, fields: dict[Any, Any]
) -> None:
    stream.publish(make_numbered(1))
    stream.client.xadd(stream.name, fields)
    stream.publish(make_numbered(2))
    entries = stream.read(10, 1)
    assert [entry.first_pts for entry in entries] == [10, 0, 20]
    assert (entries[1].track_id, entries[1].num_faces) == (0, 0)
    assert "\0" not in entries[1].session_id, "PostgreSQL would refuse it"
    assert stream.count_waiting_faces(SESSION) == 4


def test_a_rejected_entry_is_kept_with_its_reason_and_waits_no_longer(stream: CropStream) -> None:
    stream.publish(make_sequence())
    (entry,) = stream.read(1, 1)
    stream.reject(entry, "it is broken")
    assert stream.count_waiting() == 0 and stream.count_waiting_faces(SESSION) == 0
    assert stream.claim_stale(0) is None
    ((_, kept),) = stream.client.xrange(stream.rejected_name)
    assert kept[b"reason"] == b"it is broken" and kept[b"payload"] == entry.payload
    assert kept[b"session"].decode() == SESSION
    assert 0 < stream.client.ttl(stream.rejected_name) <= 7 * 86_400, "it must not lie there for ever"


def test_the_waiting_faces_of_each_session_are_counted_read_or_not(stream: CropStream) -> None:
    other = "01900000-0000-7000-8000-000000000002"
    for number in range(1203):
        stream.publish(make_numbered(number, store_to=1 + number % 2))
    stream.publish(make_sequence(session_id=other))
    stream.read(700, 1)
    assert stream.count_waiting_faces(SESSION) == sum(1 + number % 2 for number in range(1203))
    assert stream.count_waiting_faces(other) == 2
    assert stream.count_waiting_faces("nobody's") == 0


def test_a_reader_waits_while_too_much_is_waiting_and_goes_on_when_there_is_room(stream: CropStream) -> None:
    for number in range(3):
        stream.publish(make_numbered(number))
    has_room = threading.Event()

    def wait() -> None:
        stream.wait_for_room(3, lambda: False)
        has_room.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not has_room.wait(0.2)
    stream.acknowledge(stream.read(1, 1))
    assert has_room.wait(5)
    waiting.join()


def test_a_reader_that_waits_for_room_can_be_stopped(stream: CropStream) -> None:
    stream.publish(make_sequence())
    end = time.monotonic() + 0.1
    stream.wait_for_room(1, lambda: time.monotonic() > end)
    assert time.monotonic() < end + 1


def test_a_runs_own_stream_goes_by_itself_when_nobody_publishes_any_more(valkey: redis.Redis) -> None:
    stream = CropStream(valkey, "own", expires_s=1)
    stream.create_group()
    stream.publish(make_sequence())
    assert 0 < valkey.pttl("own") <= 1000
    stream.delete()
    assert not valkey.exists("own")


def test_a_worker_goes_on_when_the_server_has_lost_the_stream(stream: CropStream) -> None:
    stream.client.flushall()
    assert stream.claim_stale(0) is None
    assert stream.read(1, 1) == []
    stream.publish(make_sequence())
    assert len(stream.read(1, 1)) == 1


def test_the_newest_progress_is_read_and_a_missing_one_is_none(valkey: redis.Redis) -> None:
    assert read_progress(valkey, SESSION) is None
    publish_progress(valkey, SESSION, Progress(frames=10, faces=5, time_s=1.5, duration_s=0.0))
    assert read_progress(valkey, SESSION) == Progress(frames=10, faces=5, time_s=1.5, duration_s=0.0)
    valkey.hset(f"emotrace:progress:{SESSION}", "frames", "many")
    assert read_progress(valkey, SESSION) is None


# What follows breaks servers, each test its own.


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[OwnValkey]:
    with run_own_valkey(tmp_path) as server:
        yield server


def test_a_server_that_is_gone_is_a_clear_error_within_the_bound(own_valkey: OwnValkey) -> None:
    client = connect(own_valkey.url, 1.0)
    stream = CropStream(client, "crops", retry_s=1.0)
    stream.create_group()
    stream.publish(make_sequence())
    (entry,) = stream.read(1, 1)
    own_valkey.kill()
    calls = (
        lambda: stream.publish(make_sequence()),
        lambda: stream.read(1, 100),
        lambda: stream.claim_stale(0),
        lambda: stream.acknowledge([entry]),
        lambda: stream.reject(entry, "x"),
        stream.count_waiting,
        lambda: connect(own_valkey.url, 1.0),
    )
    for call in calls:
        begin = time.monotonic()
        with pytest.raises(ServiceError, match=r"Redis is out of reach .*--resume"):
            call()
        assert 0.4 < time.monotonic() - begin < 2.5
    # These are for looking at only.
    publish_progress(client, SESSION, Progress(1, 1, 1.0, 1.0))
    assert read_progress(client, SESSION) is None
    stream.give_back([entry])
    client.close()


def test_a_call_survives_a_server_that_comes_back_in_time(tmp_path: Path) -> None:
    with run_own_valkey(tmp_path) as first:
        client = connect(first.url, 5.0)
        stream = CropStream(client, "crops", retry_s=10.0)
        stream.create_group()
        first.kill()
    errors: list[BaseException] = []

    def publish() -> None:
        try:
            stream.publish(make_sequence())
        except BaseException as error:
            errors.append(error)

    publishing = threading.Thread(target=publish)
    publishing.start()
    time.sleep(0.3)
    with run_own_valkey(tmp_path) as second:
        assert second.url == first.url
        publishing.join()
        assert not errors and stream.count_waiting() == 1
        assert len(stream.read(1, 1)) == 1, "the group was in the server's file"
        client.close()


def test_a_full_server_is_a_clear_error_and_rejecting_still_makes_room(own_valkey: OwnValkey) -> None:
    client = connect(own_valkey.url, 0.5)
    stream = CropStream(client, "crops", retry_s=0.3)
    stream.create_group()
    for number in range(2):
        stream.publish(make_numbered(number))
    entries = stream.read(10, 1)
    client.config_set("maxmemory", 1)
    with pytest.raises(ServiceError, match=r"Redis is full .*Raise its maxmemory or add inference workers"):
        stream.publish(make_sequence())
    # Workers must be able to empty it.
    stream.reject(entries[0], "broken")
    stream.acknowledge(entries[1:])
    assert stream.count_waiting() == 0
    client.config_set("maxmemory", 0)
    stream.publish(make_sequence())
    client.close()


def test_a_wrong_password_is_refused_at_once_and_never_shown(own_valkey: OwnValkey) -> None:
    admin = connect(own_valkey.url, 1.0)
    admin.config_set("requirepass", "right")
    begin = time.monotonic()
    url = own_valkey.url.replace("unix://", "unix://user:sec%40ret@")
    with pytest.raises(ServiceError, match="refused the user name or password") as raised:
        connect(url, 20.0)
    assert time.monotonic() - begin < 5, "waiting does not mend a password"
    assert "sec" not in str(raised.value)
    right = connect(own_valkey.url.replace("unix://", "unix://:right@"), 1.0)
    right.config_set("requirepass", "")
    right.close()
    admin.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:secret@127.0.0.1:1/0",
        "redis://:sec/ret@127.0.0.1:1/0",
        "redis://user:123/secret@127.0.0.1:1/0",
        "redis://user:123#secret@127.0.0.1:1/0",
        "redis://user:sec@ret@127.0.0.1:1/0",
        "redis://user:secret@127.0.0.1:ret/0",
        "redis://secret@",
        "http://user:secret@127.0.0.1:1",
        "secret@127.0.0.1",
        "",
    ],
)
def test_a_password_in_a_url_never_shows_in_an_error(url: str) -> None:
    with pytest.raises(ServiceError) as raised:
        connect(url, 0.0)
    for piece in ("secret", "sec@", "ret@", "sec/", "123", "user:", "'ret'"):
        assert piece not in str(raised.value)


def test_consumers_have_names_of_their_own_process(valkey: redis.Redis) -> None:
    assert str(os.getpid()) in CropStream(valkey, "crops").consumer
