"""Paper B's rival CNN-LSTM: the complete network's CNN, an LSTM one way, its last state to a softmax layer."""

from training.networks.paper_b import SequenceConfig
from training.settings_paper_b import make_rivals
from training.stages_paper_b import System

EXPERIMENTS = make_rivals("cnn_lstm", "CNN-LSTM", System(SequenceConfig(lstm="one way", attention=False, fitted=None)))
