"""What the live view reads: a camera's newest picture, how its run goes, and what was found in the faces in view."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import redis
import streamlit as st

from contracts import previews, stream_state
from contracts.emotions import EMOTIONS, UNCERTAIN_BELOW, find_label
from contracts.errors import NotAllowedError
from contracts.latest import read_latest
from contracts.persons import read_persons
from contracts.previews import Preview
from contracts.redis_server import explain_error
from contracts.stream_state import StreamState
from dashboard.asking import read
from dashboard.identity import OPERATOR, require
from dashboard.queries import fleet_queries
from dashboard.services import open_redis

# Pages ask for new pictures this often; runs publish up to eight a second.
REFRESH_S = 0.15
_ROWS_FRESH_S = 0.25
_NOW_PTS = 2**62  # after all cuts of a track: it is in view
# A face's newest row says nothing of the picture any more when it is this much older.
_MAX_ROW_AGE_S = 4.0
_MAX_FACES = 12


class LiveFace(NamedTuple):
    """A face in the picture: its box in shares of the picture's size, and its newest row's probabilities, if any.

    ``name`` is what analysts call the person, else a number. ``behind_s``: how much older than the picture that row is.
    """

    track_id: int
    name: str
    box: tuple[float, float, float, float]
    is_analysed: bool
    probabilities: tuple[float, ...]
    label: str
    confidence: float
    behind_s: float

    @property
    def is_uncertain(self) -> bool:
        """Whether the label is more likely wrong than right."""
        return self.confidence < UNCERTAIN_BELOW


class Look(NamedTuple):
    """What there is to see of a camera now. ``delay_s``: since the picture's last packet came from the camera."""

    preview: Preview | None
    faces: list[LiveFace]
    delay_s: float
    told: StreamState | None


def look_at(stream_id: str) -> Look:
    """Return what a camera sees now, and have it publish for some seconds more.

    Raises:
        NotAllowedError: the visitor is no operator, or the camera may not be looked at.
        ServiceError: the database or Redis is out of reach.
    """
    require(OPERATOR)
    cameras = fleet_queries.list_cameras()
    allowed = cameras.loc[cameras["stream_id"] == stream_id, "preview"]
    if not allowed.any():
        raise NotAllowedError("The live view of this camera is off. Turn it on first, here or on the page Cameras.")
    client = open_redis()
    try:
        previews.ask_for_preview(client, stream_id)
        preview = previews.read_preview(client, stream_id)
        told = stream_state.read_states(client, [stream_id]).get(stream_id)
    except redis.exceptions.RedisError as error:
        raise explain_error(error) from None
    if preview is None:
        return Look(None, [], 0.0, told)
    return Look(preview, _read_faces(preview), max(0.0, time.time() - preview.arrived_at), told)


def _read_faces(preview: Preview) -> list[LiveFace]:
    shown = sorted(preview.faces, key=lambda face: face.track_id)[:_MAX_FACES]
    names, rows = _read_rows(preview.session_id, tuple(face.track_id for face in shown))
    faces = []
    for face in shown:
        x1, y1, x2, y2 = face.box
        box = (x1 / preview.width, y1 / preview.height, x2 / preview.width, y2 / preview.height)
        time_s, probabilities = rows.get(face.track_id, (0.0, ()))
        behind_s = max(0.0, preview.time_s - time_s)
        known = face.track_id, names[face.track_id], box, face.is_analysed
        if not probabilities or behind_s > _MAX_ROW_AGE_S:
            faces.append(LiveFace(*known, (), "", 0.0, 0.0))
            continue
        label, confidence = find_label(probabilities)
        faces.append(LiveFace(*known, probabilities, label, confidence, behind_s))
    return faces


@st.cache_data(ttl=_ROWS_FRESH_S, max_entries=32, show_spinner=False)
def _read_rows(
    session_id: str, track_ids: Sequence[int]
) -> tuple[dict[int, str], dict[int, tuple[float, tuple[float, ...]]]]:
    """Return whose each track is now, and the time and the probabilities of each track's newest row."""
    with read() as connection:
        persons = read_persons(connection, session_id)
        rows = read_latest(connection, session_id, track_ids)
    names = {track_id: persons.name(persons.find(track_id, _NOW_PTS)) for track_id in track_ids}
    return names, {row["track_id"]: (row["time_s"], tuple(row[name] for name in EMOTIONS)) for row in rows}
