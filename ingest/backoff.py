"""How long to wait before trying again: longer each time, and never at the same moment as others."""

import random
from dataclasses import dataclass, field


@dataclass
class Backoff:
    """Doubles from ``min_s`` to ``max_s``; each delay is 50 to 100 percent of that.

    So a thousand cameras behind one restarted switch do not all come at once. Source: M. Brooker, "Exponential Backoff
    And Jitter", 2015 ("equal jitter").
    """

    min_s: float
    max_s: float
    num_failures: int = field(default=0, init=False)

    def next_delay_s(self) -> float:
        """Return how long to wait now, and wait longer next time."""
        # The exponent is bounded because months of failures would overflow a float.
        longest_s = min(self.max_s, self.min_s * 2.0 ** min(self.num_failures, 60))
        self.num_failures += 1
        return longest_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing

    def reset(self) -> None:
        """Begin again with the shortest delay, after things went well."""
        self.num_failures = 0
