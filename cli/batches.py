"""``emotrace batch``: recordings planned into parts, handed to workers, watched, cancelled and retried."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import audit
from cli.messages import print_error, to_line
from cli.plans import DEFAULT_FPS, AnalyzeRequest, check_request, read_fps
from cli.services import Services, open_engine, open_services
from contracts import batches, parts, store
from contracts.batch_changes import WriteAudit, cancel_recording, retry_recording
from contracts.database import read_transaction
from contracts.errors import EmotraceError, UsageError
from contracts.submissions import VIDEO_SUFFIXES
from ingest.submissions import submit_recording

_PATTERN_CHARS = frozenset("*?[")


def submit(
    paths: Sequence[str],
    *,
    fps: str | None,
    priority: str,
    detector: str | None,
    model: str | None,
    part_s: float,
    database_url: str | None,
    redis_url: str | None,
    as_json: bool,
) -> int:
    """Plan each recording and enqueue its parts; return the exit code: 0 only where every one could be.

    A recording's parts are enqueued as soon as it is planned; one that cannot be read does not keep the next from it.
    """
    videos = find_videos(paths)
    request = AnalyzeRequest(
        videos=videos, out=Path(), fps=fps, detector=detector, model=model, device="cpu", profile=None,
        annotate=False, resume=None, as_json=as_json,
    )  # fmt: skip
    check_request(request)
    batch_id, submitted, code = store.make_uuid7(), [], 0
    with open_services(redis_url, database_url) as services:
        for video in videos:
            try:
                submitted.append(_submit_one(request, video, batch_id, priority, part_s, services))
            except EmotraceError as error:
                print_error(error)
                code = code or error.exit_code
                continue
            if not as_json:
                print(_describe(submitted[-1]))
    if as_json:
        print(json.dumps({"batch_id": batch_id, "files": submitted}, indent=2))
    elif submitted:
        print(f"batch {batch_id}: {len(submitted)} of {len(videos)} recordings. Watch: emotrace batch list {batch_id}")
    return code


def find_videos(paths: Sequence[str]) -> list[Path]:
    """Return the recordings that paths, folders and patterns name, each once, in order of their names within each.

    Raises:
        UsageError: one of them names none.
    """
    videos: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            found = sorted(one for one in path.rglob("*") if one.suffix.lower() in VIDEO_SUFFIXES and one.is_file())
        elif path.exists() or not _PATTERN_CHARS & set(text):
            found = [path]  # where it is missing, its own error says so
        else:
            found = sorted(one for one in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if one.is_file())
        if not found:
            raise UsageError(f"{text} names no recordings. Expected files such as {text.rstrip('/')}/clip.mp4.")
        videos.update(dict.fromkeys(found))
    return list(videos)


def _submit_one(
    request: AnalyzeRequest, video: Path, batch_id: str, priority: str, part_s: float, services: Services
) -> dict[str, Any]:
    rate = read_fps(request.fps or DEFAULT_FPS)

    def write_audit(connection: sa.Connection, session_id: str) -> None:
        details = {
            "batch_id": batch_id, "name": video.name, "fps": rate, "priority": priority, "part_s": part_s,
            "detector": request.detector, "model": request.model,
        }  # fmt: skip
        audit.record(connection, "recording.submit", session_id, **details)

    planned = submit_recording(
        services.engine, services.client, services.settings.retry_s, video=video, batch_id=batch_id, priority=priority,
        fps=rate, detector=request.detector, model=request.model, part_s=part_s, write_audit=write_audit,
    )  # fmt: skip
    return {
        "session_id": planned.session_id,
        "source": planned.source,
        "parts": len(planned.plan.parts),
        "whole_reason": planned.plan.whole_reason,
        "seams_s": [round(part.start_s, 3) for part in planned.plan.parts[1:]],
    }


def _describe(submitted: dict[str, Any]) -> str:
    num_parts, reason = submitted["parts"], submitted["whole_reason"]
    read = f"{num_parts} parts" if num_parts > 1 else "1 part" + (f" ({reason})" if reason else "")
    return f"{to_line(submitted['source'])}: {read}, session {submitted['session_id']}"


def list_all(batch: str | None, limit: int, database_url: str | None, as_json: bool) -> None:
    with open_engine(database_url) as (_, engine, _), read_transaction(engine) as connection:
        rows = batches.list_files(connection, batch, limit)
        details = [parts.list_parts(connection, row["session_id"]) for row in rows] if as_json else []
    if as_json:
        shown = [
            {**row, "parts": [{name: part[name] for name in _SHOWN} for part in found]}
            for row, found in zip(rows, details, strict=True)
        ]
        print(json.dumps(shown, indent=2))
        return
    if not rows:
        print("No batches yet. Begin with: emotrace batch submit PATH")
        return
    table = Table(box=None, header_style="bold")
    for name in ("batch", "session", "source", "status", "parts", "read", "problem"):
        table.add_column(name, justify="right" if name in ("parts", "read") else "left", no_wrap=name == "session")
    for row in rows:
        table.add_row(
            row["batch_id"][:13],
            row["session_id"],
            escape(to_line(row["source"])),
            _name_status(row),
            f"{row['num_done']}/{row['num_parts']}",
            _format_share(row["done_s"], row["total_s"]),
            escape(to_line(row["error"] or _name_problem(row))),
        )
    # A pipe has no width of its own; lines are not to be broken for one.
    Console(highlight=False, width=None if sys.stdout.isatty() else 240).print(table)
    num_done, num_parts = (sum(row[name] for row in rows) for name in ("num_done", "num_parts"))
    share = _format_share(sum(row["done_s"] for row in rows), sum(row["total_s"] for row in rows))
    complete = sum(row["status"] == store.COMPLETE for row in rows)
    print(f"{complete} of {len(rows)} recordings complete, {num_done} of {num_parts} parts, {share} read")


_SHOWN = ("part", "start_s", "end_s", "status", "attempts", "done_s", "error", "started_at", "ended_at")


def _name_status(row: store.Row) -> str:
    """Return a session's status; of one that is not over, whether anything of it has begun."""
    is_begun = row["num_done"] + row["num_running"] + row["num_failed"] + row["num_cancelled"] > 0
    if row["status"] != store.RUNNING or is_begun:
        return str(row["status"])
    return parts.WAITING


