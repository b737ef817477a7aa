"""The network: a CNN for each crop, a bidirectional LSTM over time and attention over the window.

Tensor lines end with their shape: B windows, T crops in a window, N crops, H and W pixels, C channels or features,
K emotions.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from contracts.emotions import EMOTIONS


@dataclass(frozen=True)
class NetworkConfig:
    """The numbers from which an ``EmotionNet`` is built; stored in the model card beside the weights."""

    stem_channels: int = 32
    block_channels: tuple[int, ...] = (48, 96, 192)
    dropout: float = 0.3
    lstm_hidden: int = 96

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the means of all channels (Hu et al. 2018)."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, channels // reduction)
        self.excite = nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.excite(functional.relu(self.squeeze(x.mean((2, 3)))))  # N C
        return x * torch.sigmoid(gate)[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a squeeze-and-excitation gate; the first convolution may halve the resolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            SqueezeExcite(out_channels),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) + self.shortcut(x)
        return functional.relu(out)


class FrameCNN(nn.Module):
    """Turn each grey crop into a feature vector.

    The stem halves the resolution at once, because most of the arithmetic would be at the full one.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = (config.stem_channels, *config.block_channels)
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels[0], 5, 2, 2, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(before, after, stride=1 if index == 0 else 2)
                for index, (before, after) in enumerate(pairwise(channels))
            )
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:  # N 1 H W
        x = self.blocks(self.stem(x))  # N C H/8 W/8
        features: Tensor = self.dropout(x.mean((2, 3)))  # N C
        return features


class WindowAttention(nn.Module):
    """Dot-product attention of every frame over its whole window.

    The keys are tanh(V W), the weights softmax(q K^T), the result the weighted values (the point-multiplication
    attention of the CNN-BiLSTM paper's algorithm 1, with each frame's own state as its query).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.key = nn.Linear(size, size, bias=False)

    def forward(self, values: Tensor, is_padding: Tensor) -> Tensor:  # B T C, B T
        keys = torch.tanh(self.key(values))  # B T C
        scores = values @ keys.transpose(1, 2) / values.shape[-1] ** 0.5  # B T T
        weights = scores.masked_fill(is_padding[:, None, :], float("-inf")).softmax(-1)  # B T T
        context: Tensor = weights @ values  # B T C
        return context


class EmotionNet(nn.Module):
    """Per-frame emotion logits for windows of grey face crops.

    The logits are the sum of what the frame alone says (``emotion_head``) and what the window adds
    (``window_head``), so a still picture is a window of one and loses nothing. ``original_head`` reads the same
    features for FER2013's original labels, which follow another convention than the FER+ votes; training and
    evaluation use it, serving does not.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        features = config.block_channels[-1]
        self.cnn = FrameCNN(config)
        self.emotion_head = nn.Linear(features, len(EMOTIONS))
        self.original_head = nn.Linear(features, len(EMOTIONS))
        self.lstm = nn.LSTM(features, config.lstm_hidden, batch_first=True, bidirectional=True)
        self.attention = WindowAttention(2 * config.lstm_hidden)
        self.window_head = nn.Linear(4 * config.lstm_hidden, len(EMOTIONS))
        # The window starts by adding nothing, so that training it begins from the CNN's own answer.
        nn.init.zeros_(self.window_head.weight)
        nn.init.zeros_(self.window_head.bias)

    def compute_features(self, crops: Tensor) -> Tensor:
        """Return the feature vectors (N C) of standardised crops (N H W)."""
        features: Tensor = self.cnn(crops[:, None])
        return features

    def read_window(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (B T K) for features (B T C) of which window b has ``lengths[b]`` true positions."""
        packed = pack_padded_sequence(features, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=features.shape[1])
        is_padding = torch.arange(features.shape[1])[None, :] >= lengths[:, None]  # B T
        context = self.attention(states, is_padding.to(states.device))
        window: Tensor = self.window_head(torch.cat((states, context), -1))
        frame: Tensor = self.emotion_head(features)
        # A window of one has no context to add: a still picture gets exactly the CNN's answer.
        has_context = (lengths > 1).to(window.device)[:, None, None]
        return frame + window * has_context

    def forward(self, crops: Tensor, lengths: Tensor) -> Tensor:  # B T H W, B
        """Return logits (B T K); ``crops`` are standardised (see ``preprocessing``), ``lengths`` is on the CPU."""
        batch, window_length = crops.shape[:2]
        features = self.compute_features(crops.flatten(0, 1)).reshape(batch, window_length, -1)
        return self.read_window(features, lengths)
