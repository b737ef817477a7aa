"""Paper A's CNN-BiLSTM: the CNN without its dense part, its map as a sequence, a bidirectional LSTM, dense, softmax.

The convolutions are those of ``cnn``. The paper does not say how the map becomes a sequence, nor what is read of the
LSTM (equations 1 to 6 end with the state of one step). The reading that is built: one step for each position of the
map, row by row, with its channels as features (36 steps in the paper's setting, 9 in ours), and the last state of each
direction, side by side. ``torch.nn.LSTM`` is equations 1 to 6.

``cnn_bilstm-diverging`` is the paper's first setting (Adam at 0.1, batches of 32), which it reports to have diverged.
The five last ones are what it left for later: augmentation, a loss weighted by class, oversampling, each alone and all
together, on a smaller network and with few epochs; read their recall by class, disgust's above all.
"""

from dataclasses import replace

from training.networks.paper_a import CnnBilstm
from training.settings_paper_a import (
    DIVERGING,
    OUR_SIZE,
    OURS,
    PAPER,
    PAPER_SIZE,
    PLAIN,
    SMALL_SIZE,
    THREE_EMOTIONS,
    TRAIN_PX,
    make_experiment,
    scale_pixels,
)

ABLATION = {
    "plain": PLAIN,
    "augmented": replace(PLAIN, augment=True),
    "weighted": replace(PLAIN, class_weights=True),
    "oversampled": replace(PLAIN, oversample=True),
    "all": replace(PLAIN, augment=True, class_weights=True, oversample=True),
}

EXPERIMENTS = (
    make_experiment(
        "cnn_bilstm-paper",
        "CNN-BiLSTM, the paper's setting",
        CnnBilstm,
        PAPER_SIZE,
        PAPER,
        preprocess=scale_pixels,
        is_claimed=True,
    ),
    make_experiment(
        "cnn_bilstm-paper-three",
        "CNN-BiLSTM, three emotions, the paper's setting",
        CnnBilstm,
        PAPER_SIZE,
        PAPER,
        THREE_EMOTIONS,
        scale_pixels,
        is_claimed=True,
    ),
    make_experiment(
        "cnn_bilstm-diverging",
        "CNN-BiLSTM, the paper's first setting",
        CnnBilstm,
        PAPER_SIZE,
        DIVERGING,
        preprocess=scale_pixels,
    ),
    make_experiment(
        "cnn_bilstm",
        "CNN-BiLSTM, our setting",
        CnnBilstm,
        OUR_SIZE,
        OURS,
        train_px=TRAIN_PX,
        measures_conditions=True,
        is_claimed=True,
        compared_with="cnn",
    ),
    make_experiment(
        "cnn_bilstm-three",
        "CNN-BiLSTM, three emotions, our setting",
        CnnBilstm,
        OUR_SIZE,
        OURS,
        THREE_EMOTIONS,
        train_px=TRAIN_PX,
        is_claimed=True,
        compared_with="cnn-three",
    ),
    *(
        make_experiment(
            f"cnn_bilstm-{name}",
            f"CNN-BiLSTM, few epochs, {name}",
            CnnBilstm,
            SMALL_SIZE,
            setting,
            compared_with="cnn_bilstm-plain" if name not in ("plain", "all") else None,
        )
        for name, setting in ABLATION.items()
    ),
)
