"""The model card: what a weights file declares about itself, readable without torch.

A card is ``<name>.json`` beside ``<name>.safetensors``. Ingest reads from it what crops to make, workers check the
weights against it, and every row carries its ``model_id``.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from contracts.emotions import EMOTIONS
from contracts.errors import ModelError

WEIGHTS_DIR = Path(__file__).parent.parent / "models" / "weights"
DEFAULT_MODEL = "production"


class Framing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a face fills the crop: a square whose side is ``side`` face sizes, centred on the face.

    The face size is the geometric mean of what the detector's box would give from its height and from its width; each
    detector declares how its own boxes translate (see ``models.detection``).
    """

    side: float = 1.0


class InputContract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The crops a model takes: square, ``size_px`` on a side, ``channels`` 1 for grey, uint8."""

    size_px: int
    channels: int
    framing: Framing = Framing()


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a model says of itself.

    ``labels`` is the order of the weights' outputs; ``temperature`` divides the logits before the softmax (fitted on
    the calibration half); ``network`` rebuilds the network; ``training`` and ``figures`` are for people.
    """

    name: str
    labels: tuple[str, ...]
    input: InputContract
    window_length: int
    temperature: float
    network: dict[str, Any]
    sha256: str
    training: dict[str, Any] = {}
    figures: dict[str, Any] = {}

    @property
    def model_id(self) -> str:
        """The name and the first digits of the weights' hash: two trainings never share an id."""
        return f"{self.name}-{self.sha256[:8]}"


def find_card_path(model: str) -> Path:
    """Return the card's path for a shipped model's name or a path to a card or weights file.

    Raises:
        ModelError: there is no such model.
    """
    is_path = model.endswith((".json", ".safetensors"))
    path = Path(model).with_suffix(".json") if is_path else WEIGHTS_DIR / f"{model}.json"
    if not path.exists():
        shipped = ", ".join(list_models()) or "none"
        raise ModelError(f"There is no model {model!r} ({path} is missing). Shipped models: {shipped}.")
    return path


def list_models() -> list[str]:
    """Return the names of the shipped models."""
    return sorted(path.stem for path in WEIGHTS_DIR.glob("*.json"))


def read_card(model: str) -> ModelCard:
    """Read and check the card of ``model`` (a shipped name or a path).

    Raises:
        ModelError: it is missing, malformed, or its labels are not the product's seven emotions.
    """
    path = find_card_path(model)
    try:
        card = msgspec.json.decode(path.read_bytes(), type=ModelCard)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise ModelError(
            f"The model card {path} is malformed: {error}. Use the card that came with the weights."
        ) from None
    if sorted(card.labels) != sorted(EMOTIONS):
        raise ModelError(
            f"The model {card.name} has the labels {', '.join(card.labels)}. Expected {', '.join(EMOTIONS)}, in any "
            "order; a model of other emotions cannot be used here."
        )
    return card


def name_model(model: str) -> str:
    """Return the name of a shipped model, or the full path of a user's own card, which outlives this folder.

    Raises:
        ModelError: there is no such model.
    """
    return str(find_card_path(model).resolve()) if model.endswith((".json", ".safetensors")) else model


def read_checked_card(model: str) -> ModelCard:
    """Return a model's card after checking its weights against it: better now than when the video is half read.

    Raises:
        ModelError: one of them is missing or damaged, or they do not belong together.
    """
    card, path = read_card(model), find_card_path(model).with_suffix(".safetensors")
    try:
        check_weights(card, path.read_bytes(), path)
    except OSError as error:
        raise ModelError(
            f"The weights {path} cannot be read ({error.strerror}). Expected them beside the card; copy both."
        ) from None
    return card


def check_weights(card: ModelCard, weights: bytes, path: Path) -> None:
    """Check that ``weights`` are those the card describes.

    Raises:
        ModelError: the hash differs.
    """
    found = hashlib.sha256(weights).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"{path} has the SHA-256 {found[:16]}…, its card says {card.sha256[:16]}…. The file is damaged or belongs "
            "to another card; install emotrace again or copy both files anew."
        )
