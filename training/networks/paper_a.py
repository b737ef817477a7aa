"""Paper A's networks: a CNN on its own, and the same convolutions read as a sequence by a bidirectional LSTM.

A third one reads the convolutions of this project's own network in the same way.

Tensor lines end with their shape: N crops, H and W pixels, C channels or features, T steps of the sequence, K classes.
"""

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from models.networks import FrameCNN, NetworkConfig

# The side of FER2013's crops; dense layers are as wide as the map of such a crop.
CROP_PX = 48


@dataclass(frozen=True)
class PaperAConfig:
    """The numbers from which both networks are built.

    ``blocks`` holds, for each block of the trunk, the channels of its convolutions; a block ends in a max pooling
    that halves the resolution. ``dense`` is the width of the dense layer before the softmax, ``lstm_hidden`` the
    number of units in each direction.
    """

    blocks: tuple[tuple[int, ...], ...]
    dropout: float = 0.1
    dense: int = 128
    lstm_hidden: int = 128

    @property
    def map_px(self) -> int:
        """The side of the map of a 48-pixel crop; poolings round up."""
        return math.ceil(CROP_PX / 2.0 ** len(self.blocks))

    @property
    def num_steps(self) -> int:
        """The length of the sequence that the map of a 48-pixel crop becomes: its positions."""
        return self.map_px * self.map_px

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class ResidualConfig:
    """The numbers of a ``ResidualCnnBilstm``: those of the project's CNN, then as in ``PaperAConfig``."""

    cnn: NetworkConfig
    dropout: float = 0.3
    dense: int = 128
    lstm_hidden: int = 128

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def make_trunk(config: PaperAConfig) -> nn.Sequential:
    """Return the convolutions that both networks share: crops (N 1 H W) in, maps (N C h w) out.

    Each 3x3 convolution is followed by batch normalisation and ReLU, the last one of a block by max pooling before
    them (the order in which the paper names its layers, and the cheap one). Dropout ends the trunk.
    """
    layers: list[nn.Module] = []
    channels = 1
    for block in config.blocks:
        for index, width in enumerate(block, 1):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=False))
            if index == len(block):
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    return nn.Sequential(*layers, nn.Dropout(config.dropout))


def make_head(features: int, config: PaperAConfig | ResidualConfig, num_classes: int) -> nn.Sequential:
    """Return the dense layer and the one before the softmax, which the loss contains."""
    return nn.Sequential(
        nn.Linear(features, config.dense),
        nn.ReLU(inplace=True),
        nn.Dropout(config.dropout),
        nn.Linear(config.dense, num_classes),
    )


def serialise(maps: Tensor) -> Tensor:  # N C h w
    """Return maps as sequences (N h*w C): one step for each position, row by row, its channels the features."""
    return maps.flatten(2).transpose(1, 2)


class Cnn(nn.Module):
    """Logits (N K) of standardised crops (N 1 H W): the trunk, then dense layers on the whole map.

    The dense layers fix the size of the map and so that of the crops, up to the poolings' rounding.
    """

    def __init__(self, config: PaperAConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.trunk = make_trunk(config)
        self.head = make_head(config.blocks[-1][-1] * config.num_steps, config, num_classes)

    def forward(self, crops: Tensor) -> Tensor:  # N 1 H W
        logits: Tensor = self.head(self.trunk(crops).flatten(1))
        return logits


class CnnBilstm(nn.Module):
    """Logits (N K) of standardised crops (N 1 H W): the trunk, its map serialised, a bidirectional LSTM, dense layers.

    ``nn.LSTM`` computes the paper's equations 1 to 6: the input, forget and output gates, the candidate, the cell and
    the state. What the dense layer reads of the states is not said there; here it is the last state of each
    direction, each of which has seen the whole map.
    """

    def __init__(self, config: PaperAConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.trunk = make_trunk(config)
        self.lstm = nn.LSTM(config.blocks[-1][-1], config.lstm_hidden, batch_first=True, bidirectional=True)
        self.head = make_head(2 * config.lstm_hidden, config, num_classes)

    def forward(self, crops: Tensor) -> Tensor:  # N 1 H W
        return read_map(self.trunk(crops), self.lstm, self.head)


class ResidualCnnBilstm(nn.Module):
    """The same on the residual convolutions of ``EmotionNet``, under its names, so that its weights can be taken."""

    def __init__(self, config: ResidualConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.cnn = FrameCNN(config.cnn)
        self.lstm = nn.LSTM(config.cnn.block_channels[-1], config.lstm_hidden, batch_first=True, bidirectional=True)
        self.head = make_head(2 * config.lstm_hidden, config, num_classes)

    def forward(self, crops: Tensor) -> Tensor:  # N 1 H W
        return read_map(self.cnn.dropout(self.cnn.compute_map(crops)), self.lstm, self.head)


def read_map(maps: Tensor, lstm: nn.LSTM, head: nn.Sequential) -> Tensor:  # N C h w
    """Return the logits (N K) of maps: serialised, read in both directions, the last states into the dense layers."""
    _, (states, _) = lstm(serialise(maps))  # 2 N C
    logits: Tensor = head(torch.cat((states[0], states[1]), -1))
    return logits
