"""What a camera's reader reports, in the order in which it happened.

``Connecting`` is followed by ``Connected`` or ``Disconnected``, each ``Connected`` by exactly one ``Disconnected``; one
such pair is a session. In between, each packet read is one ``LiveFrame``, ``UndecodablePacket`` or ``SkippedPacket``.
Moments (``at``, ``wall_s``, ``arrived_at``) are seconds of wall-clock time since 1970.
"""

from dataclasses import dataclass

from ingest.connection import Reason
from ingest.frames import Frame, UndecodablePacket
from ingest.sources import SourceFacts


@dataclass(frozen=True)
class Connecting:
    """An attempt begins."""

    attempt: int
    at: float


@dataclass(frozen=True)
class Connected:
    """A session begins: packets come."""

    facts: SourceFacts
    at: float


@dataclass(frozen=True)
class LiveFrame(Frame):
    """One decoded picture without known damage. ``arrived_at``: when its last packet did."""

    arrived_at: float


@dataclass(frozen=True)
class SkippedPacket:
    """A packet that gives no frame, for a ``reason`` of the ledger's: ``awaiting_keyframe`` or ``interrupted``."""

    pts: int
    time_s: float
    reason: str


@dataclass(frozen=True)
class ClockAnchor:
    """The camera's clock showed ``pts`` at ``wall_s``, as nearly as the packets' delays let us know."""

    pts: int
    wall_s: float


@dataclass(frozen=True)
class Disconnected:
    """A session or attempt is over; the next attempt begins ``retry_s`` later, or never (None).

    ``was_connected``: a ``Connected`` came before it.
    """

    reason: Reason
    message: str
    at: float
    retry_s: float | None
    was_connected: bool


CameraEvent = Connecting | Connected | LiveFrame | UndecodablePacket | SkippedPacket | ClockAnchor | Disconnected
