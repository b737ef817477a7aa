"""Tables behind charts, and their files: exactly what is shown, with the model and the settings that made it."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]
import streamlit as st
from pyarrow import parquet

from contracts.timelines import VALUES
from dashboard.actions.exporting_actions import prepare_file
from dashboard.reading.panels import Panel

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def make_table(panels: Sequence[Panel], zone: ZoneInfo | None) -> pd.DataFrame:
    """Return the points of panels as a table: one row a point, with its face and time (wall-clock for a ``zone``)."""
    parts = []
    for panel in panels:
        points = panel.points
        spread = bool((points["num_faces"] > 1).any())
        part = pd.DataFrame({"face": [panel.name] * len(points), "time_s": points["time_s"].to_numpy()})
        if zone is not None:
            part["time"] = pd.to_datetime(part["time_s"], unit="s", utc=True).dt.tz_convert(zone)
        for name in ("label", "confidence", *VALUES):
            part[name] = points[name].to_numpy()
            if spread and name in VALUES:
                part[f"{name}_min"], part[f"{name}_max"] = (
                    points[f"{name}_{end}"].to_numpy() for end in ("min", "max")
                )
        part["rows"], part["uncertain"] = points["num_faces"].to_numpy(), points["num_uncertain"].to_numpy()
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def describe_columns(table: pd.DataFrame) -> dict[str, Any]:
    """Return how a table's columns are shown: three decimals, so that nothing looks more exact than it is."""
    numbers = [name for name in table.columns if pd.api.types.is_float_dtype(table[name])]
    return {name: st.column_config.NumberColumn(format="%.3f") for name in numbers}


def offer(table: pd.DataFrame, about: Mapping[str, Any], key: str) -> None:
    """Offer a table as CSV and Parquet. ``about`` has session_id, source, model_id and settings.

    Raises:
        NotAllowedError: the visitor is not logged in any more.
    """
    session_id = str(about["session_id"])
    name = f"emotrace-{session_id[:13] or 'camera'}"
    with st.container(horizontal=True):
        for label, kind, ending, write in (
            ("CSV", "text/csv", "csv", to_csv),
            ("Parquet", "application/vnd.apache.parquet", "parquet", to_parquet),
        ):
            st.download_button(
                label,
                prepare_file(
                    partial(_write, write, table, about), "table.export", session_id, kind=ending, rows=len(table)
                ),
                f"{name}.{ending}",
                kind,
                key=f"{ending}-{key}",
                icon=":material/download:",
                help="What is shown above, with the model and the settings.",
                on_click="ignore",
            )


def _write(
    write: Callable[[pd.DataFrame, Mapping[str, Any]], bytes],
    table: pd.DataFrame,
    about: Mapping[str, Any],
    _author: str,
) -> bytes:
    return write(table, about)


def to_csv(table: pd.DataFrame, about: Mapping[str, Any]) -> bytes:
    """Return a table as UTF-8 CSV; its last columns name source, session, model and settings."""
    return _add_origin(table, about).to_csv(index=False).encode()


def to_parquet(table: pd.DataFrame, about: Mapping[str, Any]) -> bytes:
    """Return a table as Parquet, with the same columns as the CSV."""
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pandas(_add_origin(table, about), preserve_index=False), buffer)
    return buffer.getvalue()


def guard_cell(text: str) -> str:
    """Return ``text`` so that no spreadsheet runs it: one that begins like a formula gets an apostrophe before it."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULAS) else text


def unguard_cell(text: str) -> str:
    """Return ``text`` without the apostrophe of ``guard_cell``."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULAS) else text


def _add_origin(table: pd.DataFrame, about: Mapping[str, Any]) -> pd.DataFrame:
    words = [name for name in ("face", "strip") if name in table]
    table = table.assign(**{name: table[name].map(guard_cell) for name in words})
    return table.assign(
        source=guard_cell(str(about["source"])),
        session=about["session_id"],
        model=about["model_id"],
        settings=json.dumps(about["settings"], sort_keys=True),
    )
