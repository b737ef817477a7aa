"""The inference loop. Its order is the delivery guarantee: predict, commit, then acknowledge.

A worker killed at any point leaves its entries pending; the next one claims them, and rows are keyed, so what was
already stored is not stored twice.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contracts import store
from contracts.database import write_transaction
from contracts.emotions import EMOTIONS
from contracts.errors import MessageError, RowsRefusedError, ServiceError
from contracts.messages import CropSequence, decode
from contracts.stream import CropStream, Entry
from models.predictor import EmotionPredictor

_BLOCK_MS = 200
# The first delivery may have shared a batch with the entry at fault; two more were alone with it.
_MAX_DELIVERIES = 3
_Judged = tuple[Entry, CropSequence]
_Predicted = tuple[Entry, CropSequence, NDArray[np.float32]]


def run_inference(
    stream: CropStream,
    predictor: EmotionPredictor,
    engine: sa.Engine,
    max_entries: int,
    gather_s: float,
    claim_after_s: float,
    retry_s: float,
    should_stop: Callable[[], bool],
) -> None:
    """Turn crop sequences into rows until ``should_stop``.

    Up to ``max_entries`` make a batch, for which the first waits ``gather_s`` at most. Entries that another consumer
    has held for ``claim_after_s`` are taken over, one at a time.

    Raises:
        ServiceError: Redis or the database stayed out of reach for ``retry_s``; the entries stay pending.
    """
    stream.create_group()
    while not should_stop():
        claimed = stream.claim_stale(round(claim_after_s * 1000))
        if claimed is not None and claimed.num_deliveries > _MAX_DELIVERIES:
            _reject(stream, engine, claimed, "its worker died twice while it was alone with it", retry_s)
            continue
        entries = [claimed] if claimed is not None else _read_batch(stream, max_entries, gather_s)
        try:
            judged = _decode_entries(stream, engine, entries, predictor.card.model_id, retry_s)
            predicted = _predict(stream, engine, predictor, judged, retry_s)
            stored = _store(stream, engine, predicted, retry_s)
            stream.acknowledge(stored)
        except ServiceError:
            stream.give_back(entries)
            raise


def _read_batch(stream: CropStream, max_entries: int, gather_s: float) -> list[Entry]:
    """Read what waits; where that does not fill a batch, give the others ``gather_s`` to come."""
    entries = stream.read(max_entries, _BLOCK_MS)
    if gather_s and 0 < len(entries) < max_entries:
        time.sleep(gather_s)
        entries += stream.read(max_entries - len(entries), block_ms=None)
    return entries


def make_rows(sequence: CropSequence, probabilities: NDArray[np.float32]) -> list[dict[str, Any]]:
    """Return the rows of the emotions table for the positions that ``sequence`` asks to store.

    ``probabilities`` is (T, 7) in the order of ``EMOTIONS``.
    """
    rows = []
    for position in range(sequence.store_from, sequence.store_to):
        x1, y1, x2, y2 = sequence.boxes[position]
        rows.append(
            {
                "session_id": sequence.session_id,
                "track_id": sequence.track_id,
                "pts": sequence.pts[position],
                "frame_index": sequence.frame_indices[position],
                "time_s": sequence.times_s[position],
                "x1": x1,
                "y1": y1,
                "x2": x2,
                "y2": y2,
                "detection_score": sequence.detection_scores[position],
                "quality": sequence.qualities[position],
                **dict(zip(EMOTIONS, probabilities[position].tolist(), strict=True)),
                "model_id": sequence.model_id,
            }
        )
    return rows


def _decode_entries(
    stream: CropStream, engine: sa.Engine, entries: Sequence[Entry], model_id: str, retry_s: float
) -> list[_Judged]:
    """Decode each entry; those that are malformed or meant for another model are rejected, the others go on."""
    judged: list[_Judged] = []
    for entry in entries:
        try:
            sequence = decode(entry.payload)
        except MessageError as error:
            _reject(stream, engine, entry, str(error), retry_s)
            continue
        if sequence.model_id != model_id:
            reason = f"it is meant for the model {sequence.model_id}, this worker runs {model_id}"
            _reject(stream, engine, entry, reason, retry_s)
            continue
        judged.append((entry, sequence))
    return judged


def _predict(
    stream: CropStream, engine: sa.Engine, predictor: EmotionPredictor, judged: Sequence[_Judged], retry_s: float
) -> list[_Predicted]:
    """Predict all sequences at once; where that fails one by one, and reject those that fail alone twice."""
    try:
        sequences = [sequence for _, sequence in judged]
        probabilities = predictor.predict([one.read_crops() for one in sequences], [one.times_s for one in sequences])
        return [(entry, sequence, found) for (entry, sequence), found in zip(judged, probabilities, strict=True)]
    except Exception:
        # One bad sequence must not fail its neighbours: find out which by trying each alone.
        return list(_predict_alone(stream, engine, predictor, judged, retry_s))


def _predict_alone(
    stream: CropStream, engine: sa.Engine, predictor: EmotionPredictor, judged: Sequence[_Judged], retry_s: float
) -> Iterator[_Predicted]:
    for entry, sequence in judged:
        for attempt in (1, 2):
            try:
                (found,) = predictor.predict([sequence.read_crops()], [sequence.times_s])
            except Exception as error:
                if attempt == 2:
                    _reject(stream, engine, entry, f"inference failed: {error}", retry_s)
            else:
                yield entry, sequence, found
                break


def _store(stream: CropStream, engine: sa.Engine, predicted: Sequence[_Predicted], retry_s: float) -> list[Entry]:
    """Commit the rows and return the entries that are done; one whose rows the database refuses is rejected."""
    if not predicted:
        return []
    rows = [row for _, sequence, found in predicted for row in make_rows(sequence, found)]
    try:
        write_transaction(engine, partial(store.record_emotions, rows=rows), retry_s)
    except RowsRefusedError as error:
        if len(predicted) > 1:
            return [entry for one in predicted for entry in _store(stream, engine, [one], retry_s)]
        _reject(stream, engine, predicted[0][0], str(error), retry_s)
        return []
    return [entry for entry, _, _ in predicted]


def _reject(stream: CropStream, engine: sa.Engine, entry: Entry, reason: str, retry_s: float) -> None:
    """Count the entry's faces as rejected in the ledger, then move it to the rejected stream."""
    write_transaction(
        engine,
        lambda connection: store.record_rejection(
            connection, entry.session_id, entry.track_id, entry.first_pts, entry.num_faces, reason
        ),
        retry_s,
    )
    stream.reject(entry, reason)
