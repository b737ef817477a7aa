"""The figures of a model card, as tables: cards differ, so what they say is laid out as it is found."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from contracts.emotions import EMOTIONS
from dashboard.texts import to_line

_MAX_ROWS = 200


def list_figures(figures: Mapping[str, Any]) -> pd.DataFrame:
    """Return the single figures: what they are of, their name, and their value as a text."""
    rows = [(of, name, tell_value(value)) for of, name, value in _walk(figures, "")]
    return pd.DataFrame(rows[:_MAX_ROWS], columns=["of", "figure", "value"])


def list_scores(figures: Mapping[str, Any]) -> pd.DataFrame:
    """Return the figures that there are for each emotion: a row each, named in ``score``, a column for each emotion."""
    rows = [
        {"score": name, **{one: float(values[one]) for one in EMOTIONS}} for name, values in _find_scores(figures, "")
    ]
    return pd.DataFrame(rows, columns=["score", *EMOTIONS])


def tell_value(value: Any) -> str:
    """Return a value of a card as a text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return to_line(", ".join(map(str, value)), 200)
    return to_line(str(value), 200)


def _is_score(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == set(EMOTIONS)
        and all(isinstance(one, int | float) for one in value.values())
    )


def _walk(figures: Mapping[str, Any], of: str) -> Iterator[tuple[str, str, Any]]:
    for name, value in figures.items():
        if not isinstance(value, Mapping):
            yield of, to_line(str(name)), value
        elif not _is_score(value):
            yield from _walk(value, _join(of, name))


def _find_scores(figures: Mapping[str, Any], of: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, value in figures.items():
        if _is_score(value):
            yield _join(of, name), value
        elif isinstance(value, Mapping):
            yield from _find_scores(value, _join(of, name))


def _join(of: str, name: Any) -> str:
    return f"{of} · {to_line(str(name))}" if of else to_line(str(name))
