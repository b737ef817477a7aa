"""The table of camera streams: what operators want to run. Each function takes a connection; the caller owns the
transaction.

A stream's rows are shown and logged as they are: credentials stand in none but ``encrypted_url``, which only
``read_source`` reads. A run is told a stream's id and reads the rest here, so that no credentials pass through Redis.
"""

import re
import time
import unicodedata
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.encryption import SecretKey
from contracts.errors import UsageError
from contracts.schema import sessions, sources, streams
from contracts.settings import hide_credentials
from contracts.sources import Source, choose_transport

PROFILES = ("live", "driver", "batch")
CAMERA = "camera"  # the kind of a stream's row in sources

_SHOWN = [column for column in streams.columns if column is not streams.c.encrypted_url]
# A change of one of these has a run begin anew.
_RUN_COLUMNS = frozenset(("url", "encrypted_url", "kind", "profile", "fps", "transport"))
_NAME = re.compile(r"\w[\w .-]{0,79}")
_MAX_FPS = 1000
# Ids begin with the time at which they were made: a shorter beginning may name whichever stream there is.
_MIN_ID_CHARS = 8


def add_stream(
    connection: sa.Connection,
    key: SecretKey,
    *,
    stream_id: str,
    name: str,
    source: Source,
    profile: str,
    fps: float,
    transport: str | None,
    enabled: bool,
    preview: bool = False,
) -> store.Row:
    """Store a new stream and return it; adding the same ``stream_id`` again changes nothing.

    Raises:
        UsageError: a value cannot be used, or the name is taken.
        SecretKeyError: the URL has credentials, and the key to encrypt them cannot be used.
    """
    now = time.time()
    row = {
        "stream_id": stream_id,
        "name": check_name(name),
        **_describe_source(connection, key, stream_id, source, transport),
        "profile": _check_profile(profile),
        "fps": _check_fps(fps),
        "enabled": enabled,
        "preview": preview,
        "revision": 1,
        "created_at": now,
        "updated_at": now,
    }
    store.insert_new(connection, streams, [row])
    _check_free(connection, row["name"], stream_id)
    return read_stream(connection, stream_id)


def list_streams(connection: sa.Connection, enabled: bool | None = None) -> list[store.Row]:
    """Return the streams in order of their names: all, or those that are enabled or disabled."""
    query = sa.select(*_SHOWN).order_by(streams.c.name)
    if enabled is not None:
        query = query.where(streams.c.enabled == enabled)
    return [dict(row) for row in connection.execute(query).mappings()]


def read_stream(connection: sa.Connection, name_or_id: str) -> store.Row:
    """Return the stream of that name, else the one whose id begins so.

    Raises:
        UsageError: there is none, or several ids begin so.
    """
    shown = hide_credentials(name_or_id)
    by_name = streams.c.name == unicodedata.normalize("NFC", name_or_id)
    by_id = streams.c.stream_id.startswith(name_or_id.lower(), autoescape=True)
    conditions = (by_name, by_id) if len(name_or_id) >= _MIN_ID_CHARS else (by_name,)
    for condition in conditions if name_or_id and name_or_id.isprintable() else ():
        rows = connection.execute(sa.select(*_SHOWN).where(condition).limit(2)).mappings().all()
        if len(rows) > 1:
            raise UsageError(f"Several streams' ids begin with {shown!r}. Give more of it, or the name.")
        if rows:
            return dict(rows[0])
    raise UsageError(f"There is no stream {shown!r}. List them with: emotrace stream list")


