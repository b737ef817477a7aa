"""The recordings in the folders that ``EMOTRACE_RECORDING_DIRS`` names: those alone may be picked."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from contracts.settings import Settings
from contracts.submissions import VIDEO_SUFFIXES

MAX_OFFERED = 2000


class Offer(NamedTuple):
    """A recording of a folder that is offered: what it is called there, and how large it is."""

    path: Path
    name: str
    num_bytes: int


def list_files(folders: Sequence[Path]) -> list[Offer]:
    """Return the recordings in folders and below, the newest first; of very many, those that are met first."""
    found: list[tuple[float, Offer]] = []
    for folder in folders:
        for place, below, names in os.walk(folder):
            below.sort()
            for path in (Path(place) / name for name in sorted(names)):
                with suppress(OSError):  # it was just removed
                    if is_offered(path, folders):
                        facts = path.stat()
                        found.append((facts.st_mtime, Offer(path, str(path.relative_to(folder)), facts.st_size)))
            if len(found) >= MAX_OFFERED:
                break
    return [offer for _, offer in sorted(found, key=lambda one: -one[0])][:MAX_OFFERED]


def find_folders(settings: Settings) -> list[Path]:
    """Return the folders whose recordings are offered."""
    named = (settings.recording_dirs or "").split(os.pathsep)
    return [Path(one.strip()).expanduser().absolute() for one in named if one.strip()]


def is_offered(path: Path, folders: Sequence[Path]) -> bool:
    """Return whether a path is a recording in one of ``folders``, wherever symbolic links lead."""
    return is_recording(path) and any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)


def is_recording(path: Path) -> bool:
    """Return whether a path looks like a recording's: a file whose name ends as those of videos do.

    A name that is no text (bytes that are no UTF-8) can neither be shown nor stored.
    """
    try:
        str(path).encode()
        return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    except (OSError, UnicodeEncodeError):
        return False
