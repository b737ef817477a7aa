"""Points of a timeline as a query returns them."""

from typing import Any

import numpy as np

from contracts.emotions import EMOTIONS


def make_points(times_s: Any, probabilities: Any) -> list[dict[str, Any]]:
    values = np.column_stack([probabilities, np.zeros(len(probabilities))])
    return [
        {
            "time_s": at, "first_s": at, "last_s": at, "num_faces": 1, "num_uncertain": int(row[:7].max() < 0.5),
            **{f"{name}{end}": value for name, value in zip((*EMOTIONS, "valence"), row, strict=True)
               for end in ("", "_min", "_max")},
        }
        for at, row in zip(times_s, values, strict=True)
    ]  # fmt: skip