def read_source(connection: sa.Connection, key: SecretKey, stream_id: str) -> Source:
    """Return what a stream is read from, its credentials decrypted, for the one who opens it.

    Raises:
        UsageError: there is no such stream any more.
        SecretKeyError: the key is not at hand, or not the one that the credentials were encrypted with.
    """
    query = sa.select(streams.c.kind, streams.c.url, streams.c.encrypted_url).where(streams.c.stream_id == stream_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UsageError(f"There is no stream {stream_id!r}. It was removed.")
    location = row.url if row.encrypted_url is None else key.decrypt(row.encrypted_url)
    return Source(row.kind, row.url, location)


def change_stream(
    connection: sa.Connection,
    key: SecretKey,
    stream_id: str,
    *,
    name: str | None = None,
    source: Source | None = None,
    profile: str | None = None,
    fps: float | None = None,
    transport: str | None = None,
    enabled: bool | None = None,
    preview: bool | None = None,
) -> store.Row:
    """Change what is not None and return the stream.

    A new ``source`` keeps the transport where it has one. ``revision`` grows where a run has to begin anew, so not
    with a new name. ``preview``: whether its pictures may be looked at (``contracts.previews``).

    Raises:
        UsageError: a value cannot be used, the name is taken, or the stream is gone.
        SecretKeyError: as in ``add_stream``.
    """
    old = read_stream(connection, stream_id)
    values: dict[str, Any] = {}
    if name is not None:
        values["name"] = check_name(name)
        _check_free(connection, values["name"], stream_id)
    if source is not None:
        kept = old["transport"] if source.kind == old["kind"] else None
        values |= _describe_source(connection, key, stream_id, source, transport or kept)
    elif transport is not None:
        values["transport"] = choose_transport(Source(old["kind"], old["url"], old["url"]), transport)
    if profile is not None:
        values["profile"] = _check_profile(profile)
    if fps is not None:
        values["fps"] = _check_fps(fps)
    if enabled is not None:
        values["enabled"] = enabled
    if preview is not None:
        values["preview"] = preview
    # Encrypted URLs cannot be compared: a source that is given counts as a change.
    values = {column: value for column, value in values.items() if column not in old or old[column] != value}
    if values:
        grown = {"revision": streams.c.revision + 1} if _RUN_COLUMNS & values.keys() else {}
        update = sa.update(streams).where(streams.c.stream_id == stream_id)
        connection.execute(update.values(**values, **grown, updated_at=time.time()))
    if "name" in values:
        connection.execute(sa.update(sources).where(sources.c.source_id == stream_id).values(name=values["name"]))
    return read_stream(connection, stream_id)


def remove_stream(connection: sa.Connection, stream_id: str) -> None:
    """Remove a stream, credentials and all. Its sessions, their rows and its row in ``sources`` stay."""
    connection.execute(sa.delete(streams).where(streams.c.stream_id == stream_id))


def record_source(connection: sa.Connection, stream: store.Row) -> str:
    """Store the source that a stream's sessions belong to and return its id, which is the stream's."""
    row = {
        "source_id": stream["stream_id"],
        "kind": CAMERA,
        "url": f"stream:{stream['stream_id']}",
        "name": stream["name"],
        "created_at": time.time(),
    }
    store.insert_new(connection, sources, [row])
    return str(stream["stream_id"])


def count_sessions(connection: sa.Connection, stream_id: str) -> int:
    """Return how many sessions a stream has."""
    query = sa.select(sa.func.count()).select_from(sessions).where(sessions.c.source_id == stream_id)
    return int(connection.execute(query).scalar_one())


def reencrypt_urls(connection: sa.Connection, key: SecretKey) -> int:
    """Encrypt all credentials anew with the key file's first key; return of how many streams.

    Raises:
        SecretKeyError: none of the file's keys fits.
    """
    query = sa.select(streams.c.stream_id, streams.c.encrypted_url).where(streams.c.encrypted_url.is_not(None))
    rows = connection.execute(query).all()
    for stream_id, encrypted in rows:
        # A URL that somebody edits meanwhile is encrypted anew already.
        update = sa.update(streams).where(streams.c.stream_id == stream_id, streams.c.encrypted_url == encrypted)
        connection.execute(update.values(encrypted_url=key.encrypt(key.decrypt(encrypted))))
    return len(rows)


def check_name(name: str) -> str:
    """Return a stream's name in one of the ways that Unicode has of writing it.

    Raises:
        UsageError: it cannot be used.
    """
    name = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(name) or name != name.strip():
        raise UsageError(
            f"A stream cannot be named {hide_credentials(name)!r}. Expected up to 80 letters, digits, spaces, '.', '_' "
            "and '-', a letter or digit first."
        )
    return name


def _check_free(connection: sa.Connection, name: str, stream_id: str) -> None:
    """Check that no other stream has the name."""
    query = sa.select(streams.c.stream_id).where(streams.c.name == name, streams.c.stream_id != stream_id)
    if connection.execute(query).first() is not None:
        raise UsageError(f"There is a stream {name!r} already. Choose another name, or edit that one.")


def _describe_source(
    connection: sa.Connection, key: SecretKey, stream_id: str, source: Source, transport: str | None
) -> dict[str, Any]:
    """Return the columns that a source fills."""
    encrypted = _encrypt(connection, key, stream_id, source.location) if source.has_credentials else None
    return {
        "kind": source.kind,
        "url": source.url,
        "encrypted_url": encrypted,
        "transport": choose_transport(source, transport),
    }


def _encrypt(connection: sa.Connection, key: SecretKey, stream_id: str, location: str) -> str:
    query = sa.select(streams.c.encrypted_url).where(streams.c.stream_id != stream_id)
    other = connection.execute(query.where(streams.c.encrypted_url.is_not(None)).limit(1)).scalar_one_or_none()
    if other is not None:
        key.decrypt(other)  # a second key beside the one in use would be found out only when a camera starts
    return key.encrypt(location)


def _check_profile(profile: str) -> str:
    if profile not in PROFILES:
        raise UsageError(f"There is no profile {profile!r} for streams. Expected {', '.join(PROFILES)}.")
    return profile


def _check_fps(fps: float) -> float:
    if not 0 < fps <= _MAX_FPS:
        raise UsageError(f"--fps is {fps:g}. Expected a number above 0 and up to {_MAX_FPS}.")
    return fps
