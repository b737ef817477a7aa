"""Options that several commands have."""

from enum import StrEnum
from typing import Annotated

import typer

Database = Annotated[
    str | None, typer.Option(help="Database URL (PostgreSQL or SQLite) in place of the embedded SQLite.")
]
Redis = Annotated[str | None, typer.Option(help="Redis or Valkey URL in place of the embedded Valkey.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on standard output.")]
HealthPort = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Serve /live, /ready and /metrics on this port.  [none]")
]


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
