"""Everything that pages change. What is allowed is decided here, not by what a page draws."""

import sqlalchemy as sa

from contracts import cameras, store
from contracts.database import write_transaction
from contracts.encryption import find_secret_key
from contracts.sources import parse_source
from dashboard.services import open_services

# A visitor waits for it.
_RETRY_S = 3.0


def add_camera(name: str, url: str, profile: str, fps: float, transport: str | None, enabled: bool) -> store.Row:
    """Store a new camera and return it; credentials in ``url`` are encrypted and never shown again.

    Raises:
        UsageError: a value cannot be used, or the name is taken.
        SecretKeyError: the key to encrypt credentials cannot be used.
        ServiceError: the database is out of reach.
    """
    services, source, stream_id = open_services(), parse_source(url.strip()), store.make_uuid7()
    key = find_secret_key(services.settings)

    def write(connection: sa.Connection) -> store.Row:
        return cameras.add_stream(
            connection,
            key,
            stream_id=stream_id,
            name=name.strip(),
            source=source,
            profile=profile,
            fps=fps,
            transport=transport,
            enabled=enabled,
        )

    return write_transaction(services.engine, write, _RETRY_S)


def change_camera(stream_id: str, *, name: str, url: str, profile: str, fps: float, transport: str | None) -> store.Row:
    """Change a camera and return it; an empty ``url`` keeps the one that is stored, credentials and all.

    Raises:
        UsageError, SecretKeyError, ServiceError: as in ``add_camera``; or the camera is gone.
    """
    services = open_services()
    key, source = find_secret_key(services.settings), parse_source(url.strip()) if url.strip() else None

    def write(connection: sa.Connection) -> store.Row:
        return cameras.change_stream(
            connection, key, stream_id, name=name.strip(), source=source, profile=profile, fps=fps, transport=transport
        )

    return write_transaction(services.engine, write, _RETRY_S)


def set_camera_enabled(stream_id: str, enabled: bool) -> store.Row:
    """Have a camera run, or stop.

    Raises:
        UsageError: the camera is gone.
        ServiceError: the database is out of reach.
    """
    services = open_services()
    key = find_secret_key(services.settings)
    return write_transaction(
        services.engine,
        lambda connection: cameras.change_stream(connection, key, stream_id, enabled=enabled),
        _RETRY_S,
    )


def remove_camera(stream_id: str) -> None:
    """Remove a camera, credentials and all; its sessions stay.

    Raises:
        ServiceError: the database is out of reach.
    """
    write_transaction(open_services().engine, lambda connection: cameras.remove_stream(connection, stream_id), _RETRY_S)
