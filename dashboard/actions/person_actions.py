"""What analysts change about who is who in a session. Each change and its audit are stored together.

``version`` is that of the faces which the visitor saw when they decided (``person_queries.read_faces``).
"""

from collections.abc import Callable, Sequence

import sqlalchemy as sa
import streamlit as st

from contracts import audits, track_edits, track_history
from dashboard.changes import commit
from dashboard.identity import ANALYST, Visitor, require


def rename_person(session_id: str, version: int, person_id: int, name: str) -> str:
    """Give a face a name, or take it back (an empty one); return what was done, in words.

    Raises:
        NotAllowedError: the visitor is no analyst.
        UsageError: it cannot be done.
        ConflictError: somebody else edited the faces since ``version``; nothing was overwritten.
        ServiceError: the database is out of reach.
    """
    visitor = require(ANALYST)
    return _edit(
        visitor,
        session_id,
        track_history.RENAME,
        lambda connection: track_edits.rename_person(connection, session_id, version, person_id, name, visitor.name),
    )


def merge_persons(session_id: str, version: int, person_ids: Sequence[int]) -> str:
    """Make one person of several, who goes by the first of them; return what was done, in words.

    Raises:
        NotAllowedError, UsageError, ConflictError, ServiceError: as in ``rename_person``.
    """
    visitor = require(ANALYST)
    return _edit(
        visitor,
        session_id,
        track_history.MERGE,
        lambda connection: track_edits.merge_persons(connection, session_id, version, person_ids, visitor.name),
    )


def split_person(session_id: str, version: int, person_id: int, at_s: float) -> str:
    """Make two of a face at a moment in the session's seconds; return what was done, in words.

    Raises:
        NotAllowedError, UsageError, ConflictError, ServiceError: as in ``rename_person``.
    """
    visitor = require(ANALYST)
    return _edit(
        visitor,
        session_id,
        track_history.SPLIT,
        lambda connection: track_edits.split_person(connection, session_id, version, person_id, at_s, visitor.name),
    )


def undo_edit(session_id: str, version: int) -> str:
    """Put back what the newest edit changed; return what was done, in words.

    Raises:
        NotAllowedError, UsageError, ConflictError, ServiceError: as in ``rename_person``.
    """
    visitor = require(ANALYST)
    return _edit(
        visitor,
        session_id,
        track_history.UNDO,
        lambda connection: track_edits.undo_edit(connection, session_id, version, visitor.name),
    )


def _edit(visitor: Visitor, session_id: str, action: str, edit: Callable[[sa.Connection], str]) -> str:
    def write(connection: sa.Connection) -> str:
        text = edit(connection)
        audits.record_change(connection, visitor.name, f"track.{action}", session_id, done=text)
        return text

    done = commit(write)
    # All that was read of the session told of other faces.
    st.cache_data.clear()
    return done
