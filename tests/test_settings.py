"""Settings: one place, unknown names refused, and credentials never shown."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import UsageError
from contracts.settings import hide_credentials, read_settings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("EMOTRACE_"):
            monkeypatch.delenv(name)


def test_without_any_variable_the_defaults_hold() -> None:
    settings = read_settings()
    assert settings.redis_url is None and settings.database_url is None
    assert settings.data_dir.is_absolute() and settings.data_dir.name == "emotrace"


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EMOTRACE_RETRY_S", "2.5")
    settings = read_settings()
    assert settings.data_dir == tmp_path and settings.retry_s == 2.5


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("EMOTRACE_REDIS_ULR", "Did you mean EMOTRACE_REDIS_URL?"),
        ("EMOTRACE_DATADIR", "Did you mean EMOTRACE_DATA_DIR?"),
        ("emotrace_retrys", "Did you mean EMOTRACE_RETRY_S?"),
        ("EMOTRACE_XYZZY", "Known are EMOTRACE_BACKEND, BATCH_WINDOWS, "),
    ],
)
def test_an_unknown_variable_is_refused_with_a_suggestion(
    name: str, suggestion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(UsageError, match=name) as raised:
        read_settings()
    assert suggestion in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("EMOTRACE_RETRY_S", "soon", "valid number"),
        ("EMOTRACE_RETRY_S", "-1", "greater than or equal to 0"),
        ("EMOTRACE_RETRY_S", "nan", "finite|less"),
        ("EMOTRACE_RETRY_S", "inf", "finite|less"),
        ("EMOTRACE_MAX_WAITING_WINDOWS", "0", "greater than or equal to 1"),
        ("EMOTRACE_MAX_WAITING_WINDOWS", "1.5", "integer"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_name(
    name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name} cannot be used: .*({reason})"):
        read_settings()


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA_DIR", "REDIS_URL", "DATABASE_URL", "RETRY_S", "YUNET_PATH"):
        monkeypatch.setenv(f"EMOTRACE_{name}", "")
    settings = read_settings()
    assert settings.data_dir.name == "emotrace", "an empty data directory would be the current one"
    assert settings.redis_url is None and settings.retry_s == 20 and settings.yunet_path is None


def test_a_data_directory_may_be_relative_or_begin_with_a_tilde(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EMOTRACE_DATA_DIR", "data")
    assert read_settings().data_dir == tmp_path / "data"
    monkeypatch.setenv("EMOTRACE_DATA_DIR", "~/data")
    assert read_settings().data_dir == tmp_path / "home" / "data"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:secret@host:6379/0", "redis://***@host:6379/0"),
        ("redis://:secret@host", "redis://***@host"),
        ("rediss://secret@host/1", "rediss://***@host/1"),
        ("redis://user:sec@ret@host/0", "redis://***@host/0"),
        ("redis://user:sec/ret@host/0", "redis://***@host/0"),
        ("redis://user:s/ec/ret@host/0", "redis://***@host/0"),
        ("redis://user:sec:ret@host/0", "redis://***@host/0"),
        ("redis://user:sec?r#et@host/0", "redis://***@host/0"),
        ("redis://user:sec%40ret@host/0", "redis://***@host/0"),
        ("redis:///secret@host", "redis://***@host"),
        ("postgresql+psycopg://user:secret@host:5432/name", "postgresql+psycopg://***@host:5432/name"),
        ("postgresql://user:secret@/name?host=/run/pg", "postgresql://***@/name?host=/run/pg"),
        ("postgresql://host/name?user=me&password=secret&x=1", "postgresql://host/name?user=***&password=***&x=1"),
        ("http://cam/video?channel=1&usr=me&pwd=sec'ret)&x=1", "http://cam/video?channel=1&usr=***&pwd=***&x=1"),
        ("http://cam/video?loginuse=me&loginpas=sec;ret", "http://cam/video?loginuse=***&loginpas=***"),
        ("http://cam/video?password=sec@ret&x=1", "http://***"),
        ("rtsp://user:x?password=sec@host/0", "rtsp://***"),
        ("rtsp://cam/user=me&password=secret&channel=1.sdp", "rtsp://cam/user=***&password=***&channel=1.sdp"),
        ("http://cam/api?src=rtsp%3A%2F%2Fme:secret%40host", "http://cam/api?src=***"),
        ("GET /video?token=secret&x=1", "GET /video?token=***&x=1"),
        ("http://cam/video?keyframe=1&channel=2", "http://cam/video?keyframe=1&channel=2"),
        ("unix://user:secret@/run/redis.sock?db=1", "unix://***@/run/redis.sock?db=1"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock?password=***"),
        ("rtsp://admin:secret@10.0.0.5:554/stream?channel=1", "rtsp://***@10.0.0.5:554/stream?channel=1"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/with@sign/redis.sock", "unix:///run/with@sign/redis.sock"),
        ("sqlite:////data/me@home/emotrace.db", "sqlite:////data/me@home/emotrace.db"),
        ("mail me@example.org, no URL", "mail me@example.org, no URL"),
        ("", ""),
    ],
)
def test_credentials_in_a_url_are_hidden_and_the_rest_is_kept(url: str, shown: str) -> None:
    assert hide_credentials(url) == shown


def test_credentials_are_hidden_in_every_url_of_a_text() -> None:
    text = "no redis://a:secret@one:1/0, then 'postgresql://b:sec@ret@two/x';rtsp://c:secret@three\nunix:///s.sock me@x"
    shown = hide_credentials(text)
    assert "secret" not in shown and "sec@ret" not in shown
    assert shown == "no redis://***@one:1/0, then 'postgresql://***@two/x';rtsp://***@three\nunix:///s.sock me@x"


def test_two_urls_without_a_space_between_are_both_hidden() -> None:
    assert hide_credentials("redis://a:secret@one,redis://b:secret@two") == "redis://***@one,redis://***@two"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1))
def test_no_password_survives_whatever_its_characters(password: str) -> None:
    marked = f"MARK{password}MARK"
    assert "MARK" not in hide_credentials(f"cannot reach redis://user:{marked}@host:6379/0 today")
