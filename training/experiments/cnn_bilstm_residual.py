"""Paper A's CNN-BiLSTM on the convolutions of ``base``, whose trained weights it begins with.

The paper leaves its convolutions open. Those of ``cnn_bilstm`` are of the kind it names; these have residual blocks,
and their weights have learned FER+ votes and original labels together. The map's 6x6 positions are the sequence.

``-taught`` also learns what ``base`` says of each augmented crop by its head for the original labels. In ``-mixed``
half of those crops shine through one another, which makes them harder to learn by heart, so it has 12 epochs for 8.
``docs/decisions.md`` tells what half A said of the three.
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
