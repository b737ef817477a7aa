"""Paper B's network and its rivals: a CNN on 128x128 pixels, an LSTM over the serialised features, attention, LDA.

Tensor lines end with their shape: N faces, C channels or features, H and W pixels, T steps of the sequence, K classes.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = (32, 32, 32, 64)
# The first pooling takes the enlarged picture back to the 42 pixels that a crop of 48 really holds (see PointConv).
FIRST_POOL = 3
GRID = 10
GROWTH, DENSE_LAYERS = 12, 4


@dataclass(frozen=True)
class SequenceConfig:
    """The parts of which a ``SequenceNet`` is made; the defaults are the complete network.

    ``cnn`` None gives the picture's rows to the LSTM; ``lstm`` None takes the feature map whole, through a dense layer.
    ``fitted`` is what is fitted on the trained features: LDA with the DenseNet reconstruction or with a softmax layer
    behind it, a linear SVM, or nothing.
    """

    cnn: Literal["plain", "separable"] | None = "plain"
    lstm: Literal["both ways", "one way"] | None = "both ways"
    attention: bool = True
    fitted: Literal["lda, dense", "lda, softmax", "svm"] | None = "lda, dense"
    batch_norm: bool = True
    hidden: int = 128
    dropout: float = 0.2
    lda_dimensions: int = 6

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


class PointConv(nn.Module):
    """A 1x1 convolution of a grey picture, ReLU, and max-pooling, without ever making the large map.

    Each channel is a monotone function of the pixel, so its largest value in a window comes from the window's largest
    pixel, or from the smallest where the weight is negative: pooling before the convolution gives exactly the same.
    """

    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, channels, 1)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:  # N 1 H W
        largest, smallest = functional.max_pool2d(x, self.pool), -functional.max_pool2d(-x, self.pool)
        weight = self.convolution.weight
        both = torch.cat((weight.clamp(min=0), weight.clamp(max=0)), 1)
        out = functional.conv2d(torch.cat((largest, smallest), 1), both, self.convolution.bias)
        return functional.relu(out)  # N C H/3 W/3


def make_cnn(separable: bool, batch_norm: bool) -> nn.Sequential:
    """Return four convolutions and three poolings, the paper's seven layers, from (N 1 128 128) to (N 64 10 10).

    The poolings stand behind the first, the second and the last convolution, and before normalisation and ReLU.
    """

    def make_layer(before: int, after: int, kernel: int, pool: int) -> list[nn.Module]:
        convolution: list[nn.Module] = [nn.Conv2d(before, after, kernel, padding=kernel // 2)]
        if separable:
            convolution = [
                nn.Conv2d(before, before, kernel, padding=kernel // 2, groups=before),
                nn.Conv2d(before, after, 1),
            ]
        pooling = [nn.MaxPool2d(pool)] if pool > 1 else []
        return [*convolution, *pooling, *([nn.BatchNorm2d(after)] if batch_norm else []), nn.ReLU()]

    first, second, third, fourth = CHANNELS
    return nn.Sequential(
        PointConv(first, FIRST_POOL),
        *make_layer(first, second, 5, 2),
        *make_layer(second, third, 3, 1),
        *make_layer(third, fourth, 3, 2),
    )


class PointMultiplicationAttention(nn.Module):
    """Dot-product attention with one query for a sequence (paper B, algorithm 1).

    The keys are K = tanh(V W), the weights softmax(q Kᵀ), the result the weighted sum of the values V.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.key = nn.Linear(size, size, bias=False)

    def forward(self, values: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:  # N T C, N C
        """Return the weighted values (N C) and the weights (N T)."""
        keys = torch.tanh(self.key(values))  # N T C
        weights = (query[:, None] @ keys.transpose(1, 2)).softmax(-1)  # N 1 T
        return (weights @ values)[:, 0], weights[:, 0]


class DenseReconstruction(nn.Module):
    """Dense layers each of which sees the input and all earlier layers' outputs, as in DenseNet (Huang et al. 2017).

    Each adds ``growth`` features, batch normalised; a last layer turns all that there is into logits.
    """

    def __init__(self, features: int, classes: int, growth: int = GROWTH, layers: int = DENSE_LAYERS) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(features + growth * index, growth), nn.BatchNorm1d(growth), nn.ReLU())
            for index in range(layers)
        )
        self.classifier = nn.Linear(features + growth * layers, classes)

    def forward(self, x: Tensor) -> Tensor:  # N C
        for layer in self.layers:
            x = torch.cat((x, layer(x)), 1)
        logits: Tensor = self.classifier(x)  # N K
        return logits


