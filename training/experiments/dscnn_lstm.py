"""Paper B's rival DSCNN-LSTM: CNN-LSTM with depthwise separable convolutions.

The first convolution, 1x1 on one channel, has nothing to separate and stays; the paper does not say what it does
there.
"""

from training.networks.paper_b import SequenceConfig
from training.settings_paper_b import make_rivals
from training.stages_paper_b import System

EXPERIMENTS = make_rivals(
    "dscnn_lstm", "DSCNN-LSTM", System(SequenceConfig(cnn="separable", lstm="one way", attention=False, fitted=None))
)
