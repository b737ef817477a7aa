"""What a player of a recording needs: its file, how a browser calls it, and the faces to draw over its pictures."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contracts.emotions import EMOTIONS
from contracts.errors import SourceError
from contracts.persons import read_persons
from contracts.schema import emotions
from contracts.store import Row
from contracts.timelines import select_within

# What browsers can play, by the names that FFmpeg gives containers and codecs. Which of it one plays, it says itself.
_MEDIA_TYPES = (
    ("mp4", ("h264", "hevc", "av1", "vp9"), "video/mp4"),
    ("webm", ("vp8", "vp9", "av1"), "video/webm"),
    ("matroska", ("h264", "hevc"), "video/x-matroska"),
)
MAX_FACES = 10_000
_FACE_COLUMNS = ("x1", "y1", "x2", "y2", *EMOTIONS)


@dataclass(frozen=True)
class Playable:
    """A recording that browsers may be able to play; ``width`` and ``height`` are those that boxes are in."""

    path: Path
    media_type: str
    codec: str
    width: int
    height: int
    is_newer: bool  # written to since its session began: the pictures may not be those of the rows


def find_playable(session: Row) -> Playable:
    """Return the file of a session (``store.read_session``) and how it is served to a browser.

    Only a file that the pipeline has opened as a video is ever named.

    Raises:
        SourceError: it is a camera's, its file is not at hand, or no browser plays files of its kind.
    """
    if session["epoch"] is not None or str(session["url"]).startswith("stream:"):
        raise SourceError("No video of cameras is kept.")
    facts = session["facts"]
    container, codec = str(facts.get("container", "")), str(facts.get("codec", ""))
    if not container:
        raise SourceError("The recording has not been opened yet; its video appears once it is being read.")
    types = [name for kind, codecs, name in _MEDIA_TYPES if kind in container.split(",") and codec in codecs]
    if not types:
        raise SourceError(
            f"Browsers play no {codec} video in {container.split(',')[0]} files. The timeline is complete without it; "
            "to see both, convert the file (ffmpeg -i FILE -c:v libx264 NEW.mp4) and analyse that one."
        )
    path = Path(session["url"])
    try:
        found = path.stat()
    except OSError:
        raise SourceError(
            "The recording's file is not at hand where the dashboard runs: it was moved or removed, or lies on another "
            "host. The timeline is complete without it."
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise SourceError("What stands in the recording's place is not a file any more.")
    return Playable(
        path, types[0], codec, int(facts.get("width", 0)), int(facts.get("height", 0)),
        found.st_mtime > session["started_at"],
    )  # fmt: skip


def read_faces(
    connection: sa.Connection, session: Row, start_s: float, end_s: float, limit: int = MAX_FACES
) -> Sequence[sa.Row[Any]]:
    """Return the faces of a session between two moments in order of time, the first ``limit`` of them.

    Each is (time_s, the person's track, x1, y1, x2, y2, and the probabilities in the order of ``EMOTIONS``).
    """
    persons = read_persons(connection, session["session_id"])
    person = persons.make_column().label("person")
    query = sa.select(emotions.c.time_s, person, *(emotions.c[name] for name in _FACE_COLUMNS))
    query = query.where(select_within(session, start_s, end_s, persons, None))
    return connection.execute(query.order_by(emotions.c.time_s, person).limit(limit)).all()
