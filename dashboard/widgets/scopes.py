"""What the markers of a page belong to."""

from typing import NamedTuple
from zoneinfo import ZoneInfo

from contracts import store
from dashboard.reading.stretches import Faces
from dashboard.texts import tell_duration, tell_place


class Scope(NamedTuple):
    """What markers belong to: a recording's session, or (None) a camera, whose times a ``zone`` shows.

    ``faces`` are those that the page shows, None for all together.
    """

    source_id: str
    session_id: str | None
    faces: Faces | None
    zone: ZoneInfo | None

    def tell(self, row: store.Row) -> str:
        """Return when a marker is."""
        told = tell_place(row["start"], self.zone)
        return told if row["end"] is None else f"{told}, for {tell_duration(row['end'] - row['start'])}"
