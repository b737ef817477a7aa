"""Read and decode what waits on the lanes while the device computes, and share out a batch's places among them."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from contracts.errors import MessageError
from contracts.lanes import find_lane
from contracts.messages import CropSequence, decode
from contracts.patience import Patience
from contracts.stream import CropStream, Entry

# How long a reader waits for news at most before it looks whether it is to stop.
_BLOCK_MS = 200
# Each lane after the first is sure of one place in so many.
_SURE_SHARE = 8


@dataclass(frozen=True)
class Delivery:
    """An entry as a lane delivered it: what it holds, or why that cannot be read; ``read_at`` is monotonic seconds."""

    lane: CropStream
    entry: Entry
    content: CropSequence | MessageError
    read_at: float

    @property
    def lane_name(self) -> str:
        """The lane as metrics call it."""
        return find_lane(self.lane.name) or "run"


def decode_entry(lane: CropStream, entry: Entry) -> Delivery:
    """Return a lane's entry with its message decoded; one that breaks the contract never fails its neighbours."""
    content: CropSequence | MessageError
    try:
        content = decode(entry.payload)
    except MessageError as error:
        content = error
    return Delivery(lane, entry, content, time.monotonic())


def share_places(waiting: Sequence[int], num_places: int) -> list[int]:
    """Return how many of a batch's places each lane gets, the first being the most urgent.

    Each lane with something waiting is sure of an eighth of the places, so that a full first lane starves nobody; the
    others go to the lanes in their order. There are at least as many places as lanes.
    """
    sure = max(1, num_places // _SURE_SHARE)
    shares = [min(count, sure) for count in waiting]
    for index, count in enumerate(waiting):
        shares[index] += min(count - shares[index], num_places - sum(shares))
    return shares


class Prefetcher:
    """One reading thread per lane, each up to a batch ahead of the loop that takes.

    What it holds is pending, as is what the loop works on: a process that dies loses nothing. Each lane has places of
    its own, so that a camera's entry never waits behind an archive's that were read before it.
    """

    def __init__(self, lanes: Sequence[CropStream], max_entries: int, gather_s: float, patience: Patience) -> None:
        """Start reading. A batch has up to ``max_entries``, and its first waits ``gather_s`` at most for others."""
        self._max_entries, self._gather_s, self._patience = max_entries, gather_s, patience
        self._waiting: list[deque[Delivery]] = [deque() for _ in lanes]
        self._changed = threading.Condition()
        self._is_stopping = False
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._read_lane, args=(lane, waiting), name=f"read {lane.name}")
            for lane, waiting in zip(lanes, self._waiting, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def take(self, wait_s: float) -> list[Delivery]:
        """Return the next batch, or nothing where nothing came for ``wait_s``.

        Raises:
            ServiceError: Redis stayed out of reach.
        """
        with self._changed:
            self._changed.wait_for(lambda: any(self._waiting) or self._error or self._is_stopping, wait_s)
            if any(self._waiting):
                first = min(waiting[0].read_at for waiting in self._waiting if waiting)
                self._changed.wait_for(self._is_full, max(0.0, first + self._gather_s - time.monotonic()))
            if self._error is not None:
                raise self._error
            shares = share_places([len(waiting) for waiting in self._waiting], self._max_entries)
            taken = [
                waiting.popleft() for waiting, share in zip(self._waiting, shares, strict=True) for _ in range(share)
            ]
            self._changed.notify_all()
            return taken

    def list_waiting(self) -> list[Delivery]:
        """Return what was read and not yet taken."""
        with self._changed:
            return [delivery for waiting in self._waiting for delivery in waiting]

    def stop(self) -> None:
        """Read no more; what was read can still be taken."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _is_full(self) -> bool:
        is_full = sum(len(waiting) for waiting in self._waiting) >= self._max_entries
        return is_full or self._is_stopping or self._error is not None

    def _read_lane(self, lane: CropStream, waiting: deque[Delivery]) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._is_stopping or len(waiting) < self._max_entries)
                    room = self._max_entries - len(waiting)
                    if self._is_stopping:
                        return
                entries = self._patience.call("Redis", partial(lane.read, room, _BLOCK_MS))
                deliveries = [decode_entry(lane, entry) for entry in entries]
                with self._changed:
                    waiting.extend(deliveries)
                    self._changed.notify_all()
        except BaseException as error:  # raised where the loop takes
            with self._changed:
                self._error = error
                self._changed.notify_all()
