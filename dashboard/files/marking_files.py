"""Markers as CSV, as people keep them in spreadsheets: name, start, end, colour, note.

Times are seconds of a recording (``12.5``, ``1:02.5``, ``1:01:02``), or wall-clock times of a camera (ISO 8601; without
an offset they are the chosen time zone's). A semicolon or a tab may stand for the comma.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from contracts.errors import UsageError
from contracts.markers import DEFAULT_COLOUR, check_marker
from contracts.store import Row
from dashboard.files.exports import guard_cell, unguard_cell

MAX_BYTES, MAX_LINES = 1_000_000, 2000
_COLUMNS = ("name", "start", "end", "colour", "note", "author", "made_at")
_NEEDED = ("name", "start")
_SHOWN_ERRORS = 10


def write_markers(rows: Sequence[Row], zone: ZoneInfo | None) -> bytes:
    """Return markers as UTF-8 CSV, times by the clocks of ``zone`` where there is one."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(_COLUMNS)
    for row in rows:
        times = [_write_time(row[name], zone) for name in ("start", "end")]
        made_at = datetime.fromtimestamp(row["made_at"], UTC).isoformat(timespec="seconds")
        words = [guard_cell(row[name]) for name in ("name", "note", "author")]
        writer.writerow([words[0], *times, row["colour"], words[1], words[2], made_at])
    return file.getvalue().encode()


def _write_time(time: float | None, zone: ZoneInfo | None) -> str:
    if time is None:
        return ""
    return repr(round(time, 6)) if zone is None else datetime.fromtimestamp(time, zone).isoformat()


def read_markers(content: bytes, zone: ZoneInfo | None, end: float | None = None) -> list[dict[str, Any]]:
    """Return the values of each line's marker (``contracts.markers.check_marker``).

    ``end`` is the recording's; None for cameras.

    Raises:
        UsageError: the file is no such table, or lines of it cannot be used; each is named with its reason.
    """
    found, errors = [], []
    for number, line in _read_lines(content):
        try:
            values = _read_line(line, zone)
            if end is not None and values["start"] > end:
                raise UsageError(f"It begins at {values['start']:g} s; the recording ends at {end:g} s.")
            found.append(values)
        except UsageError as error:
            errors.append(f"line {number}: {error}")
    if errors:
        more = f" … and {len(errors) - _SHOWN_ERRORS} more lines." if len(errors) > _SHOWN_ERRORS else ""
        raise UsageError(f"Nothing was imported. {' '.join(errors[:_SHOWN_ERRORS])}{more}")
    if not found:
        raise UsageError("The file has no markers: there is nothing below its first line.")
    return found


def _read_lines(content: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each line that is not empty, by column, with its number in the file."""
    if len(content) > MAX_BYTES:
        raise UsageError(f"The file has {len(content):,} bytes. It may have {MAX_BYTES:,} at most.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"The file is not UTF-8 text (byte {error.start}). Save it as CSV in UTF-8.") from None
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in _NEEDED if header.count(name) != 1]
        if missing:
            raise UsageError(
                f"The file's first line does not name {' and '.join(missing)} once. It must name the columns name and "
                "start; end, colour and note may stand beside them."
            )
        for position, cells in enumerate(reader):
            if position >= MAX_LINES:
                raise UsageError(f"The file has more than {MAX_LINES:,} markers. Import it in parts.")
            if any(cell.strip() for cell in cells):
                yield reader.line_num, dict(zip(header, cells, strict=False))
    except csv.Error as error:
        raise UsageError(f"Line {reader.line_num} of the file is no CSV: {error}.") from None


def _read_line(line: Mapping[str, str], zone: ZoneInfo | None) -> dict[str, Any]:
    start, end = (read_time(name, line.get(name, ""), zone) for name in ("start", "end"))
    if start is None:
        raise UsageError("The start is empty.")
    name, note = (unguard_cell(line.get(column, "")) for column in ("name", "note"))
    return check_marker(start, end, name, line.get("colour", "").strip().lower() or DEFAULT_COLOUR, note)


def read_time(what: str, text: str, zone: ZoneInfo | None) -> float | None:
    """Return the moment that a person wrote, None where they wrote nothing: seconds, or those since 1970 for a zone.

    Raises:
        UsageError: it cannot be read; ``what`` says what it is.
    """
    text = text.strip()
    if not text:
        return None
    try:
        if zone is not None:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
        seconds = 0.0
        for position, part in enumerate(reversed(text.split(":"))):
            if position > 2:
                raise ValueError
            seconds += float(part) * 60**position
        return seconds
    except (ValueError, OverflowError):
        expected = "seconds (12.5, 1:02.5)" if zone is None else "a date and time (2026-05-17T14:03:10+02:00)"
        raise UsageError(f"The {what} {text[:40]!r} cannot be read; expected {expected}.") from None
