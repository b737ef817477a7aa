"""Links that a browser follows by itself, beside the page's own connection: to play a recording, or to send one.

No page runs when such a link is asked for, so that nobody is there to ask for a role. A page that has asked makes the
link: an unguessable token stands for one visitor, one purpose and one subject, for half a day from the page's last run
(uploads take their time), in this process's memory alone.
"""

import secrets
import threading
import time
from typing import NamedTuple

from dashboard.identity import Visitor

GRANT_S = 12 * 3600.0
_MAX_GRANTS = 10_000


class Grant(NamedTuple):
    """What a link allows: ``visitor`` may do ``purpose`` with ``subject``."""

    visitor: Visitor
    purpose: str
    subject: str


class Grants:
    """The links that are good now."""

    def __init__(self, keep_s: float = GRANT_S) -> None:
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._tokens: dict[Grant, str] = {}
        self._kept: dict[str, tuple[Grant, float]] = {}  # the one that expires first stands first

    def issue(self, visitor: Visitor, purpose: str, subject: str) -> str:
        """Return the token for it; the same one is given, and kept for longer, as long as it is good."""
        grant, now_s = Grant(visitor, purpose, subject), time.monotonic()
        with self._lock:
            self._drop(now_s)
            token = self._tokens.setdefault(grant, secrets.token_urlsafe(32))
            self._kept.pop(token, None)
            self._kept[token] = (grant, now_s + self._keep_s)
            return token

    def redeem(self, token: str, purpose: str, visitor: Visitor) -> Grant | None:
        """Return what a token allows, None where it is unknown, too old, for another purpose or another visitor."""
        with self._lock:
            grant, until_s = self._kept.get(token, (None, 0.0))
        is_good = grant is not None and grant[:2] == (visitor, purpose) and time.monotonic() < until_s
        return grant if is_good else None

    def _drop(self, now_s: float) -> None:
        """Forget what is too old, and the oldest where there are too many."""
        while self._kept:
            token, (grant, until_s) = next(iter(self._kept.items()))
            if until_s > now_s and len(self._kept) < _MAX_GRANTS:
                return
            del self._kept[token], self._tokens[grant]


GRANTS = Grants()
