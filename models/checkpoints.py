"""Model files: ``<name>.safetensors`` and its card ``<name>.json``, written together and checked before use.

safetensors holds numbers alone, so that reading a model never runs code; the card rebuilds the network around them.
"""

import hashlib
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
import torch
from safetensors import SafetensorError

from contracts.emotions import EMOTIONS
from contracts.errors import ModelError
from contracts.model_card import InputContract, ModelCard, check_weights, read_card
from models.networks import EmotionNet, NetworkConfig


def save_model(
    folder: Path,
    network: EmotionNet,
    *,
    name: str,
    input_contract: InputContract,
    window_length: int,
    temperature: float = 1.0,
    training: dict[str, Any] | None = None,
    figures: dict[str, Any] | None = None,
) -> Path:
    """Write the weights (float32) and the card of ``network`` to ``folder`` and return the card's path.

    Each file appears whole or not at all, the weights first; a crash between the two leaves a card whose hash does
    not fit, which ``load_network`` refuses. The outputs are in the order of ``EMOTIONS``.
    """
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    tensors = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    weights = safetensors.torch.save(tensors)
    card = ModelCard(
        name=name,
        labels=EMOTIONS,
        input=input_contract,
        window_length=window_length,
        temperature=temperature,
        network=network.config.to_dict(),
        sha256=hashlib.sha256(weights).hexdigest(),
        training=training or {},
        figures=figures or {},
    )
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{name}.safetensors", weights)
    card_path = folder / f"{name}.json"
    _write(card_path, msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    return card_path


def load_network(card_path: Path) -> tuple[EmotionNet, ModelCard]:
    """Return the network (float32, on the CPU, in evaluation mode) and the card at ``card_path``.

    Raises:
        ModelError: card or weights are missing, damaged, or do not fit each other or this version of emotrace.
    """
    card = read_card(str(card_path))
    weights_path = card_path.with_suffix(".safetensors")
    try:
        weights = weights_path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"The weights {weights_path} cannot be read ({error.strerror}). Expected them beside the card; copy both."
        ) from None
    check_weights(card, weights, weights_path)
    config = _read_config(card, card_path)
    try:
        tensors = safetensors.torch.load(weights)
        # Built without memory for its weights, the network takes the file's tensors as they are.
        with torch.device("meta"):
            network = EmotionNet(config)
        network.load_state_dict(tensors, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"The weights {weights_path} do not fit the network that {card_path.name} describes: {error}. "
            "Use the card that came with the weights."
        ) from None
    return network.eval(), card


def _read_config(card: ModelCard, card_path: Path) -> NetworkConfig:
    """Return the network's numbers, refusing a card that was written for another network than this code has."""
    expected = {field.name for field in fields(NetworkConfig)}
    unknown, missing = sorted(card.network.keys() - expected), sorted(expected - card.network.keys())
    try:
        if unknown or missing:
            raise ModelError(f"its network has the unknown keys {unknown} and lacks {missing}")
        config = msgspec.convert(card.network, NetworkConfig)
        if not config.block_channels or min(config.stem_channels, config.lstm_hidden, *config.block_channels) < 1:
            raise ModelError(f"the sizes of its network must be positive, found {card.network}")
        if card.input.channels != 1 or card.input.size_px < 8:
            raise ModelError(f"this network takes 1 channel of 8 pixels or more, the card says {card.input}")
        if card.window_length < 1 or not card.temperature > 0:
            raise ModelError(
                f"window_length {card.window_length} must be at least 1 and temperature {card.temperature} above 0"
            )
    except (msgspec.ValidationError, ModelError) as error:
        raise ModelError(
            f"The model card {card_path} cannot be used: {error}. Use a model made for this version of emotrace."
        ) from None
    return config


def _write(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
