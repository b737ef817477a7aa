"""What pages read of markers and spans. Markers are few, and what was just saved must be seen: they are not kept."""

import math

from contracts import markers, store
from contracts.database import read_transaction
from dashboard.asking import query
from dashboard.identity import VIEWER, require
from dashboard.reading.spans import SpanFigures, read_span
from dashboard.reading.stretches import Faces
from dashboard.services import open_services

MAX_MARKERS = 2000


def list_markers(source_id: str, session_id: str | None, start: float = 0.0, end: float = math.inf) -> list[store.Row]:
    """Return the markers of a recording's session, or (None) of a camera, between two moments, by time."""
    require(VIEWER)
    with read_transaction(open_services().engine) as connection:
        return markers.list_markers(connection, source_id, session_id, start, end, MAX_MARKERS)


def read_marker(marker_id: str) -> store.Row | None:
    """Return a marker, or None where it is gone."""
    require(VIEWER)
    with read_transaction(open_services().engine) as connection:
        return markers.read_marker(connection, marker_id)


@query(VIEWER, ttl=10.0, max_entries=64)
def sum_span(source_id: str, session_id: str | None, faces: Faces | None, start: float, end: float) -> SpanFigures:
    """Return the figures of a span for each of the faces, or for all of them together.

    They are kept for a while: a camera's page is drawn anew every few seconds, and a span may be of hours.
    """
    with read_transaction(open_services().engine) as connection:
        return read_span(connection, source_id, session_id, faces, start, end)
