"""Keep account of every frame as stretches of one state, in rows that the ledger is computed from."""

from dataclasses import dataclass
from typing import Any

from contracts import ledger

# Stretches end at multiples of this time too, so that the rows of a long recording can be written as it goes.
_STRETCH_S = 60.0


@dataclass
class _Stretch:
    start_pts: int
    state: str
    start_s: float
    end_s: float
    num_frames: int = 0
    num_not_sampled: int = 0
    num_faces: int = 0
    num_backpressure: int = 0
    fps: float | None = None


class CoverageRecorder:
    """Collects frames in order of time; ``take_rows`` gives the rows that are new or have grown.

    A stretch lasts until the next one begins. Its start depends on the frames alone, so a second reading writes the
    same rows. Frames that were not sampled are counted within the stretch they lie in; ``state_before`` is what those
    at the very beginning lie in, where somebody else's stretch comes before.
    """

    def __init__(self, session_id: str) -> None:
        self.state_before: str | None = None
        self._session_id = session_id
        self._current: _Stretch | None = None
        self._unwritten: list[_Stretch] = []
        self._fps: float | None = None
        self._has_neighbour = False

    def set_rate(self, fps: float) -> None:
        """Note the sampling rate in force from now on; another one begins a new stretch."""
        self._fps = fps

    def add_thinned(self, pts: int, time_s: float) -> None:
        """Count one frame that the asked sampling rate would have had analysed, and the rate in force did not."""
        current = self._current
        if current is None or current.state != ledger.ANALYSED:
            self.add_frame(pts, time_s, ledger.BACKPRESSURE)
            return
        current.end_s = max(current.end_s, time_s)
        current.num_backpressure += 1

    def add_frame(self, pts: int, time_s: float, state: str, num_faces: int = 0) -> None:
        """Count one frame in ``state`` (see ``contracts.ledger``), of which ``num_faces`` go to inference."""
        current = self._current
        if current is not None:
            current.end_s = max(current.end_s, time_s)
        if current is None and state == ledger.NOT_SAMPLED and self.state_before is not None:
            current = self._begin(pts, time_s, self.state_before)
        if state == ledger.NOT_SAMPLED and current is not None:
            current.num_not_sampled += 1
            return
        is_new_page = current is not None and int(time_s / _STRETCH_S) != int(current.start_s / _STRETCH_S)
        if current is None or state != current.state or is_new_page or current.fps != self._fps:
            current = self._begin(pts, time_s, state)
        current.num_frames += 1
        current.num_faces += num_faces

    def add_undecodable(self, pts: int, time_s: float) -> None:
        """Count one packet that never became a picture."""
        current = self._current
        if current is None or current.state != ledger.UNDECODABLE:
            current = self._begin(pts, time_s, ledger.UNDECODABLE)
        current.num_frames += 1
        current.end_s = max(current.end_s, time_s)

    def add_missing(self, pts: int, start_s: float, end_s: float, state: str) -> None:
        """Note a stretch of time of which no frame was read at all, such as the rest of an interrupted recording."""
        self._begin(pts, start_s, state).end_s = end_s

    def extend_to(self, end_s: float) -> None:
        """Have the last stretch last until ``end_s``, where somebody else's begins."""
        if self._current is not None:
            self._current.end_s = max(self._current.end_s, end_s)
            self._has_neighbour = True

    def take_rows(self, frame_s: float = 0.0) -> list[dict[str, Any]]:
        """Return rows for the coverage table. ``frame_s`` is how long the last frame is taken to last."""
        is_last = self._current is not None and self._current.num_frames and not self._has_neighbour
        last = self._current if is_last else None
        unwritten, self._unwritten = self._unwritten, []
        if self._current is not None:
            # It may still grow: written again next time, the longer version replaces the shorter.
            self._unwritten.append(self._current)
        return [
            {
                "session_id": self._session_id,
                "start_pts": stretch.start_pts,
                "state": stretch.state,
                "start_s": stretch.start_s,
                "end_s": stretch.end_s + (frame_s if stretch is last else 0.0),
                "num_frames": stretch.num_frames,
                "num_not_sampled": stretch.num_not_sampled,
                "num_faces": stretch.num_faces,
                "num_backpressure": stretch.num_backpressure,
                "fps": stretch.fps,
            }
            for stretch in unwritten
        ]

    def _begin(self, pts: int, time_s: float, state: str) -> _Stretch:
        if self._current is not None:
            self._current.end_s = max(self._current.end_s, time_s)
            # Two stretches of one state and pts would be one row; packets without a time of their own come so.
            pts = max(pts, self._current.start_pts + 1)
        self._current = _Stretch(pts, state, time_s, time_s, fps=self._fps)
        self._unwritten.append(self._current)
        return self._current
