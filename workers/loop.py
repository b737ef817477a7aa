"""The inference loop. Its order is the delivery guarantee: predict, commit, then acknowledge.

A worker killed at any point leaves its entries pending; the next one claims them, and rows are keyed, so what was
already stored is not stored twice.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contracts import metrics, store
from contracts.database import write_transaction
from contracts.errors import MessageError, NewerMessageError, RowsRefusedError, ServiceError
from contracts.messages import CropSequence
from contracts.patience import Patience
from contracts.stream import PARKED_AT_MOST_S, CropStream, Entry
from models.predictor import EmotionPredictor
from workers.prefetch import Delivery, Prefetcher, decode_entry
from workers.rows import make_rows

_WAIT_S = 0.2
# How often a worker says that it lives and what it holds.
_TEND_S = 1.0
# The first delivery may have shared a batch with the entry at fault; two more were alone with it.
_MAX_DELIVERIES = 3
# An answer of Redis that was lost leaves entries with this very consumer, which does not know of them.
_LOST_ANSWER_S = 5.0
_Judged = tuple[Delivery, CropSequence]
_Predicted = tuple[Delivery, CropSequence, NDArray[np.float32]]
_R = TypeVar("_R")


@dataclass(frozen=True)
class LoopOptions:
    """How a worker serves its lanes.

    Up to ``max_entries`` make a batch, for which the first waits ``gather_s`` at most. Entries that another consumer
    has held in silence for ``claim_after_s`` are taken over, one at a time. A transaction is repeated for ``retry_s``.
    With ``leaves_newer``, messages of a newer version are left to workers of a newer release, and else rejected.
    """

    max_entries: int
    gather_s: float
    claim_after_s: float
    retry_s: float
    leaves_newer: bool = False


def run_inference(
    lanes: Sequence[CropStream],
    predictor: EmotionPredictor,
    engine: sa.Engine,
    options: LoopOptions,
    patience: Patience,
    should_stop: Callable[[], bool],
    report: Callable[[int], None] = lambda _: None,
) -> None:
    """Turn the lanes' crop sequences into rows until ``should_stop``; then finish what was read.

    Earlier lanes are more urgent (``workers.prefetch.share_places``). ``report`` is given the number of crops stored
    so far, about every second.

    Raises:
        ServiceError: Redis or the database stayed out of reach for longer than ``patience`` has; the entries stay
            pending, and no try is counted.
    """
    _Loop(lanes, predictor, engine, options, patience, report).run(should_stop)


class _Loop:
    def __init__(
        self,
        lanes: Sequence[CropStream],
        predictor: EmotionPredictor,
        engine: sa.Engine,
        options: LoopOptions,
        patience: Patience,
        report: Callable[[int], None],
    ) -> None:
        self._lanes, self._predictor, self._engine = lanes, predictor, engine
        self._options, self._patience, self._report = options, patience, report
        self._in_work: list[Delivery] = []
        self._num_crops = 0
        self._next_tend = self._next_claim = 0.0

    def run(self, should_stop: Callable[[], bool]) -> None:
        for lane in self._lanes:
            self._patience.call("Redis", lane.create_group)
        options = self._options
        self._prefetcher = Prefetcher(self._lanes, options.max_entries, options.gather_s, self._patience)
        try:
            while not should_stop():
                claimed = self._claim()
                self._finish(claimed)
                self._finish(self._prefetcher.take(0.0 if claimed else _WAIT_S))
            self._prefetcher.stop()
            while rest := self._prefetcher.take(0.0):
                self._finish(rest)
            for lane in self._lanes:
                lane.leave()
        except ServiceError:
            self._prefetcher.stop()
            for lane, held in self._list_held():
                lane.give_back([delivery.entry for delivery in held])
            raise
        finally:
            self._prefetcher.stop()

    def _finish(self, deliveries: list[Delivery]) -> None:
        """Predict, commit, then acknowledge."""
        self._in_work = list(deliveries)
        predicted = self._predict(self._judge(deliveries))
        stored = self._store(predicted)
        for lane in self._lanes:
            self._call_redis(partial(lane.acknowledge, [one.entry for one in stored if one.lane is lane]))
        self._in_work = []
        self._tend()

    def _claim(self) -> list[Delivery]:
        """Take over one entry of a worker that is silent, where there is one; it makes a batch alone."""
        if time.monotonic() < self._next_claim:
            return []
        claim_after_s = self._options.claim_after_s
        own_ms = round(max(claim_after_s, _LOST_ANSWER_S) * 1000)
        for lane in self._lanes:
            entry = self._call_redis(partial(lane.claim_stale, round(claim_after_s * 1000), own_ms))
            if entry is not None:
                claimed = _decode_claimed(lane, entry)
                metrics.ENTRIES_CLAIMED.labels(claimed.lane_name).inc()
                return [claimed]
        self._next_claim = time.monotonic() + min(claim_after_s, _TEND_S)
        return []

    def _judge(self, deliveries: Sequence[Delivery]) -> list[_Judged]:
        """Return those that this worker can predict; the others are rejected or left to a newer release's workers."""
        judged: list[_Judged] = []
        model_id = self._predictor.card.model_id
        for one in deliveries:
            match one.content:
                case NewerMessageError() as error if self._options.leaves_newer and not _has_waited_long(one.entry):
                    self._call_redis(partial(one.lane.park, one.entry, error.version))
                    self._in_work.remove(one)
                case MessageError() as error:
                    self._reject(one, str(error))
                case CropSequence() as sequence if sequence.model_id != model_id:
                    self._reject(one, f"it is meant for the model {sequence.model_id}, this worker runs {model_id}")
                case CropSequence() as sequence:
                    judged.append((one, sequence))
        return judged

    def _predict(self, judged: Sequence[_Judged]) -> list[_Predicted]:
        """Predict all sequences at once; where that fails one by one, and reject those that fail alone twice."""
        if not judged:
            return []
        sequences = [sequence for _, sequence in judged]
        metrics.BATCH_WINDOWS.observe(len(judged))
        for one, sequence in judged:
            metrics.CROPS_PREDICTED.labels(one.lane_name).inc(len(sequence.pts))
        try:
            with metrics.PREDICT_SECONDS.time():
                probabilities = self._predictor.predict(
                    [one.read_crops() for one in sequences], [one.times_s for one in sequences]
                )
            return [(one, sequence, found) for (one, sequence), found in zip(judged, probabilities, strict=True)]
        except Exception:
            # One bad sequence must not fail its neighbours: find out which by trying each alone.
            return list(self._predict_alone(judged))

    def _predict_alone(self, judged: Sequence[_Judged]) -> Iterator[_Predicted]:
        for one, sequence in judged:
            for attempt in (1, 2):
                try:
                    (found,) = self._predictor.predict([sequence.read_crops()], [sequence.times_s])
                except Exception as error:
                    if attempt == 2:
                        self._reject(one, f"inference failed: {error}")
                else:
                    yield one, sequence, found
                    break

    def _store(self, predicted: Sequence[_Predicted]) -> list[Delivery]:
        """Commit the rows and return the entries that are done; one whose rows are refused is rejected."""
        if not predicted:
            return []
        rows = [row for _, sequence, found in predicted for row in make_rows(sequence, found)]
        keys = [(sequence.session_id, sequence.track_id, sequence.first_pts) for _, sequence, _ in predicted]

        def write(connection: sa.Connection) -> set[store.SequenceKey]:
            sealed = store.record_emotions(connection, rows)
            stored = store.list_stored(connection, keys) if sealed else set(keys)
            # One that was put back after it had been rejected, or that two workers judged differently.
            store.remove_rejections(connection, sorted(stored))
            return stored

        try:
            stored = self._write(write)
        except RowsRefusedError as error:
            if len(predicted) > 1:
                return [delivery for one in predicted for delivery in self._store([one])]
            self._reject(predicted[0][0], str(error))
            return []
        done = []
        for (one, sequence, _), key in zip(predicted, keys, strict=True):
            if key in stored:
                self._num_crops += sequence.num_faces
                metrics.ROWS_STORED.labels(one.lane_name).inc(sequence.num_faces)
                metrics.COMMIT_LATENCY_SECONDS.labels(one.lane_name).observe(max(0.0, time.time() - one.entry.added_at))
                done.append(one)
            else:
                self._reject(one, "it came after its camera's session was sealed")
        return done

    def _reject(self, one: Delivery, reason: str) -> None:
        """Count the entry's faces as rejected in the ledger, then move it to the rejected stream."""
        entry = one.entry
        self._write(
            lambda connection: store.record_rejection(
                connection, entry.session_id, entry.track_id, entry.first_pts, entry.num_faces, reason
            )
        )
        self._call_redis(partial(one.lane.reject, entry, reason))
        metrics.ENTRIES_REJECTED.labels(one.lane_name).inc()

    def _write(self, write: Callable[[sa.Connection], _R]) -> _R:
        transaction = partial(write_transaction, self._engine, write, self._options.retry_s)
        return self._patience.call("the database", transaction, self._tend)

    def _call_redis(self, call: Callable[[], _R]) -> _R:
        return self._patience.call("Redis", call, self._tend)

    def _tend(self) -> None:
        """Every second: say that this worker lives, and hold on to what it has, however long an outage keeps it."""
        if time.monotonic() < self._next_tend:
            return
        self._next_tend = time.monotonic() + _TEND_S
        for lane, held in self._list_held():
            lane.hold([delivery.entry for delivery in held])
        self._report(self._num_crops)

    def _list_held(self) -> Iterator[tuple[CropStream, list[Delivery]]]:
        held = [*self._in_work, *self._prefetcher.list_waiting()]
        return ((lane, [delivery for delivery in held if delivery.lane is lane]) for lane in self._lanes)


def _decode_claimed(lane: CropStream, entry: Entry) -> Delivery:
    if entry.num_deliveries <= _MAX_DELIVERIES:
        return decode_entry(lane, entry)
    # Whatever in it kills workers is not looked at once more.
    return Delivery(lane, entry, MessageError("its worker died twice while it was alone with it"), time.monotonic())


def _has_waited_long(entry: Entry) -> bool:
    return time.time() - entry.added_at > PARKED_AT_MOST_S
