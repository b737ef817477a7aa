"""Credentials at rest: encrypted with a key that lies in a file of its own, never in the database.

The encryption is Fernet's (AES-128-CBC and HMAC-SHA256; https://github.com/fernet/spec). The file holds one key a line:
the first encrypts, each of them decrypts, so that a key can be replaced while streams run.
"""

import os
import stat
import tempfile
from functools import cached_property
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from contracts.errors import SecretKeyError
from contracts.settings import Settings

_KEY_NAME = "secret.key"
_MAX_FILE_BYTES = 65_536


class SecretKey:
    """The key in the file ``path``, read when it is first needed; ``may_create`` where encrypting may make the file."""

    def __init__(self, path: Path, may_create: bool = False) -> None:
        self.path = path
        self._may_create = may_create

    def encrypt(self, text: str) -> str:
        """Encrypt with the file's first key.

        Raises:
            SecretKeyError: the key cannot be read, or its file not be made.
        """
        if self._may_create:
            _create_key_file(self.path)
        return self._keys.encrypt(text.encode()).decode()

    def decrypt(self, encrypted: str) -> str:
        """Decrypt what one of the file's keys encrypted.

        Raises:
            SecretKeyError: the key cannot be read, or is another one.
        """
        try:
            return self._keys.decrypt(encrypted.encode()).decode()
        except InvalidToken:
            # The file may have been given another key since it was read.
            self.__dict__.pop("_keys")
        try:
            return self._keys.decrypt(encrypted.encode()).decode()
        except InvalidToken:
            raise SecretKeyError(
                f"The key in {self.path} is not the one that the stored credentials were encrypted with. Put that one "
                "there, or name its file in EMOTRACE_SECRET_KEY_FILE; of a lost key, docs/contracts.md tells the way."
            ) from None

    @cached_property
    def _keys(self) -> MultiFernet:
        lines = _read_key_file(self.path).split()
        try:
            return MultiFernet([Fernet(line) for line in lines])
        except ValueError:
            raise SecretKeyError(
                f"{self.path} holds no usable key. Expected one key a line: 32 random bytes in URL-safe base64 "
                "(44 characters), as `openssl rand -base64 32 | tr +/ -_` makes them."
            ) from None


def find_secret_key(settings: Settings) -> SecretKey:
    """Return the key that ``EMOTRACE_SECRET_KEY_FILE`` names, else the one under the data directory.

    Only the latter is made where it is missing: a named key is meant to be the same on every host.
    """
    if settings.secret_key_file is not None:
        return SecretKey(settings.secret_key_file)
    return SecretKey(settings.data_dir / _KEY_NAME, may_create=True)


def _read_key_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        raise SecretKeyError(
            f"There is no key file {path}, and credentials need it. Copy it from the host where streams were added, or "
            f"make the first one: (umask 077; openssl rand -base64 32 | tr +/ -_ > {path})"
        ) from None
    except OSError as error:
        raise SecretKeyError(
            f"The key file {path} cannot be read ({error.strerror}). Let the user that runs emotrace read it."
        ) from None
    if mode & stat.S_IRWXO:
        raise SecretKeyError(
            f"The key file {path} is open to every user (mode {stat.S_IMODE(mode):04o}). Close it with chmod o= {path} "
            "(of a container's secret: mode 0400), and replace a key that others may have read."
        )
    return content


def _create_key_file(path: Path) -> None:
    """Make a key file of mode 0600, whole or not at all, where there is none; another process may make it too."""
    try:
        if path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # a key lost in a power cut takes the credentials with it
        finally:
            os.close(directory)
    except FileExistsError:
        pass
    except OSError as error:
        raise SecretKeyError(
            f"The key file {path} cannot be made ({error.strerror}). Set EMOTRACE_DATA_DIR to a directory that can be "
            "written, or name a key file in EMOTRACE_SECRET_KEY_FILE."
        ) from None
