"""A valid crop sequence, for tests of what carries it."""

from typing import Any

from contracts.messages import CropSequence


def make_sequence(**changes: Any) -> CropSequence:
    fields: dict[str, Any] = {
        "session_id": "01900000-0000-7000-8000-000000000001",
        "track_id": 1,
        "model_id": "model-12345678",
        "store_from": 0,
        "store_to": 2,
        "pts": (0, 3, 6),
        "times_s": (0.0, 0.1, 0.2),
        "frame_indices": (0, 1, 2),
        "boxes": ((0.0, 0.0, 9.0, 9.0),) * 3,
        "detection_scores": (0.9, 0.8, 0.7),
        "qualities": (0.5, 0.5, 0.5),
        "shape": (3, 2, 2),
        "crops": bytes(range(12)),
    }
    return CropSequence(**{**fields, **changes})
