"""What operators change of cameras, and that they look at one. What is allowed is decided here, not by a page."""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from contracts import audits, cameras, store
from contracts.encryption import SecretKey, find_secret_key
from contracts.sources import parse_source
from dashboard.changes import commit
from dashboard.identity import OPERATOR, require
from dashboard.services import open_services

R = TypeVar("R")


def add_camera(
    name: str, url: str, profile: str, fps: float, transport: str | None, enabled: bool, preview: bool = False
) -> store.Row:
    """Store a new camera and return it; credentials in ``url`` are encrypted and never shown again.

    Raises:
        NotAllowedError: the visitor is no operator.
        UsageError: a value cannot be used, or the name is taken.
        SecretKeyError: the key to encrypt credentials cannot be used.
        ServiceError: the database is out of reach.
    """
    visitor = require(OPERATOR)
    key, source, stream_id = _find_key(), parse_source(url.strip()), store.make_uuid7()

    def write(connection: sa.Connection) -> store.Row:
        settings: dict[str, Any] = {
            "name": name.strip(),
            "profile": profile,
            "fps": fps,
            "transport": transport,
            "enabled": enabled,
            "preview": preview,
        }
        audits.record_change(connection, visitor.name, "camera.add", stream_id, **settings)
        return cameras.add_stream(connection, key, stream_id=stream_id, source=source, **settings)

    return commit(write)


def change_camera(
    stream_id: str, *, name: str, url: str, profile: str, fps: float, transport: str | None, preview: bool
) -> store.Row:
    """Change a camera and return it; an empty ``url`` keeps the one that is stored, credentials and all.

    Raises:
        NotAllowedError, UsageError, SecretKeyError, ServiceError: as in ``add_camera``; or the camera is gone.
    """
    visitor = require(OPERATOR)
    key, source = _find_key(), parse_source(url.strip()) if url.strip() else None

    def write(connection: sa.Connection) -> store.Row:
        settings: dict[str, Any] = {
            "name": name.strip(),
            "profile": profile,
            "fps": fps,
            "transport": transport,
            "preview": preview,
        }
        audits.record_change(
            connection, visitor.name, "camera.change", stream_id, **settings, url="kept" if source is None else "new"
        )
        return cameras.change_stream(connection, key, stream_id, source=source, **settings)

    return commit(write)


def set_camera_enabled(stream_id: str, enabled: bool) -> store.Row:
    """Have a camera run, or stop.

    Raises:
        NotAllowedError: the visitor is no operator.
        UsageError: the camera is gone.
        ServiceError: the database is out of reach.
    """
    action = "camera.enable" if enabled else "camera.disable"
    return _act(
        action, stream_id, lambda connection: cameras.change_stream(connection, _find_key(), stream_id, enabled=enabled)
    )


def set_preview(stream_id: str, preview: bool) -> store.Row:
    """Have a camera's pictures be looked at, or not; the run goes on.

    Raises:
        NotAllowedError, UsageError, ServiceError: as in ``set_camera_enabled``.
    """
    return _act(
        "camera.preview",
        stream_id,
        lambda connection: cameras.change_stream(connection, _find_key(), stream_id, preview=preview),
        preview=preview,
    )


def remove_camera(stream_id: str) -> None:
    """Remove a camera, credentials and all; its sessions stay.

    Raises:
        NotAllowedError: the visitor is no operator.
        UsageError: the camera is gone.
        ServiceError: the database is out of reach.
    """
    _act("camera.remove", stream_id, lambda connection: cameras.remove_stream(connection, stream_id))


def begin_look(stream_id: str) -> None:
    """Store that somebody begins to look at a camera.

    Raises:
        NotAllowedError, UsageError, ServiceError: as in ``remove_camera``.
    """
    _act("camera.look", stream_id, lambda _connection: None)


def _act(action: str, stream_id: str, act: Callable[[sa.Connection], R], **details: Any) -> R:
    """Store that the visitor does ``action`` to a camera, with its name, and do it."""
    visitor = require(OPERATOR)

    def write(connection: sa.Connection) -> R:
        name = cameras.read_stream(connection, stream_id)["name"]
        audits.record_change(connection, visitor.name, action, stream_id, name=name, **details)
        return act(connection)

    return commit(write)


def _find_key() -> SecretKey:
    return find_secret_key(open_services().settings)
