"""Rows as the store takes them."""

from typing import Any

from contracts.emotions import EMOTIONS
from contracts.model_card import InputContract, ModelCard

SESSION = "01900000-0000-7000-8000-00000000000a"
CARD = ModelCard(
    name="model",
    labels=EMOTIONS,
    input=InputContract(48, 1),
    window_length=16,
    temperature=1.0,
    network={},
    sha256="12345678" * 8,
)


def make_row(pts: int, track_id: int = 1, session_id: str = SESSION, **changes: Any) -> dict[str, Any]:
    numbers = dict.fromkeys(("x1", "y1", "x2", "y2", "detection_score", "quality"), 0.5)
    row = {
        "session_id": session_id,
        "track_id": track_id,
        "pts": pts,
        "frame_index": pts,
        "time_s": pts / 10,
        **numbers,
        **dict.fromkeys(EMOTIONS, 1 / 7),
        "model_id": CARD.model_id,
    }
    return {**row, **changes}
