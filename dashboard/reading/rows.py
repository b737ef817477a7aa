"""Tables row by row."""

from collections.abc import Iterator
from typing import Any

import pandas as pd


def iterate_rows(table: pd.DataFrame) -> Iterator[Any]:
    """Yield a table's rows, each with its columns as attributes, as plain Python values."""
    return iter(table.itertuples(index=False))
