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

    stem_channels: int = 16
    block_channels: tuple[int, ...] = (64, 128, 192)
    first_stride: int = 2
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

    The stem sees the full resolution, with few channels. Each block halves it; the first one has ``first_stride``.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels = (config.stem_channels, *config.block_channels)
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels[0], 3, 1, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(before, after, stride=config.first_stride if index == 0 else 2)
                for index, (before, after) in enumerate(pairwise(channels))
            )
        )
        self.dropout = nn.Dropout(config.dropout)

    def compute_map(self, x: Tensor) -> Tensor:  # N 1 H W
        """Return the last block's map (N C H' W')."""
        features: Tensor = self.blocks(self.stem(x))
        return features

    def forward(self, x: Tensor) -> Tensor:  # N 1 H W
        features: Tensor = self.dropout(self.compute_map(x).mean((2, 3)))  # N C
        return features


class WindowAttention(nn.Module):
    """Dot-product attention of every frame over its whole window.

    The keys are tanh(V W), the weights softmax(q K^T) (the point-multiplication attention of the CNN-BiLSTM paper's
    algorithm 1, with each frame's own state as its query). Scores are divided by a quarter of the usual root of the
    size, because the tanh bounds them: sharper weights can leave a spoilt frame out altogether.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.key = nn.Linear(size, size, bias=False)

    def forward(self, states: Tensor, is_padding: Tensor) -> Tensor:  # B T C, B T
        """Return the logarithms of the weights (B T T) that each frame gives to every frame of its window."""
        keys = torch.tanh(self.key(states))  # B T C
        scores = states @ keys.transpose(1, 2) * (4 / states.shape[-1] ** 0.5)  # B T T
        log_weights: Tensor = scores.masked_fill(is_padding[:, None, :], float("-inf")).log_softmax(-1)
        return log_weights


def encode_time_steps(times_s: Tensor, is_padding: Tensor) -> Tensor:  # B T, B T
    """Return how long before and after each crop its neighbours are (B T 2), in doublings of a tenth of a second.

    ``times_s`` are the crops' times in seconds. The first crop's step back and the last one's step on are 0, as if
    they were the usual tenth. Steps are bounded to between 6 ms and 1.6 s: beyond that the distance says no more.
    """
    steps = torch.log2(times_s.diff(dim=1).clamp(min=1e-3) / 0.1).clamp(-4, 4)  # B T-1
    steps = steps.masked_fill(is_padding[:, 1:], 0)
    return torch.stack((functional.pad(steps, (1, 0)), functional.pad(steps, (0, 1))), -1)  # B T 2


class EmotionNet(nn.Module):
    """Per-frame emotion logits for windows of grey face crops.

    What each frame alone says (``emotion_head``) is mixed over the window, as probabilities and by the attention's
    weights, so that a spoilt frame is answered by the clear ones that show the same expression; ``window_head`` adds
    what the LSTM's states say themselves. A still picture is a window of one, which mixes nothing and loses nothing.
    ``original_head`` reads the same features for FER2013's original labels, which follow another convention than the
    FER+ votes; training and evaluation use it, serving does not. The LSTM reads the time steps between crops beside
    their features, because sampling rates differ between sources and within one.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        features = config.block_channels[-1]
        self.cnn = FrameCNN(config)
        self.emotion_head = nn.Linear(features, len(EMOTIONS))
        self.original_head = nn.Linear(features, len(EMOTIONS))
        # The features and the steps to both neighbours.
        self.lstm = nn.LSTM(features + 2, config.lstm_hidden, batch_first=True, bidirectional=True)
        self.attention = WindowAttention(2 * config.lstm_hidden)
        self.window_head = nn.Linear(4 * config.lstm_hidden, len(EMOTIONS))
        # The states start by adding nothing, so that training begins from a plain mixture of the CNN's answers.
        nn.init.zeros_(self.window_head.weight)
        nn.init.zeros_(self.window_head.bias)

    def compute_features(self, crops: Tensor) -> Tensor:
        """Return the feature vectors (N C) of standardised crops (N H W)."""
        features: Tensor = self.cnn(crops[:, None])
        return features

    def read_window(self, features: Tensor, times_s: Tensor, lengths: Tensor) -> Tensor:
        """Return logits (B T K) for features (B T C) at ``times_s`` (B T).

        Window b has ``lengths[b]`` true positions; ``lengths`` is on the CPU.
        """
        positions = torch.arange(features.shape[1], device=features.device)
        is_padding = positions >= lengths.to(features.device)[:, None]  # B T
        inputs = torch.cat((features, encode_time_steps(times_s, is_padding)), -1)  # B T C+2
        packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=features.shape[1])
        log_weights = self.attention(states, is_padding)  # B T T
        frame = self.emotion_head(features).log_softmax(-1)  # B T K
        mixture = torch.logsumexp(log_weights[:, :, :, None] + frame[:, None], 2)  # B T K
        window: Tensor = self.window_head(torch.cat((states, log_weights.exp() @ states), -1))  # B T K
        # A window of one has no context to add: a still picture gets exactly the CNN's answer.
        has_context = (lengths > 1).to(window.device)[:, None, None]
        return mixture + window * has_context

    def forward(self, crops: Tensor, times_s: Tensor, lengths: Tensor) -> Tensor:  # B T H W, B T, B
        """Return logits (B T K); ``crops`` are standardised (see ``preprocessing``), ``lengths`` is on the CPU."""
        batch, window_length = crops.shape[:2]
        features = self.compute_features(crops.flatten(0, 1)).reshape(batch, window_length, -1)
        return self.read_window(features, times_s, lengths)
