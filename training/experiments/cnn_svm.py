"""Paper B's rival CNN-SVM: the CNN, trained with a dense and a softmax layer, then a linear SVM on the dense features.

The SVM is fitted on the un-augmented training features, standardised, and is kept as a linear layer.
"""

from training.networks.paper_b import SequenceConfig
from training.settings_paper_b import make_rivals
from training.stages_paper_b import System

EXPERIMENTS = make_rivals("cnn_svm", "CNN-SVM", System(SequenceConfig(lstm=None, attention=False, fitted="svm")))
