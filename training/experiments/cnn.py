"""Paper A's standalone CNN: convolutions, max pooling, batch normalisation, dropout, dense, softmax.

The paper gives neither the number of layers nor their channels. The reading that is built: blocks of 3x3
convolutions, each block ended by max pooling, batch normalisation and ReLU after each convolution, dropout after the
last block and before the last layer, one dense layer. In the paper's setting three blocks of one convolution (32, 64,
128 channels), pixels from 0 to 1, dropout 0.1; Adam at 0.001, batches of 16, up to 100 epochs with early stopping on
the selection half. In our setting four blocks (32; 64; 128, 128; 256, 256), standardised crops, augmentation, SGD over
one cycle.
"""

from training.networks.paper_a import Cnn
from training.settings_paper_a import (
    OUR_SIZE,
    OURS,
    PAPER,
    PAPER_SIZE,
    THREE_EMOTIONS,
    TRAIN_PX,
    make_experiment,
    scale_pixels,
)

EXPERIMENTS = (
    make_experiment("cnn-paper", "CNN, the paper's setting", Cnn, PAPER_SIZE, PAPER, preprocess=scale_pixels),
    make_experiment(
        "cnn-paper-three",
        "CNN, three emotions, the paper's setting",
        Cnn,
        PAPER_SIZE,
        PAPER,
        THREE_EMOTIONS,
        scale_pixels,
    ),
    make_experiment("cnn", "CNN, our setting", Cnn, OUR_SIZE, OURS, train_px=TRAIN_PX, measures_conditions=True),
    make_experiment(
        "cnn-three", "CNN, three emotions, our setting", Cnn, OUR_SIZE, OURS, THREE_EMOTIONS, train_px=TRAIN_PX
    ),
)
