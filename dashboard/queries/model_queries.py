"""What the page Models reads: cards, and what uses which."""

from contextlib import suppress
from typing import NamedTuple

import msgspec
import pandas as pd

from contracts import model_uses
from contracts.errors import ModelError
from contracts.model_card import DEFAULT_MODEL, ModelCard, read_card
from dashboard.asking import query, read
from dashboard.identity import VIEWER

_FRESH_S = 10.0
USE_COLUMNS = ("model_id", "source_id", "kind", "name", "num_sessions", "num_open", "newest_at")


class Model(NamedTuple):
    """A model: its card, since when the database has it (None: no session names it yet), and whether new ones do."""

    card: ModelCard
    created_at: float | None
    is_default: bool


@query(VIEWER, ttl=_FRESH_S, max_entries=1)
def list_models() -> list[Model]:
    """Return the models, the one of new sessions first, then those stored last.

    Raises:
        ServiceError: the database is out of reach.
    """
    with read() as connection:
        stored = {row["model_id"]: row for row in model_uses.list_models(connection)}
    default = _find_default()
    found = []
    if default is not None:
        row = stored.get(default.model_id)
        found.append(Model(default, row["created_at"] if row is not None else None, True))
    for model_id, row in stored.items():
        if default is None or model_id != default.model_id:
            with suppress(msgspec.ValidationError):  # of another release
                found.append(Model(msgspec.convert(row["card"], ModelCard), row["created_at"], False))
    return found


@query(VIEWER, ttl=_FRESH_S, max_entries=1)
def list_uses() -> pd.DataFrame:
    """Return which source used which model, those used last first: ``USE_COLUMNS``.

    Raises:
        ServiceError: the database is out of reach.
    """
    with read() as connection:
        rows = model_uses.list_model_uses(connection)
    return pd.DataFrame(rows, columns=list(USE_COLUMNS))


def _find_default() -> ModelCard | None:
    """Return the card of the model that new sessions get, where it is installed here."""
    with suppress(ModelError):
        return read_card(DEFAULT_MODEL)
    return None
