"""Paper B's rival CNN-BiLSTM, on 128x128 pixels: the last states of both directions to a softmax layer.

It is the complete network without attention, centre loss, LDA and reconstruction.
"""

from training.networks.paper_b import SequenceConfig
from training.settings_paper_b import make_rivals
from training.stages_paper_b import System

EXPERIMENTS = make_rivals("cnn_bilstm_128", "CNN-BiLSTM", System(SequenceConfig(attention=False, fitted=None)))
