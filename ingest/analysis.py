"""From one sampled frame to crop sequences: find faces, track them, crop them, collect windows.

The stages are called here in their order, for recordings and cameras alike; a stage knows nothing of the others.
"""

from dataclasses import dataclass, field

from contracts import ledger
from contracts.messages import CropSequence
from contracts.model_card import InputContract
from ingest.driver import DriverChooser
from ingest.finding import FaceFinder
from ingest.frames import Frame
from ingest.quality import MIN_FACE_PX, compute_quality
from ingest.scenes import SceneCutDetector
from ingest.tracking import Track, Tracker
from ingest.windows import FaceCrop, WindowBuffer
from models.alignment import crop_face, find_crop_square
from models.detection import FaceDetector


@dataclass
class FrameAnalysis:
    """What a frame gave: its ``state`` in the ledger, each track with its crop, and windows to publish.

    A crop is None where the face is too small. ``ended`` tracks will get no more faces.
    """

    state: str = ledger.NO_FACE
    faces: list[tuple[Track, FaceCrop | None]] = field(default_factory=list)
    sequences: list[CropSequence] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    @property
    def track_ids(self) -> list[int]:
        """The tracks whose faces go to inference."""
        return [track.track_id for track, crop in self.faces if crop is not None]


class FrameAnalyser:
    """The stages of one session; ``driver`` keeps the largest steady face alone."""

    def __init__(
        self,
        detector: FaceDetector,
        model_input: InputContract,
        windows: WindowBuffer,
        first_track_id: int = 1,
        driver: bool = False,
    ) -> None:
        self._detector, self._model_input, self._windows = detector, model_input, windows
        self._finder, self._scenes = FaceFinder(detector), SceneCutDetector()
        self._tracker = Tracker(detector.min_score, windows.max_gap_s, first_track_id)
        self._driver = DriverChooser() if driver else None

    def set_max_gap(self, max_gap_s: float) -> None:
        """Have tracks and windows span gaps of up to ``max_gap_s`` seconds from now on."""
        self._windows.max_gap_s = self._tracker.max_lost_s = max_gap_s

    def analyse(self, frame: Frame) -> FrameAnalysis:
        """Analyse the next sampled frame of the session."""
        found, windows = FrameAnalysis(), self._windows
        is_cut = self._scenes.is_cut(frame.image.luma)
        gone = self._tracker.break_all() if is_cut else []
        detections = self._finder.find(frame.image, frame.time_s, self._tracker.list_known_boxes(), is_cut)
        tracks, lost = self._tracker.update(detections, frame.time_s)
        found.ended = [*gone, *lost]
        for track_id in found.ended:
            found.sequences += windows.flush(track_id)
        if self._driver is not None:
            tracks = self._driver.choose(tracks, frame.time_s)
        for track in tracks:
            face = make_face_crop(frame, track, self._detector, self._model_input)
            found.faces.append((track, face))
            if face is not None:
                found.sequences += windows.add(track.track_id, face, track.is_break)
            elif track.is_break:
                found.sequences += windows.flush(track.track_id)
        found.sequences += windows.flush_overdue(frame.time_s)
        if tracks:
            found.state = ledger.ANALYSED if found.track_ids else ledger.LOW_QUALITY
        return found


def make_face_crop(frame: Frame, track: Track, detector: FaceDetector, model_input: InputContract) -> FaceCrop | None:
    """Return the track's face in this frame as the model wants it, or None where it is too small to say anything."""
    side_factor = model_input.framing.side
    _, _, side_px = find_crop_square(track.box, detector.framing, side_factor)
    if side_px < MIN_FACE_PX:
        return None
    crop = crop_face(frame.image.luma, track.box, detector.framing, model_input.size_px, side_factor)
    return FaceCrop(
        pts=frame.pts,
        time_s=frame.time_s,
        frame_index=frame.index,
        box=track.box,
        detection_score=track.score,
        quality=compute_quality(crop, side_px, track.score),
        crop=crop,
        is_own=frame.is_own,
    )
