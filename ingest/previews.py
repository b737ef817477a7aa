"""Publish a camera's newest analysed picture while somebody looks, in a thread of its own.

The reading never waits for it: a frame is only offered, and the newest one takes the place of those not yet published.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import cv2
import redis

from contracts import previews
from contracts.logs import get_logger
from contracts.previews import Preview, PreviewFace
from ingest.analysis import FrameAnalysis
from ingest.camera_events import LiveFrame

_log = get_logger(__name__)
_MAX_FPS = 8.0
_LONGEST_PX = 640
_QUALITY = 75


class _Offer(NamedTuple):
    session_id: str
    frame: LiveFrame
    found: FrameAnalysis


class PreviewPublisher:
    """One camera's pictures. Without a wish, or where the stream does not allow it, nothing happens at all."""

    def __init__(self, client: redis.Redis, stream_id: str, is_allowed: Callable[[], bool]) -> None:
        self._client, self._stream_id, self._is_allowed = client, stream_id, is_allowed
        self._is_wanted = False
        self._newest: _Offer | None = None
        self._number = 0
        self._published_s: deque[float] = deque(maxlen=16)
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="preview", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Find out whether somebody looks; to be called about once a second, by another thread than the reading one.

        Raises:
            redis.exceptions.RedisError: Redis is out of reach.
        """
        self._is_wanted = self._is_allowed() and previews.is_wanted(self._client, self._stream_id)

    def offer(self, session_id: str, frame: LiveFrame, found: FrameAnalysis) -> None:
        """Take a frame that was analysed, where somebody looks."""
        if self._is_wanted:
            with self._changed:
                self._newest = _Offer(session_id, frame, found)
                self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """End; a picture that is under way is waited for."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._is_closing:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._newest is not None)
                offer, self._newest = self._newest, None
            if offer is None or not self._is_allowed():
                continue
            try:
                self._publish(offer)
            except redis.exceptions.RedisError:
                self._is_wanted = False  # until it can be asked for again
            except Exception:
                # Whoever looks sees nothing; the camera goes on.
                self._is_wanted = False
                _log.exception("a preview could not be made", stream=self._stream_id)
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, 1 / _MAX_FPS)

    def _publish(self, offer: _Offer) -> None:
        self._number += 1
        now_s = time.monotonic()
        if self._published_s and now_s - self._published_s[-1] > previews.WISH_S:
            self._published_s.clear()  # nobody looked for a while
        self._published_s.append(now_s)
        passed_s = now_s - self._published_s[0]
        fps = (len(self._published_s) - 1) / passed_s if passed_s > 0 else 0.0
        previews.publish_preview(self._client, self._stream_id, make_preview(*offer, self._number, fps))


def make_preview(session_id: str, frame: LiveFrame, found: FrameAnalysis, number: int, fps: float) -> Preview:
    """Return a frame as a small JPEG, its faces' boxes in the JPEG's pixels."""
    image = frame.image
    scale = min(1.0, _LONGEST_PX / max(image.width, image.height))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    rgb = image.read_rgb((0.0, 0.0, float(image.width), float(image.height)), width, height)
    is_made, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert is_made
    scale_x, scale_y = width / image.width, height / image.height
    faces = tuple(
        PreviewFace(track.track_id, (x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y), crop is not None)
        for track, crop in found.faces
        for x1, y1, x2, y2 in [track.box]
    )
    return Preview(
        session_id=session_id, number=number, time_s=frame.time_s, arrived_at=frame.arrived_at, fps=fps, width=width,
        height=height, faces=faces, jpeg=jpeg.tobytes(),
    )  # fmt: skip
