"""Passwords of servers from files, so that they stand in no environment, no command line and no container's record."""

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from contracts.errors import UsageError

_MAX_BYTES = 4096


def read_password(path: Path) -> str:
    """Return the one line that a secret's file holds.

    Raises:
        UsageError: the file cannot be read, is empty or holds more than a line.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise UsageError(f"The password file {path} cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UsageError(f"The password file {path} is not text in UTF-8.") from None
    if not text or len(text) > _MAX_BYTES or "\n" in text:
        found = "is empty" if not text else "holds more than one line"
        raise UsageError(f"The password file {path} {found}. Expected the password alone.")
    return text


def put_password(url: str, password: str) -> str:
    """Return ``url``, a server's, with ``password`` in it.

    Raises:
        UsageError: the URL has a password of its own, or is not that of a server.
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user or (not at and "@" in url):
        raise UsageError("it holds a password beside that in the file. Take it out, or unset the file's variable.")
    if parts.scheme not in ("redis", "rediss", "unix") and not parts.scheme.startswith("postgres"):
        raise UsageError("it names no server that asks for a password. Unset the file's variable.")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}"))
