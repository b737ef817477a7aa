"""CPU milliseconds per crop of a model in each backend and precision, one thread, and the share that is not the CNN.

python benchmarks/inference.py [--model production] [--seconds 20]
"""

import argparse
import time

import numpy as np
import torch
from measure import describe_machine

from contracts.model_card import find_card_path
from models.backends import Backend, find_openvino, use_openvino, use_torch
from models.checkpoints import load_network
from models.networks import FrameCNN, NetworkConfig
from models.predictor import EmotionPredictor

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
NUM_WINDOWS = (1, 8)


def make_predictor(model: str, backend: str, precision: torch.dtype) -> EmotionPredictor:
    """Return a predictor whose CNN runs as asked, whatever this processor would be given by itself."""
    predictor = EmotionPredictor(model, "cpu", "torch")
    cnn = load_network(find_card_path(model))[0].cnn
    is_torch = backend == "torch"
    predictor.backend = (
        use_torch(cnn, precision) if is_torch else use_openvino(cnn, predictor.card.input.size_px, precision)
    )
    return predictor


class NoCnn(FrameCNN):
    """Does nothing: what is left is the cost of everything else."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.num_features = config.block_channels[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), self.num_features)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="production", help="shipped model's name, or path to a card")
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    names = ["torch", "openvino"] if find_openvino() else ["torch"]
    predictors = {
        f"{backend} {name}": make_predictor(arguments.model, backend, precision)
        for backend in names
        for name, precision in PRECISIONS.items()
    }
    rest = EmotionPredictor(arguments.model, "cpu", "torch")
    network = load_network(find_card_path(arguments.model))[0]
    rest.backend = Backend("torch", torch.float32, NoCnn(network.config))
    predictors["all but the CNN"] = rest

    size, length = rest.card.input.size_px, rest.window_length
    crops = np.random.default_rng(0).integers(0, 256, (max(NUM_WINDOWS), length, size, size), dtype=np.uint8)
    times_s = [[0.1 * position for position in range(length)]] * len(crops)
    best = {(name, number): float("inf") for name in predictors for number in NUM_WINDOWS}
    end = time.monotonic() + arguments.seconds
    # Taken in turn, so that a busy neighbour on the machine meets all of them alike; ten calls in a row, because a
    # worker finds its own weights in the cache.
    while time.monotonic() < end:
        for name, number in best:
            for _ in range(10):
                begin = time.process_time()
                predictors[name].predict(list(crops[:number]), times_s[:number])
                best[name, number] = min(best[name, number], time.process_time() - begin)
    per_crop = {(name, number): 1000 * least_s / number / length for (name, number), least_s in best.items()}
    print(describe_machine())
    print(f"{rest.card.model_id}, windows of {length}, CPU ms per crop (ratio to torch bfloat16)")
    for name in predictors:
        cells = [
            f"{per_crop[name, n]:.3f} ({per_crop[name, n] / per_crop['torch bfloat16', n]:.2f})" for n in NUM_WINDOWS
        ]
        print(f"{name:18}", *(f"{cell} in calls of {n}  " for cell, n in zip(cells, NUM_WINDOWS, strict=True)))


if __name__ == "__main__":
    main()
