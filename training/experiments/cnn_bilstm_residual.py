"""Paper A's CNN-BiLSTM on the convolutions of ``base``, whose trained weights it begins with.

The paper leaves its convolutions open. Those of ``cnn_bilstm`` are of the kind it names; these have residual blocks,
and their weights have learned FER+ votes and original labels together. The map's 6x6 positions are the sequence. More
epochs are no better: 13 of 14 on three emotions named 0.803 of half A, these 8 name 0.813.

``-taught`` also learns what ``base`` says of each augmented crop by its head for the original labels; in ``-mixed``
half of those crops shine through one another, so that ``base`` is asked for more than it knows by heart. Half A does
not tell the three apart (0.813, 0.814 and 0.812 of 1,097 faces).
"""

from dataclasses import replace
from functools import partial

from training.experiments.production import BASE
from training.networks.paper_a import ResidualCnnBilstm, ResidualConfig
from training.settings_paper_a import OURS, THREE_EMOTIONS, make_experiment

SETTING = replace(OURS, epochs=8, learning_rate=0.02)
MIXED = replace(SETTING, epochs=12, mixed_share=0.5)
TITLE = "CNN-BiLSTM on base's convolutions"

make = partial(
    make_experiment,
    network=ResidualCnnBilstm,
    size=ResidualConfig(BASE),
    setting=SETTING,
    train_px=44,
    is_claimed=True,
    starts_from="base",
)

EXPERIMENTS = (
    make("cnn_bilstm_residual", f"{TITLE}, our setting"),
    make("cnn_bilstm_residual-three", f"{TITLE}, three emotions, our setting", labels=THREE_EMOTIONS),
    make(
        "cnn_bilstm_residual-taught-three",
        f"{TITLE}, taught by base, three emotions, our setting",
        labels=THREE_EMOTIONS,
        taught_by="base",
        compared_with="cnn_bilstm_residual-three",
    ),
    make(
        "cnn_bilstm_residual-mixed-three",
        f"{TITLE}, taught by base on mixed faces, three emotions, our setting",
        setting=MIXED,
        labels=THREE_EMOTIONS,
        taught_by="base",
    ),
)
