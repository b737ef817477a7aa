"""Recordings on their way in: written to disk as they come, under safe names, and never larger than allowed."""

import shutil
import time
import unicodedata
from contextlib import suppress
from pathlib import Path

from contracts.errors import OutputError, SourceError, UsageError
from contracts.settings import Settings
from contracts.store import make_uuid7
from contracts.submissions import GB, find_upload_dir

# What must stay free on the disk: the database and Valkey write there too.
_RESERVE_BYTES = GB
_MAX_STEM, _MAX_SUFFIX, _MAX_BYTES = 100, 10, 200
_KEPT_CHARACTERS = " ._-()+,"
_PART = ".part"  # no safe name begins with a dot
_ABANDONED_S = 86_400.0


def make_safe_name(name: str) -> str:
    """Return a file name that reads as ``name`` does: letters and digits of any script, and a few marks."""
    name = unicodedata.normalize("NFC", name[:4096]).replace("\\", "/").rpartition("/")[2]
    kept = "".join(one if one.isalnum() or one in _KEPT_CHARACTERS else "_" for one in name)
    stem, dot, suffix = kept.strip(" .").rpartition(".")
    if not stem or len(suffix) > _MAX_SUFFIX:
        stem, dot, suffix = kept.strip(" ."), "", ""
    stem = stem[:_MAX_STEM]
    while len(stem.encode()) > _MAX_BYTES:
        stem = stem[:-1]
    return f"{stem.strip(' .') or 'recording'}{dot}{suffix}"


class Upload:
    """One recording that is being received, into a folder of its own."""

    def __init__(self, settings: Settings, name: str, expected_bytes: int | None) -> None:
        """Prepare to receive it.

        Raises:
            UsageError: it says to be larger than may be uploaded.
            OutputError: there is no room, or nothing can be written.
        """
        self.name = make_safe_name(name)
        self.num_bytes = 0
        self._max_bytes = round(settings.max_upload_gb * GB)
        root = find_upload_dir(settings)
        self._folder = root / make_uuid7()
        self._check_size(expected_bytes or 0)
        try:
            root.mkdir(parents=True, exist_ok=True)
            _remove_abandoned(root)
            self._check_room(expected_bytes or 0)
            self._folder.mkdir(mode=0o755)
            self._file = (self._folder / _PART).open("xb")
        except OSError as error:
            raise OutputError(f"Uploads cannot be written ({error.strerror}). See EMOTRACE_UPLOAD_DIR.") from None

    def write(self, chunk: bytes) -> None:
        """Add what came.

        Raises:
            UsageError: it is larger than may be uploaded.
            OutputError: the disk is full.
        """
        self.num_bytes += len(chunk)
        self._check_size(self.num_bytes)
        try:
            self._check_room(len(chunk))
            self._file.write(chunk)
        except OSError as error:
            raise OutputError(f"The upload cannot be written ({error.strerror}).") from None

    def finish(self) -> Path:
        """Return the file, complete.

        Raises:
            SourceError: nothing came.
            OutputError: the disk is full.
        """
        try:
            self._file.close()
        except OSError as error:
            raise OutputError(f"The upload cannot be written ({error.strerror}).") from None
        if self.num_bytes == 0:
            raise SourceError(f"{self.name} is empty (0 bytes). Copy it again from where it was recorded.")
        return (self._folder / _PART).rename(self._folder / self.name)

    def discard(self) -> None:
        """Delete what came."""
        with suppress(OSError):
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check_room(self, num_bytes: int) -> None:
        # Others write there too, at the same time.
        if shutil.disk_usage(self._folder.parent).free - num_bytes < _RESERVE_BYTES:
            raise OutputError("The disk that uploads go to has no room. Remove old ones, or pick from a folder.")

    def _check_size(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes or self._max_bytes == 0:
            raise UsageError(
                f"{self.name} is larger than the {self._max_bytes / GB:g} GB that may be uploaded. Put it into a "
                "folder that EMOTRACE_RECORDING_DIRS names, or raise EMOTRACE_MAX_UPLOAD_GB."
            )


def _remove_abandoned(root: Path) -> None:
    """Delete what was left of uploads while the dashboard was killed."""
    for part in root.glob(f"*/{_PART}"):
        with suppress(FileNotFoundError):  # another upload was just finished
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(part.parent, ignore_errors=True)
