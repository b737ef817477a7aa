"""How pages read: whoever asks a query is checked each time, and what was read is kept for all who may ask."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import update_wrapper
from typing import Generic, ParamSpec, TypeVar

import sqlalchemy as sa
import streamlit as st

from contracts.database import read_transaction
from dashboard.identity import require
from dashboard.services import open_services

P = ParamSpec("P")
R = TypeVar("R")
# Seconds for which an answer about something that goes on is good enough.
FRESH_S = 2.0


def read() -> AbstractContextManager[sa.Connection]:
    """Begin to read from the database.

    Raises:
        ServiceError: it is out of reach.
    """
    return read_transaction(open_services().engine)


class Query(Generic[P, R]):
    """A function that only visitors with ``role`` may call, and whose answers are kept."""

    def __init__(self, function: Callable[P, R], role: str, ttl: float, max_entries: int, spinner: str | bool) -> None:
        self.role = role
        self._kept = st.cache_data(ttl=ttl, max_entries=max_entries, show_spinner=spinner)(function)
        update_wrapper(self, function)

    def __call__(self, *arguments: P.args, **options: P.kwargs) -> R:
        """Return the answer.

        Raises:
            NotAllowedError: the visitor has not the role.
        """
        require(self.role)
        return self._kept(*arguments, **options)

    def clear(self) -> None:
        """Have everything be read anew: it was changed here."""
        self._kept.clear()


def query(
    role: str, *, ttl: float, max_entries: int, spinner: str | bool = False
) -> Callable[[Callable[P, R]], Query[P, R]]:
    """Make a function a query for visitors with ``role``; its answers are good for ``ttl`` seconds."""
    return lambda function: Query(function, role, ttl, max_entries, spinner)
