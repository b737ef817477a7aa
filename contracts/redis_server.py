"""Connect to Redis or Valkey and call it, with bounded retries while it is away, and errors that people can act on."""

import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.errors import ServiceAwayError, ServiceError
from contracts.settings import hide_credentials

_R = TypeVar("_R")
_SET_UNWRITTEN = "redis.set_repl(redis.REPL_NONE) return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])"


def connect(url: str, retry_s: float) -> redis.Redis:
    """Connect to Redis or Valkey, trying for about ``retry_s`` seconds.

    The client itself repeats nothing: its retries of commands and of connections multiply, so that a bound on one is
    none on the other. ``CropStream`` repeats its calls itself, within one bound.

    Raises:
        ServiceAwayError: the server stays out of reach.
        ServiceError: the URL is malformed, or the server refuses the password.
    """
    expected = "Expected redis://USER:PASSWORD@HOST:PORT/0 or unix:///PATH, special characters in them %-encoded"
    try:
        parts = urlsplit(url)
        # A "/", "?" or "#" in a password ends the host for a parser, and the rest of the password is shown as a host.
        if parts.scheme != "unix" and "@" not in parts.netloc and "@" in url:
            raise ValueError
        client = redis.Redis.from_url(
            url,
            protocol=2,  # replies differ between protocol versions; contracts.stream reads version 2's
            retry=Retry(NoBackoff(), 0),
            socket_timeout=10,
            socket_connect_timeout=5,
        )
    except ValueError:
        # The reason is left out: it quotes what was taken for a host or port, which may be a piece of the password.
        shown = hide_credentials(url) if "://" in url else "without a scheme"
        raise ServiceError(f"The Redis URL {shown!r} cannot be used. {expected}.") from None
    try:
        call_redis(client.ping, retry_s)
    except ServiceError:
        client.close()
        raise
    return client


def call_redis(call: Callable[[], _R], retry_s: float) -> _R:
    """Call Redis, repeating it for up to ``retry_s`` seconds while the server is away, loading or full.

    A call whose answer was lost is repeated too, so it must be one that may happen twice.

    Raises:
        ServiceAwayError: the server stayed out of reach or full.
        ServiceError: it refused the command.
    """
    deadline = time.monotonic() + retry_s
    pause_s = 0.05
    while True:
        try:
            return call()
        except redis.exceptions.RedisError as error:
            if not _may_pass(error) or time.monotonic() + pause_s > deadline:
                raise explain_error(error) from None
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)


def _may_pass(error: redis.exceptions.RedisError) -> bool:
    """Return whether the same call may succeed a little later."""
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.AuthorizationError):
        return False
    # A server that cannot write its file refuses commands until the disk has room again.
    return str(error).startswith("MISCONF") or isinstance(
        error,
        redis.exceptions.ConnectionError
        | redis.exceptions.TimeoutError
        | redis.exceptions.OutOfMemoryError
        | redis.exceptions.ReadOnlyError
        | redis.exceptions.MasterDownError
        | redis.exceptions.ClusterDownError,
    )


def explain_error(error: redis.exceptions.RedisError) -> ServiceError:
    """Return what an error of Redis's means and what to do about it."""
    what = hide_credentials(str(error))
    match error:
        case redis.exceptions.OutOfMemoryError():
            return ServiceAwayError(f"Redis is full ({what}). Raise its maxmemory or add inference workers.")
        case redis.exceptions.AuthenticationError() | redis.exceptions.AuthorizationError():
            return ServiceError(f"Redis refused the user name or password ({what}). Correct them in the URL.")
        case redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError():
            return ServiceAwayError(
                f"Redis is out of reach ({what}). Check that the server runs and that the URL is right; "
                "a run of `analyze` that it ended is repeated with --resume."
            )
        case _:
            kind = ServiceAwayError if _may_pass(error) else ServiceError
            return kind(f"Redis refused a command ({what}). Check the server's version and log.")


def set_unwritten(client: redis.Redis, key: str, content: bytes, keep_s: float) -> None:
    """Set a key that Redis neither writes to its append-only file nor sends to replicas: it lies on no disk.

    Raises:
        redis.exceptions.RedisError: Redis is out of reach.
    """
    client.eval(_SET_UNWRITTEN, 1, key, content, round(1000 * keep_s))
