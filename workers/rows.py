"""From a crop sequence and its probabilities to rows of the emotions table."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS
from contracts.messages import CropSequence


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
