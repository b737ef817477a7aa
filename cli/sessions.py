"""``emotrace sessions``."""

import json
import sys
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.messages import to_line
from cli.services import open_engine
from contracts import store
from contracts.database import read_transaction


def run(database_url: str | None, limit: int, as_json: bool) -> None:
    with open_engine(database_url) as (_, engine, _), read_transaction(engine) as connection:
        rows = store.list_sessions(connection, limit)
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    if not rows:
        print("No sessions yet. Begin with: emotrace analyze VIDEO")
        return
    table = Table(box=None, header_style="bold")
    for name in ("session", "source", "status", "rows", "seconds", "model", "started"):
        table.add_column(name, justify="right" if name in ("rows", "seconds") else "left", no_wrap=name == "session")
    for row in rows:
        table.add_row(
            row["session_id"],
            escape(to_line(row["source"])),
            row["status"],
            str(row["num_rows"]),
            f"{row['facts'].get('last_time_s', 0):.1f}",
            row["model_id"],
            datetime.fromtimestamp(row["started_at"]).strftime("%Y-%m-%d %H:%M"),
        )
    # A pipe has no width of its own; lines are not to be broken for one.
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)
