"""Model files: what is written comes back, and nothing else is taken for it."""

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from contracts.emotions import EMOTIONS
from contracts.errors import ModelError
from contracts.model_card import InputContract
from models.checkpoints import load_network, save_model
from models.networks import EmotionNet, NetworkConfig

SMALL = NetworkConfig(stem_channels=8, block_channels=(8, 16), dropout=0.0, lstm_hidden=4)


def save_small(folder: Path, name: str = "small", seed: int = 0) -> Path:
    torch.manual_seed(seed)
    return save_model(
        folder, EmotionNet(SMALL), name=name, input_contract=InputContract(48, 1), window_length=16, temperature=1.5
    )


def edit_card(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def replace_weights(card_path: Path, content: bytes) -> None:
    """Put other weights in place, with a card that agrees to their hash."""
    card_path.with_suffix(".safetensors").write_bytes(content)
    edit_card(card_path, sha256=hashlib.sha256(content).hexdigest())


def test_a_saved_network_comes_back_tensor_by_tensor(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = EmotionNet(SMALL)
    path = save_model(
        tmp_path / "new",
        network,
        name="small",
        input_contract=InputContract(48, 1),
        window_length=16,
        figures={"accuracy": 0.5},
    )
    loaded, card = load_network(path)
    assert loaded.config == SMALL
    assert not loaded.training
    assert card.labels == EMOTIONS
    assert card.figures == {"accuracy": 0.5}
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert sorted(file.name for file in path.parent.iterdir()) == ["small.json", "small.safetensors"]


def test_weights_are_stored_as_float32_whatever_they_were_trained_in(tmp_path: Path) -> None:
    path = save_model(
        tmp_path, EmotionNet(SMALL).bfloat16(), name="small", input_contract=InputContract(48, 1), window_length=16
    )
    stored = safetensors.torch.load_file(path.with_suffix(".safetensors"))
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32, torch.int64}


def test_the_weights_of_another_training_are_refused(tmp_path: Path) -> None:
    path = save_small(tmp_path, "first", seed=0)
    other = save_small(tmp_path, "second", seed=1)
    path.with_suffix(".safetensors").write_bytes(other.with_suffix(".safetensors").read_bytes())
    with pytest.raises(ModelError, match=r"SHA-256 .* its card says"):
        load_network(path)


def test_weights_cut_short_are_refused(tmp_path: Path) -> None:
    path = save_small(tmp_path)
    weights = path.with_suffix(".safetensors")
    replace_weights(path, weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="do not fit"):
        load_network(path)


def test_a_pickle_in_place_of_the_weights_never_runs(tmp_path: Path) -> None:
    path = save_small(tmp_path)
    trace = tmp_path / "ran"

    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    replace_weights(path, pickle.dumps(Touch()))
    with pytest.raises(ModelError, match="do not fit"):
        load_network(path)
    assert not trace.exists()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    path = save_small(tmp_path)
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(ModelError, match=r"small\.safetensors cannot be read"):
        load_network(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["anger", *EMOTIONS[1:]]}, "has the labels anger, disgust.* Expected angry"),
        ({"labels": [*EMOTIONS, "contempt"]}, "cannot be used here"),
        ({"network": {**SMALL.to_dict(), "heads": 2}}, r"unknown keys \['heads'\]"),
        ({"network": {"stem_channels": 8}}, r"lacks \['block_channels', 'dropout', 'first_stride', .*\]"),
        ({"network": {**SMALL.to_dict(), "stem_channels": "many"}}, "Expected `int`, got `str`"),
        ({"network": {**SMALL.to_dict(), "block_channels": []}}, "must be positive"),
        ({"network": {**SMALL.to_dict(), "lstm_hidden": -4}}, "must be positive"),
        ({"network": {**SMALL.to_dict(), "lstm_hidden": 5}}, "size mismatch"),
        ({"input": {"size_px": 48, "channels": 3}}, "takes 1 channel"),
        ({"temperature": 0}, "temperature 0.0 above 0"),
        ({"window_length": 0}, "window_length 0 must be at least 1"),
        ({"surprise": True}, "malformed"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = save_small(tmp_path)
    edit_card(path, **changes)
    with pytest.raises(ModelError, match=message):
        load_network(path)
