"""The driver of a vehicle: of all the faces in a frame the largest steady one, kept while it is there."""

from collections.abc import Sequence

from ingest.tracking import Track

# A passenger who leans forward for a moment does not become the driver.
_STEADY_S = 1.0
# Nor does one whose face is about as large.
_LARGER = 1.3


class DriverChooser:
    """Chooses at most one track a frame."""

    def __init__(self) -> None:
        self._driver: int | None = None
        self._rival: int | None = None
        self._rival_since_s = 0.0

    def choose(self, tracks: Sequence[Track], time_s: float) -> list[Track]:
        """Return the driver's track, if it is on this frame.

        The first driver is the largest face. Another one takes over when it has been the largest for a second, and
        clearly larger than the driver's where that is still seen.
        """
        largest = max(tracks, key=_measure_area, default=None)
        driver = next((track for track in tracks if track.track_id == self._driver), None)
        if largest is None:
            return []
        if self._driver is None:
            self._driver, driver = largest.track_id, largest
        is_rival = largest.track_id != self._driver and (
            driver is None or _measure_area(largest) > _LARGER * _measure_area(driver)
        )
        if not is_rival:
            self._rival = None
        elif largest.track_id != self._rival:
            self._rival, self._rival_since_s = largest.track_id, time_s
        elif time_s - self._rival_since_s >= _STEADY_S:
            self._driver, self._rival, driver = largest.track_id, None, largest
        return [driver] if driver is not None else []


def _measure_area(track: Track) -> float:
    x1, y1, x2, y2 = track.box
    return (x2 - x1) * (y2 - y1)