def _name_problem(row: store.Row) -> str:
    found = [f"{row[f'num_{status}']} {status}" for status in (parts.FAILED, parts.CANCELLED) if row[f"num_{status}"]]
    return ", ".join(found)


def _format_share(done_s: float, total_s: float) -> str:
    return f"{min(1.0, done_s / total_s) if total_s else 0.0:.0%}"


def cancel(batch: str, database_url: str | None, redis_url: str | None) -> None:
    with open_services(redis_url, database_url) as services:
        retry_s, reason = services.settings.retry_s, "Cancelled with emotrace batch cancel."
        for row in _read_files(services, batch):
            num_cancelled = cancel_recording(
                services.engine, services.client, row, reason, retry_s, _audit("recording.cancel", row)
            )
            print(f"{to_line(row['source'])}: {num_cancelled} of {row['num_parts']} parts cancelled")


def retry(batch: str, database_url: str | None, redis_url: str | None) -> None:
    with open_services(redis_url, database_url) as services:
        for row in _read_files(services, batch):
            num_again = retry_recording(
                services.engine, services.client, row, services.settings.retry_s, _audit("recording.retry", row)
            )
            print(f"{to_line(row['source'])}: {num_again} of {row['num_parts']} parts to be read again")


def _audit(action: str, row: store.Row) -> WriteAudit:
    return partial(audit.record, action=action, subject=row["session_id"])


def _read_files(services: Services, batch: str) -> list[store.Row]:
    with read_transaction(services.engine) as connection:
        return batches.list_files(connection, batch)
