"""The table of streams on both databases: found, changed and removed by those who run them, credentials never in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet
from stored_rows import CARD

from contracts import cameras, store
from contracts.database import read_transaction, write_transaction
from contracts.encryption import SecretKey
from contracts.errors import SecretKeyError, UsageError
from contracts.schema import sessions, streams
from contracts.sources import parse_source

URL = "rtsp://admin:sec@ret@10.0.0.5:554/live"
SHOWN = "rtsp://***@10.0.0.5:554/live"
LOCATION = "rtsp://admin:sec%40ret@10.0.0.5:554/live"


@pytest.fixture
def key(tmp_path: Path) -> SecretKey:
    return SecretKey(tmp_path / "secret.key", may_create=True)


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with engine.begin() as connection:
        yield connection


def add(connection: sa.Connection, key: SecretKey, name: str = "front", url: str = URL, **changes: Any) -> Any:
    values: dict[str, Any] = {"profile": "live", "fps": 10.0, "transport": None, "enabled": True}
    values = {"stream_id": store.make_uuid7(), **values, **changes}
    return cameras.add_stream(connection, key, name=name, source=parse_source(url), **values)


def record_session(connection: sa.Connection, stream: store.Row) -> str:
    """Store a session as a run of the stream does."""
    store.record_model(connection, CARD)
    session_id = store.make_uuid7()
    row = {"session_id": session_id, "source_id": cameras.record_source(connection, stream), "model_id": CARD.model_id}
    row |= {"status": store.RUNNING, "fingerprint": "", "settings": {}, "facts": {}, "started_at": 0.0}
    connection.execute(sa.insert(sessions).values(row))
    return session_id


def read_everything(connection: sa.Connection) -> str:
    return repr(connection.execute(sa.select(streams)).all())


def test_a_stream_is_stored_without_its_credentials_and_opened_with_them(
    connection: sa.Connection, key: SecretKey
) -> None:
    stream = add(connection, key)
    assert stream["url"] == SHOWN and stream["transport"] == "tcp" and stream["revision"] == 1 and stream["enabled"]
    everything = read_everything(connection)
    for secret in ("sec@ret", "sec%40ret", "admin"):
        assert secret not in everything
    source = cameras.read_source(connection, key, stream["stream_id"])
    assert (source.kind, source.url, source.location) == ("rtsp", SHOWN, LOCATION)
    assert "encrypted_url" not in stream and cameras.list_streams(connection) == [stream]


def test_streams_without_credentials_need_no_key(connection: sa.Connection, key: SecretKey) -> None:
    for name, url in (("web", "http://cam/video.mjpg"), ("webcam", "0"), ("file", "/videos/a.mp4")):
        stream = add(connection, key, name, url)
        assert stream["transport"] is None
        assert cameras.read_source(connection, key, stream["stream_id"]) == parse_source(url)
    assert not key.path.exists()


def test_streams_are_listed_by_name_and_by_whether_they_are_enabled(connection: sa.Connection, key: SecretKey) -> None:
    for name, enabled in (("c", True), ("a", False), ("b", True)):
        add(connection, key, name, "0", enabled=enabled)
    for enabled, names in ((None, "abc"), (True, "bc"), (False, "a")):
        assert "".join(row["name"] for row in cameras.list_streams(connection, enabled)) == names


def test_adding_the_same_stream_again_changes_nothing_and_a_taken_name_is_refused(
    connection: sa.Connection, key: SecretKey
) -> None:
    stream = add(connection, key)
    assert add(connection, key, stream_id=stream["stream_id"]) == stream
    with pytest.raises(UsageError, match=r"There is a stream 'front' already\. Choose another name"):
        add(connection, key)
    assert cameras.list_streams(connection) == [stream]


def test_a_stream_is_found_by_its_name_or_the_beginning_of_its_id(connection: sa.Connection, key: SecretKey) -> None:
    first = add(connection, key, "Büro 1", stream_id="01900000-0000-7000-8000-00000000000a")
    second = add(connection, key, "01900000", stream_id="01900000-0000-7000-8000-00000000000b")
    for wanted, found in (
        ("Büro 1", first),
        ("Bu\u0308ro 1", first),
        (first["stream_id"].upper(), first),
        ("01900000", second),
        (second["stream_id"], second),
    ):
        assert cameras.read_stream(connection, wanted) == found
    with pytest.raises(UsageError, match="Several streams' ids begin with '01900000-'"):
        cameras.read_stream(connection, "01900000-")
    # All ids begin with the same few characters, which may name whichever stream there is.
    for wanted in ("", "0", "0190", "büro 1", "%", "0190%", "x" * 500, "a\0b", "\udcff", "'; DROP TABLE streams; --"):
        with pytest.raises(UsageError, match=r"There is no stream .* emotrace stream list"):
            cameras.read_stream(connection, wanted)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": ""}, "cannot be named ''"),
        ({"name": " front"}, "cannot be named"),
        ({"name": "-x"}, "a letter or digit first"),
        ({"name": "a\nb"}, "cannot be named"),
        ({"name": "x" * 81}, "up to 80"),
        ({"name": "rtsp://admin:secret@h/a"}, r"named 'rtsp://\*\*\*@h/a'"),
        ({"profile": "lively"}, "no profile 'lively'.*live, driver, batch"),
        ({"fps": 0.0}, "--fps is 0"),
        ({"fps": float("nan")}, "--fps is nan"),
        ({"fps": 2000.0}, "up to 1000"),
        ({"transport": "sctp"}, "Expected tcp or udp"),
    ],
)
def test_what_no_stream_can_have_is_refused_when_added_and_when_changed(
    changes: dict[str, Any], says: str, connection: sa.Connection, key: SecretKey
) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        add(connection, key, **changes)
    assert "secret" not in str(raised.value) and cameras.list_streams(connection) == []
    stream = add(connection, key)
    with pytest.raises(UsageError, match=says):
        cameras.change_stream(connection, key, stream["stream_id"], **changes)
    assert cameras.list_streams(connection) == [stream]


def test_only_changes_of_how_a_stream_is_read_have_its_run_begin_anew(
    connection: sa.Connection, key: SecretKey
) -> None:
    stream = add(connection, key)
    for changes, revision in (
        ({"fps": 10.0, "profile": "live", "transport": "tcp"}, 1),  # as they were
        ({"name": "back"}, 1),
        ({"enabled": False}, 1),
        ({"enabled": True}, 1),
        ({"fps": 5.0}, 2),
        ({"profile": "driver"}, 3),
        ({"transport": "udp"}, 4),
        ({"source": parse_source("rtsp://admin:other@10.0.0.5:554/live")}, 5),
        ({"fps": 2.0, "profile": "batch"}, 6),
    ):
        changed = cameras.change_stream(connection, key, stream["stream_id"], **changes)  # type: ignore[arg-type]
        assert changed["revision"] == revision
    expected = {**stream, "name": "back", "fps": 2.0, "profile": "batch", "transport": "udp", "revision": 6}
    assert {**changed, "updated_at": 0} == {**expected, "updated_at": 0}
    assert cameras.read_source(connection, key, stream["stream_id"]).location.startswith("rtsp://admin:other@")


def test_a_new_url_without_credentials_forgets_the_old_ones(connection: sa.Connection, key: SecretKey) -> None:
    stream = add(connection, key, transport="udp")
    changed = cameras.change_stream(connection, key, stream["stream_id"], source=parse_source("http://cam/a.m3u8"))
    assert (changed["kind"], changed["url"], changed["transport"]) == ("http", "http://cam/a.m3u8", None)
    assert connection.execute(sa.select(streams.c.encrypted_url)).scalar_one() is None
    with pytest.raises(UsageError, match="A transport can be chosen for rtsp"):
        cameras.change_stream(connection, key, stream["stream_id"], transport="udp")
    source = parse_source("rtsps://cam/a")
    assert cameras.change_stream(connection, key, stream["stream_id"], source=source)["transport"] == "tcp"


def test_a_name_that_is_taken_cannot_be_given_to_another(connection: sa.Connection, key: SecretKey) -> None:
    add(connection, key, "front")
    back = add(connection, key, "back")
    with pytest.raises(UsageError, match="There is a stream 'front' already"):
        cameras.change_stream(connection, key, back["stream_id"], name="front")
    assert cameras.change_stream(connection, key, back["stream_id"], name="back")["name"] == "back"


def test_a_removed_streams_sessions_stay_and_a_new_one_of_its_name_begins_its_own(
    connection: sa.Connection, key: SecretKey
) -> None:
    stream = add(connection, key)
    session_ids = {record_session(connection, stream) for _ in range(2)}
    assert cameras.count_sessions(connection, stream["stream_id"]) == 2
    cameras.change_stream(connection, key, stream["stream_id"], name="porch")
    cameras.remove_stream(connection, stream["stream_id"])
    with pytest.raises(UsageError, match=r"There is no stream .* It was removed"):
        cameras.read_source(connection, key, stream["stream_id"])
    again = add(connection, key, "porch")
    assert cameras.count_sessions(connection, again["stream_id"]) == 0
    record_session(connection, again)
    rows = store.list_sessions(connection)
    assert {row["source"] for row in rows} == {"porch"}
    assert {row["session_id"] for row in rows if row["source_id"] == stream["stream_id"]} == session_ids


def test_a_run_that_ends_after_its_stream_was_removed_still_stores_its_session(
    connection: sa.Connection, key: SecretKey
) -> None:
    stream = add(connection, key)
    cameras.remove_stream(connection, stream["stream_id"])
    assert store.read_session(connection, record_session(connection, stream))["source"] == "front"


def test_another_key_is_noticed_when_a_stream_is_added_or_opened(
    connection: sa.Connection, key: SecretKey, tmp_path: Path
) -> None:
    stream = add(connection, key)
    (tmp_path / "other.key").write_bytes(Fernet.generate_key())
    (tmp_path / "other.key").chmod(0o600)
    other, missing = SecretKey(tmp_path / "other.key"), SecretKey(tmp_path / "missing.key", may_create=True)
    for wrong, says in ((other, "is not the one"), (missing, "There is no key file")):
        with pytest.raises(SecretKeyError, match=says):
            add(connection, wrong, "back")
        with pytest.raises(SecretKeyError, match=says):
            cameras.read_source(connection, wrong, stream["stream_id"])
    assert not missing.path.exists() and cameras.list_streams(connection) == [stream]


def test_after_a_lost_key_each_stream_can_be_given_its_url_anew(
    connection: sa.Connection, key: SecretKey, tmp_path: Path
) -> None:
    ids = [add(connection, key, name)["stream_id"] for name in ("a", "b")]
    new = SecretKey(tmp_path / "new.key", may_create=True)
    for url in ("rtsp://10.0.0.5/live", URL):
        for stream_id in ids:
            cameras.change_stream(connection, new, stream_id, source=parse_source(url))
    assert {cameras.read_source(connection, new, stream_id).location for stream_id in ids} == {LOCATION}


def test_a_replaced_key_is_enough_after_all_urls_were_encrypted_anew(engine: sa.Engine, key: SecretKey) -> None:
    with engine.begin() as connection:
        ids = [add(connection, key, name)["stream_id"] for name in ("a", "b")]
        add(connection, key, "open", "0")
    old, new = key.path.read_bytes(), Fernet.generate_key()
    key.path.write_bytes(new + b"\n" + old)
    assert write_transaction(engine, lambda found: cameras.reencrypt_urls(found, SecretKey(key.path)), 1.0) == 2
    key.path.write_bytes(new)
    with read_transaction(engine) as connection:
        assert {cameras.read_source(connection, SecretKey(key.path), one).location for one in ids} == {LOCATION}
        assert {row["revision"] for row in cameras.list_streams(connection)} == {1}
