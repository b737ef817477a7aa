"""``emotrace export``."""

import os
import sys
from pathlib import Path

from cli.services import open_engine
from contracts import store
from contracts.database import read_transaction
from contracts.errors import UsageError
from reports.tables import export_table, write_csv, write_json, write_parquet

_WRITERS = {"csv": write_csv, "parquet": write_parquet, "json": write_json}


def run(session_id: str, table_format: str, out: Path | None, database_url: str | None) -> None:
    if out is None and table_format == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is binary and this is a terminal. Name a file with --out.")
    with open_engine(database_url) as (_, engine, _), read_transaction(engine) as connection:
        session = store.read_session(connection, session_id)
        if out is not None:
            _WRITERS[table_format](connection, session, out)
        else:
            try:
                export_table(connection, session, table_format, sys.stdout.buffer)
                sys.stdout.flush()
            except BrokenPipeError:
                # Whoever read it has seen enough; Python would complain again when it closes the stream.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if session["status"] != store.COMPLETE:
            print(f"emotrace: session {session['session_id']} is {session['status']}, not complete", file=sys.stderr)