class SequenceNet(nn.Module):
    """The complete network or one of its rivals and ablations.

    ``forward`` gives the logits of what has been trained so far: those of the softmax layer on the features, or, once
    ``set_projection`` has been called, those of ``head`` behind the fitted linear layer.
    """

    is_fitted: Tensor

    def __init__(self, config: SequenceConfig, classes: int = 7) -> None:
        super().__init__()
        self.config = config
        self.cnn = make_cnn(config.cnn == "separable", config.batch_norm) if config.cnn else nn.AvgPool2d(FIRST_POOL)
        step = CHANNELS[-1] * GRID if config.cnn else 128 // FIRST_POOL
        if config.lstm:
            self.lstm = nn.LSTM(step, config.hidden, batch_first=True, bidirectional=config.lstm == "both ways")
            self.features = config.hidden * (2 if config.lstm == "both ways" else 1)
        else:
            self.features = 2 * config.hidden
            self.dense = nn.Linear(step * GRID, self.features)
        if config.attention:
            self.attention = PointMultiplicationAttention(self.features)
        # The LSTM's states are small at first; normalised, they teach the softmax layer from the first step.
        norm = nn.BatchNorm1d(self.features) if config.batch_norm else nn.Identity()
        self.classifier = nn.Sequential(norm, nn.Dropout(config.dropout), nn.Linear(self.features, classes))
        if config.fitted:
            size = classes if config.fitted == "svm" else config.lda_dimensions
            self.projection = nn.Linear(self.features, size).requires_grad_(False)
            self.head = {"lda, dense": DenseReconstruction, "lda, softmax": nn.Linear, "svm": nn.Identity}[
                config.fitted
            ](size, classes)
        self.register_buffer("is_fitted", torch.tensor(False))

    def restart(self) -> None:
        """Forget what was fitted, and the layers that name classes, to learn another data set's."""
        self.is_fitted.fill_(False)
        for layer in (*self.classifier.modules(), *(self.head.modules() if self.config.fitted else ())):
            if isinstance(layer, nn.Linear | nn.BatchNorm1d):
                layer.reset_parameters()

    @torch.no_grad()
    def set_projection(self, weight: Tensor, bias: Tensor) -> None:
        self.projection.weight.copy_(weight)
        self.projection.bias.copy_(bias)
        self.is_fitted.fill_(True)

    def read_sequence(self, x: Tensor) -> tuple[Tensor, Tensor | None]:  # N 1 128 128
        """Return the features (N C) and the attention's weights over the steps (N T) or None."""
        maps = self.cnn(x)  # N C H W
        steps = maps.permute(0, 2, 1, 3).flatten(2)  # N T C, a step for each row of the map
        if not self.config.lstm:
            return functional.relu(self.dense(steps.flatten(1))), None
        states, (last, _) = self.lstm(steps)  # N T C
        query = last.transpose(0, 1).flatten(1)  # N C, the last states of each direction
        if not self.config.attention:
            return query, None
        features, weights = self.attention(states, query)
        return features, weights

    def compute_features(self, x: Tensor) -> Tensor:
        return self.read_sequence(x)[0].float()  # N C

    def classify(self, features: Tensor) -> Tensor:  # N C
        """Return the logits (N K) of the softmax layer with which the features are trained."""
        logits: Tensor = self.classifier(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:  # N 1 128 128
        features = self.compute_features(x)
        if not self.is_fitted:
            return self.classify(features)
        # The fitted layer's weights are large and cancel; bf16 would lose what is left.
        with torch.autocast(x.device.type, enabled=False):
            logits: Tensor = self.head(self.projection(features))  # N K
        return logits
