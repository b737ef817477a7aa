"""The product's emotions: one label order, one palette, one definition of valence.

Every probability vector in emotrace is in the order of ``EMOTIONS``, and every picture and page takes its colours
from ``COLOURS``.
"""

from collections.abc import Mapping, Sequence

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NEGATIVE_EMOTIONS = ("angry", "disgust", "fear", "sad")

# A label whose probability is lower is more likely wrong than right, because probabilities are calibrated (the model
# card's temperature); pages show it faded.
UNCERTAIN_BELOW = 0.5

# Okabe and Ito's palette, which stays apart under the common colour blindnesses; neutral is grey because it is the
# background against which the others are read. "disgust" is a darker green than theirs to keep its contrast on white.
COLOURS: Mapping[str, str] = {
    "angry": "#D55E00",
    "disgust": "#00805B",
    "fear": "#7B4B94",
    "happy": "#E69F00",
    "sad": "#0072B2",
    "surprise": "#56B4E9",
    "neutral": "#8C8C8C",
}

# Words on an emotion's colour: whichever of black and white reads at 4.5 to 1 and better.
INKS: Mapping[str, str] = {name: "#FFFFFF" if name in ("disgust", "fear", "sad") else "#000000" for name in EMOTIONS}
# Lines in these colours stand out from white at less than 3 to 1, and so have a dark edge there.
PALE = ("happy", "surprise")


def compute_valence(probabilities: Sequence[float]) -> float:
    """Return happy minus the strongest negative emotion, from -1 to 1.

    ``probabilities`` holds seven values in the order of ``EMOTIONS``. This is the definition that facial-coding
    software uses (Noldus FaceReader's manual); surprise and neutral take no part in it.
    """
    by_name = dict(zip(EMOTIONS, probabilities, strict=True))
    return by_name["happy"] - max(by_name[name] for name in NEGATIVE_EMOTIONS)


def find_label(probabilities: Sequence[float]) -> tuple[str, float]:
    """Return the most probable emotion and its probability; the first in label order wins a tie."""
    confidence = max(probabilities)
    return EMOTIONS[list(probabilities).index(confidence)], confidence
