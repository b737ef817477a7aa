"""Find the faces of a frame: in small regions around the known ones, and in the whole frame when that is called for.

A pass over the whole frame costs ten times a region's. It runs about once a second, at once after a scene cut, when a
known face is not found in its region, and on every frame while no face is known. While nothing has changed outside the
known regions since the last one, it waits for up to five seconds: an empty room at night costs next to nothing.
"""

from collections.abc import Sequence

from contracts.boxes import compute_iou
from contracts.messages import Box
from ingest.images import VideoImage
from ingest.stillness import SearchedPicture
from models.detection import Detection, FaceDetector

FULL_PASS_INTERVAL_S = 1.0
_STILL_INTERVAL_S = 5.0
# A region is this many times as long as the last box; a face may move 0.4 of its size between analysed frames.
_REGION_FACTOR = 1.8
_SAME_FACE_IOU = 0.4
# What a known face must reach to count as found again; a weaker or more distant find is something else.
MIN_KNOWN_SCORE = 0.4
MIN_KNOWN_IOU = 0.2
MIN_WEAK_IOU = 0.4  # below the score that a new face needs


class FaceFinder:
    """Finds faces frame by frame; it remembers only when it last looked at a whole frame, and what that looked like."""

    def __init__(self, detector: FaceDetector) -> None:
        self.detector = detector
        self._searched = SearchedPicture()
        self._full_pass_s = float("-inf")

    def find(self, image: VideoImage, time_s: float, known: Sequence[Box], is_cut: bool) -> list[Detection]:
        """Return the faces, in the frame's pixels. ``known`` are the boxes of faces seen a moment ago."""
        found: list[Detection] = []
        neighbours: list[Detection] = []
        is_one_lost = False
        regions = [] if is_cut else [_find_region(box, image) for box in known]
        has_changed = self._searched.has_changed(image.luma, regions)
        for box, region in zip(known, regions, strict=False):
            near = self._search(image, region, self.detector.region_size_px)
            near = [detection for detection in near if detection.score >= MIN_KNOWN_SCORE]
            near.sort(key=lambda detection: compute_iou(detection.box, box), reverse=True)
            if near and compute_iou(near[0].box, box) >= self._find_min_iou(near[0]):
                found.append(near[0])
                neighbours += near[1:]
            else:
                is_one_lost = True
        since_s = time_s - self._full_pass_s
        is_due = has_changed and (not known or since_s >= FULL_PASS_INTERVAL_S)
        if is_cut or is_one_lost or is_due or since_s >= _STILL_INTERVAL_S:
            whole = (0.0, 0.0, float(image.width), float(image.height))
            found += self._search(image, whole, self.detector.full_size_px)
            self._full_pass_s = time_s
            self._searched.keep()
        # Other faces in a region come last: it may show half of them only.
        return _drop_duplicates(found + neighbours)

    def _find_min_iou(self, detection: Detection) -> float:
        return MIN_KNOWN_IOU if detection.score >= self.detector.min_score else MIN_WEAK_IOU

    def _search(self, image: VideoImage, region: Box, size_px: int) -> list[Detection]:
        """Return the faces within ``region``, looked at in a copy whose longest side is at most ``size_px``."""
        left, top, right, bottom = region
        scale = min(size_px / max(right - left, bottom - top), 1.0 if size_px == self.detector.full_size_px else 4.0)
        width, height = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        picture = image.read_rgb(region, width, height)
        scale_x, scale_y = (right - left) / width, (bottom - top) / height
        return [
            Detection(
                (left + x1 * scale_x, top + y1 * scale_y, left + x2 * scale_x, top + y2 * scale_y), detection.score
            )
            for detection in self.detector.detect(picture)
            for x1, y1, x2, y2 in [detection.box]
        ]


def _find_region(box: Box, image: VideoImage) -> Box:
    x1, y1, x2, y2 = box
    half = max(x2 - x1, y2 - y1) * _REGION_FACTOR / 2
    centre_x, centre_y = (x1 + x2) / 2, (y1 + y2) / 2
    left, top = max(0, int(centre_x - half)), max(0, int(centre_y - half))
    right, bottom = min(image.width, int(centre_x + half)), min(image.height, int(centre_y + half))
    # A box outside the picture still needs a region of some size, in which nothing will be found.
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return float(left), float(top), float(max(right, left + 1)), float(max(bottom, top + 1))


def _drop_duplicates(detections: list[Detection]) -> list[Detection]:
    """Keep one detection of each face. Earlier ones win: a region shows the face larger than the whole frame does."""
    kept: list[Detection] = []
    for detection in detections:
        if all(compute_iou(detection.box, other.box) < _SAME_FACE_IOU for other in kept):
            kept.append(detection)
    return kept
