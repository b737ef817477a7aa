"""Label, confidence and valence of many rows at once, as ``contracts.emotions`` defines them for one."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.emotions import EMOTIONS, NEGATIVE_EMOTIONS

Floats = NDArray[np.float64]

_HAPPY = EMOTIONS.index("happy")
_NEGATIVE = [EMOTIONS.index(name) for name in NEGATIVE_EMOTIONS]
_NAMES = np.array(EMOTIONS, dtype=object)


class Derived(NamedTuple):
    """What follows from N rows of probabilities."""

    labels: NDArray[Any]  # N, str
    confidences: Floats  # N, from 1/7 to 1
    valences: Floats  # N, from -1 to 1


def derive(probabilities: Floats) -> Derived:
    """Derive label, confidence and valence from ``probabilities``, N x 7 in the order of ``EMOTIONS``.

    Row by row this equals ``find_label`` and ``compute_valence``; argmax too lets the first of a tie win.
    """
    labels = _NAMES[probabilities.argmax(axis=1)]
    valences = probabilities[:, _HAPPY] - probabilities[:, _NEGATIVE].max(axis=1)
    return Derived(labels, probabilities.max(axis=1), valences)
