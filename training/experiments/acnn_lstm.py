"""Paper B's rival ACNN-LSTM: CNN-LSTM with attention.

The paper does not say what attends to what. Here point-multiplication attention (algorithm 1) weighs the LSTM's
states.
"""

from training.networks.paper_b import SequenceConfig
from training.settings_paper_b import make_rivals
from training.stages_paper_b import System

EXPERIMENTS = make_rivals(
    "acnn_lstm", "ACNN-LSTM", System(SequenceConfig(lstm="one way", fitted=None)), measures_conditions=True
)
