"""The ledger: every packet, frame and face of a session is a result or has a counted reason.

The three balances:

- packets read = frames decoded + undecodable
- frames decoded = analysed + skipped, by reason; analysed means that a face of the frame was published
- faces published = rows + rejected + waiting; a session is complete when nothing waits
"""

from dataclasses import dataclass, field
from typing import Any

from contracts.errors import LedgerError

ANALYSED = "analysed"
UNDECODABLE = "undecodable"
NOT_SAMPLED = "not_sampled"
NO_FACE = "no_face"
LOW_QUALITY = "low_quality"
AWAITING_KEYFRAME = "awaiting_keyframe"
BACKPRESSURE = "backpressure"
INTERRUPTED = "interrupted"
SKIP_REASONS = (NOT_SAMPLED, NO_FACE, LOW_QUALITY, AWAITING_KEYFRAME, BACKPRESSURE, INTERRUPTED)

# What people read in pictures and pages.
REASON_TEXTS = {
    NO_FACE: "no face found",
    LOW_QUALITY: "face too small",
    AWAITING_KEYFRAME: "awaiting a keyframe",
    BACKPRESSURE: "workers behind",
    INTERRUPTED: "interrupted",
    UNDECODABLE: "damaged video",
}


@dataclass(frozen=True)
class Ledger:
    """A session's counts, computed from keyed rows (``contracts.store.read_ledger``) and the stream's waiting faces.

    ``packets`` and ``decoded`` are what the last reading saw; everything else is summed from rows.
    """

    packets: int
    undecodable: int
    decoded: int
    analysed: int
    skipped: dict[str, int] = field(default_factory=dict)
    published: int = 0
    rows: int = 0
    rejected: int = 0
    waiting: int = 0

    def find_imbalances(self) -> list[str]:
        """Return a sentence for each balance that does not hold."""
        balances = (
            ("packets read", self.packets, "decoded + undecodable", self.decoded + self.undecodable),
            ("frames decoded", self.decoded, "analysed + skipped", self.analysed + sum(self.skipped.values())),
            ("faces published", self.published, "rows + rejected + waiting", self.rows + self.rejected + self.waiting),
        )
        return [
            f"{name} is {count}, but {others} is {total}" for name, count, others, total in balances if count != total
        ]

    def check(self, session_id: str, remedy: str | None = None) -> None:
        """Check the balances; ``remedy`` is the command that mends a session that is not whole.

        Raises:
            LedgerError: one does not hold, or faces still wait.
        """
        wrong = self.find_imbalances()
        if not wrong and self.waiting:
            wrong = [f"{self.waiting} faces still wait for inference"]
        if wrong:
            raise LedgerError(
                f"The ledger of session {session_id} does not balance: {'; '.join(wrong)}. The session is marked "
                f"incomplete; repeat it with: {remedy or f'emotrace analyze --resume {session_id}'}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the ledger as it stands in ``summary.json``."""
        return {
            "packets": {"read": self.packets, "undecodable": self.undecodable},
            "decoded": self.decoded,
            "analysed": self.analysed,
            "skipped": dict(self.skipped),
            "faces": {
                "published": self.published,
                "rows": self.rows,
                "rejected": self.rejected,
                "waiting": self.waiting,
            },
        }
