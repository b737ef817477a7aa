"""Hand a camera's windows to Redis in a thread of its own, so that a slow or lost server never stops the reading.

What cannot be handed over waits here, up to a bound in bytes; beyond it the camera skips frames, which it counts.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice

import redis

from contracts.errors import ServiceError
from contracts.messages import CropSequence
from contracts.pressure import Pressure, read_pressure
from contracts.stream import CropStream

_MAX_BYTES = 8 * 2**20
_BATCH = 32
_TICK_S = 1.0


class Outbox:
    """Windows on their way to a lane, in order. ``on_tick`` is called about once a second, in the outbox's thread.

    ``pressure`` is the newest that the server told, None before the first answer and while it is away. ``error`` is
    what ended the thread before its time.
    """

    def __init__(self, stream: CropStream, on_tick: Callable[[], None] = lambda: None) -> None:
        self._stream = stream
        self._on_tick = on_tick
        self._waiting: deque[tuple[CropSequence, float]] = deque()
        self._num_bytes = 0
        self._changed = threading.Condition()
        self._is_closing = False
        self.pressure: Pressure | None = None
        self.is_away = False
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to hand over."""
        self._thread.start()

    @property
    def num_bytes(self) -> int:
        """How many bytes of crops wait here."""
        return self._num_bytes

    @property
    def oldest_age_s(self) -> float:
        """How long the oldest window has waited here."""
        try:
            return time.monotonic() - self._waiting[0][1]
        except IndexError:
            return 0.0

    @property
    def is_full(self) -> bool:
        """Whether no more windows should be made."""
        return self._num_bytes >= _MAX_BYTES

    def put(self, sequences: Iterable[CropSequence]) -> None:
        """Take windows, whatever waits already: those of the frame at hand are few."""
        taken = list(sequences)
        if not taken:
            return  # as after most frames
        with self._changed:
            for sequence in taken:
                self._waiting.append((sequence, time.monotonic()))
                self._num_bytes += len(sequence.crops)
            self._changed.notify()

    def close(self, timeout_s: float) -> int:
        """Wait up to ``timeout_s`` seconds until everything is handed over; return how many windows were not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, timeout_s)
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        return len(self._waiting)

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._work()
        except Exception as error:
            # A run whose outbox has died would go on for ever, and count all that it sees as back-pressure.
            self.error = error

    def _work(self) -> None:
        """Ask for the pressure, and hand over for a while; or wait, where Redis is away."""
        try:
            self.pressure = read_pressure(self._stream.client, self._stream.name)
            self._on_tick()
            self.is_away = False
            self._hand_over_until(time.monotonic() + _TICK_S)
        except (redis.exceptions.RedisError, ServiceError):
            self.pressure, self.is_away = None, True
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing, _TICK_S)

    def _hand_over_until(self, end_s: float) -> None:
        """Hand windows over as they come, until it is time to ask for the pressure again."""
        while not self._is_closing and (left_s := end_s - time.monotonic()) > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or self._may_hand_over(), left_s)
                batch = list(islice(self._waiting, _BATCH)) if self._may_hand_over() else []
            if batch:
                self._stream.publish(*(sequence for sequence, _ in batch))
                self._forget(len(batch))

    def _may_hand_over(self) -> bool:
        return bool(self._waiting) and (self.pressure is None or not self.pressure.is_full)

    def _forget(self, number: int) -> None:
        with self._changed:
            for _ in range(number):
                self._num_bytes -= len(self._waiting.popleft()[0].crops)
            self._changed.notify_all()
