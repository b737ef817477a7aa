"""What pages read of recordings' files: whether one can be played, and the link under which its player finds it."""

from dataclasses import dataclass

from contracts import store
from contracts.playback import Playable, find_playable
from dashboard.asking import read
from dashboard.grants import GRANTS
from dashboard.identity import VIEWER, require

WATCH = "watch"


@dataclass(frozen=True)
class PlayableLink:
    """A recording that can be played, and the path on this server that its player asks."""

    recording: Playable
    path: str


def find_player(session_id: str) -> PlayableLink:
    """Return what a player of a session's recording needs.

    Raises:
        NotAllowedError: the visitor may not see it.
        UsageError: there is no such session.
        SourceError: it cannot be played, with the reason.
    """
    visitor = require(VIEWER)
    with read() as connection:
        recording = find_playable(store.read_session(connection, session_id))
    return PlayableLink(recording, f"/recordings/{GRANTS.issue(visitor, WATCH, session_id)}")
