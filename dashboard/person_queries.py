"""What pages read of who is who in a session. What was just edited must be seen: no cache."""

from typing import NamedTuple

from contracts import store
from contracts.database import read_transaction
from contracts.persons import list_persons
from contracts.track_edits import list_edits, read_version
from dashboard.identity import VIEWER, require
from dashboard.services import open_services
from dashboard.stretches import make_clocks


class Faces(NamedTuple):
    """The faces of a session as they are at a ``version`` of its edits: ``names`` by track, and edits, newest first."""

    version: int
    names: dict[int, str]
    edits: list[store.Row]


def read_faces(session_id: str) -> Faces:
    """Return who is who in a session, and what was done to its tracks."""
    require(VIEWER)
    with read_transaction(open_services().engine) as connection:
        names = {row["track_id"]: row["name"] for row in list_persons(connection, session_id)}
        return Faces(read_version(connection, session_id), names, list_edits(connection, session_id))


def find_session_time(session_id: str, at: float) -> float:
    """Return the seconds from a camera session's start of a moment in seconds since 1970.

    Raises:
        UsageError: there is no such session.
    """
    require(VIEWER)
    with read_transaction(open_services().engine) as connection:
        session = store.read_session(connection, session_id)
        return float(make_clocks(connection, [session])[session_id].to_session(at))
