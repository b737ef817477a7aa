"""The inference loop with a small network: windows to send, a run until nothing waits, and what is stored then."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import torch
from crop_sequences import make_sequence
from numpy.typing import NDArray
from stored_rows import SESSION

from contracts import store
from contracts.database import read_transaction
from contracts.errors import ModelError
from contracts.messages import CropSequence
from contracts.model_card import InputContract
from contracts.patience import Patience
from contracts.stream import CropStream
from models.checkpoints import save_model
from models.networks import EmotionNet, NetworkConfig
from models.predictor import EmotionPredictor
from workers.loop import LoopOptions, run_inference

SIZE = 16
# As the process of ``analyze`` runs: what another consumer holds is taken over at once.
ALONE = {"gather_s": 0.0, "claim_after_s": 0.0, "retry_s": 1.0}


def make_tiny_model(folder: Path) -> Path:
    """A small network with random weights."""
    torch.manual_seed(0)
    network = EmotionNet(NetworkConfig(stem_channels=4, block_channels=(8, 8), dropout=0.0, lstm_hidden=4))
    return save_model(
        folder,
        network.eval(),
        name="tiny",
        input_contract=InputContract(SIZE, 1),
        window_length=8,
    )


def record_session(engine: sa.Engine, predictor: EmotionPredictor) -> None:
    with engine.begin() as connection:
        store.record_model(connection, predictor.card)
        store.record_session(
            connection,
            session_id=SESSION,
            url="/clip.mp4",
            name="clip.mp4",
            model_id=predictor.card.model_id,
            fingerprint="abc",
            settings={},
        )


def make_window(predictor: EmotionPredictor, number: int, **changes: Any) -> CropSequence:
    """Three crops; the last two are to be stored, with the pts 10 n + 1 and 10 n + 2."""
    crops = np.random.default_rng(number).integers(0, 256, (3, SIZE, SIZE), np.uint8)
    fields = {
        "session_id": SESSION,
        "model_id": predictor.card.model_id,
        "pts": tuple(10 * number + index for index in range(3)),
        "store_from": 1,
        "store_to": 3,
        "shape": crops.shape,
        "crops": crops.tobytes(),
    }
    return make_sequence(**{**fields, **changes})


class PickyPredictor(EmotionPredictor):
    """Refuses the windows whose first pixel is ``poison``, as a network may choke on what its contract allows."""

    poison = 201
    num_refusals = 0

    def predict(
        self, windows: Sequence[NDArray[np.uint8]], times_s: Sequence[Sequence[float]]
    ) -> list[NDArray[np.float32]]:
        if any(window[0, 0, 0] == self.poison for window in windows):
            self.num_refusals += 1
            raise ModelError("poison")
        return super().predict(windows, times_s)


def make_poison(predictor: EmotionPredictor, number: int) -> CropSequence:
    return make_window(predictor, number, crops=bytes([PickyPredictor.poison]) + bytes(3 * SIZE * SIZE - 1))


def run_until_empty(
    stream: CropStream, predictor: EmotionPredictor, engine: sa.Engine, max_entries: int = 4, **changes: Any
) -> None:
    """Run the loop until nothing waits, as the process of ``analyze`` does."""
    end = time.monotonic() + 20

    def should_stop() -> bool:
        assert time.monotonic() < end, "the stream did not become empty"
        return stream.count_waiting() == 0

    options = LoopOptions(**{"max_entries": max_entries, **ALONE, **changes})
    run_inference([stream], predictor, engine, options, Patience(False, should_stop), should_stop)


def read_pts(engine: sa.Engine) -> list[int]:
    with read_transaction(engine) as connection:
        return [row[0] for part in store.iterate_emotions(connection, SESSION, ("pts",)) for row in part]


def list_rejections(engine: sa.Engine) -> list[tuple[int, int, str]]:
    with read_transaction(engine) as connection:
        rows = store.list_rejections(connection, SESSION)
    return [(row["first_pts"], row["num_faces"], row["reason"]) for row in rows]


def expect_pts(numbers: Sequence[int]) -> list[int]:
    return sorted(10 * number + index for number in numbers for index in (1, 2))


def block_writes(engine: sa.Engine) -> Callable[[], None]:
    """Make every insert fail as a full disk does; return what mends it."""

    def fail(*_: object) -> None:
        raise sa.exc.OperationalError("", None, Exception("database or disk is full"))

    sa.event.listen(engine, "before_cursor_execute", fail)
    return lambda: sa.event.remove(engine, "before_cursor_execute", fail)
