"""Passwords of accounts: which may be one, and what is stored in place of it."""

import unicodedata
from functools import cache
from typing import TYPE_CHECKING

from contracts.errors import UsageError
from contracts.users import fold_name

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH, MAX_LENGTH = 10, 1000


def check_password(password: str, name: str) -> str:
    """Return ``password`` if it may be that of the account ``name``.

    Raises:
        UsageError: it is too short, too long, or the name itself.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise UsageError(
            f"The password has {len(password)} characters. Expected {MIN_LENGTH} to {MAX_LENGTH}; "
            "a few words make one that is easy to keep in mind."
        )
    if fold_name(password) == fold_name(name):
        raise UsageError("The password is the account's name, which is what is guessed first. Choose another one.")
    return password


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, with its parameters and salt. Takes 64 MiB and a noticeable moment."""
    return _make_hasher().hash(_write_password(password))


def matches(password_hash: str | None, password: str) -> bool:
    """Tell whether ``password`` has this hash; without one, takes as long and says no."""
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        _make_hasher().verify(password_hash or _make_decoy(), _write_password(password))
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def _write_password(password: str) -> str:
    """Return a password in one way of writing it, whatever the keyboard made of it."""
    return unicodedata.normalize("NFKC", password[: MAX_LENGTH + 1])


@cache
def _make_hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher  # most processes never need it

    return PasswordHasher()


@cache
def _make_decoy() -> str:
    return _make_hasher().hash("nobody's")
