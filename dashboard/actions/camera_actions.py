"""What operators change of cameras. What is allowed is decided here, not by what a page draws."""

from typing import Any

import sqlalchemy as sa

from contracts import audits, cameras, store
from contracts.encryption import find_secret_key
from contracts.sources import parse_source
from dashboard.changes import commit
from dashboard.identity import OPERATOR, require
from dashboard.services import open_services


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
    services, source, stream_id = open_services(), parse_source(url.strip()), store.make_uuid7()
    key = find_secret_key(services.settings)

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
    visitor, services = require(OPERATOR), open_services()
    key, source = find_secret_key(services.settings), parse_source(url.strip()) if url.strip() else None

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
    visitor, services = require(OPERATOR), open_services()
    key = find_secret_key(services.settings)

    def write(connection: sa.Connection) -> store.Row:
        stream = cameras.change_stream(connection, key, stream_id, enabled=enabled)
        action = "camera.enable" if enabled else "camera.disable"
        audits.record_change(connection, visitor.name, action, stream_id, name=stream["name"])
        return stream

    return commit(write)


def remove_camera(stream_id: str) -> None:
    """Remove a camera, credentials and all; its sessions stay.

    Raises:
        NotAllowedError: the visitor is no operator.
        UsageError: the camera is gone.
        ServiceError: the database is out of reach.
    """
    visitor = require(OPERATOR)

    def write(connection: sa.Connection) -> None:
        stream = cameras.read_stream(connection, stream_id)
        audits.record_change(connection, visitor.name, "camera.remove", stream_id, name=stream["name"])
        cameras.remove_stream(connection, stream_id)

    commit(write)
