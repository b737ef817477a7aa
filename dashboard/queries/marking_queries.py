"""What pages read of markers and spans. Markers are few, and what was just saved must be seen: they are not kept."""

import math
from collections.abc import Callable

from contracts import markers, store
from contracts.database import read_transaction
from dashboard.asking import query, read
from dashboard.identity import VIEWER, require
from dashboard.reading.spans import SpanFigures, read_span
from dashboard.reading.stretches import Faces
from dashboard.services import open_services

MAX_MARKERS = 2000


def list_markers(source_id: str, session_id: str | None, start: float = 0.0, end: float = math.inf) -> list[store.Row]:
    """Return the markers of a recording's session, or (None) of a camera, between two moments, by time."""
    require(VIEWER)
    with read() as connection:
        return markers.list_markers(connection, source_id, session_id, start, end, MAX_MARKERS)


def read_marker(marker_id: str) -> store.Row | None:
    """Return a marker, or None where it is gone."""
    require(VIEWER)
    with read() as connection:
        return markers.read_marker(connection, marker_id)


def prepare_spans(source_id: str, session_id: str | None, faces: Faces | None) -> Callable[[float, float], SpanFigures]:
    """Return what reads spans for a file: it is made outside of its page's run, where nobody is known any more."""
    require(VIEWER)
    engine = open_services().engine

    def read_one(start: float, end: float) -> SpanFigures:
        with read_transaction(engine) as connection:
            return read_span(connection, source_id, session_id, faces, start, end)

    return read_one


@query(VIEWER, ttl=10.0, max_entries=64)
def sum_span(source_id: str, session_id: str | None, faces: Faces | None, start: float, end: float) -> SpanFigures:
    """Return the figures of a span for each of the faces, or for all of them together.

    They are kept for a while: a camera's page is drawn anew every few seconds, and a span may be of hours.
    """
    with read() as connection:
        return read_span(connection, source_id, session_id, faces, start, end)
