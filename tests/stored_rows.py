"""Sessions and rows as the store takes them and gives them back."""

from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.database import open_database, read_transaction
from contracts.emotions import EMOTIONS
from contracts.model_card import InputContract, ModelCard

SESSION = "01900000-0000-7000-8000-00000000000a"
OTHER = "01900000-0000-7000-8000-00000000000b"
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


def record_session(connection: sa.Connection, session_id: str = SESSION) -> None:
    store.record_model(connection, CARD)
    store.record_session(
        connection,
        session_id=session_id,
        url="/videos/clip.mp4",
        name="clip.mp4",
        model_id=CARD.model_id,
        fingerprint="abc",
        settings={"fps": None},
    )


def read_rows(engine: sa.Engine, *columns: str) -> list[tuple[Any, ...]]:
    with read_transaction(engine) as connection:
        return [tuple(row) for part in store.iterate_emotions(connection, SESSION, columns) for row in part]


def read_only_session(url: str) -> dict[str, Any]:
    """The one session that the database at ``url`` has, with its ledger."""
    engine = open_database(url)
    with read_transaction(engine) as connection:
        (session,) = store.list_sessions(connection)
        found = dict(store.read_session(connection, session["session_id"]))
        found["ledger"] = store.read_ledger(connection, found["session_id"])
    engine.dispose()
    return found
