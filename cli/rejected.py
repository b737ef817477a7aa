"""``emotrace rejected``: arguments and options only. What a command does is in ``cli.rejections``."""

from typing import Annotated

import typer

from cli.options import Database, Json, Redis

app = typer.Typer(help="Look at crop sequences that no worker could use, and put them back.", no_args_is_help=True)

EntryId = Annotated[str, typer.Argument(help="The entry's id, as the list shows it.", metavar="ID")]
Lane = Annotated[str | None, typer.Option(help="One lane only: live, batch, or the name in the list.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Entries' ids, as the list shows them.", metavar="ID...")]
All = Annotated[bool, typer.Option("--all", help="All that are listed, in place of ids.")]


@app.command("list")
def list_all(lane: Lane = None, redis: Redis = None, as_json: Json = False) -> None:
    """List rejected entries with their reasons."""
    from cli import rejections

    rejections.list_all(lane, redis_url=redis, as_json=as_json)


@app.command()
def show(entry_id: EntryId, lane: Lane = None, redis: Redis = None, as_json: Json = False) -> None:
    """Show an entry and what its message says, the pixels left out."""
    from cli import rejections

    rejections.show(entry_id, lane, redis_url=redis, as_json=as_json)


@app.command()
def requeue(
    ids: Ids = None, every: All = False, lane: Lane = None, redis: Redis = None, database: Database = None
) -> None:
    """Put entries back on their lane, to be tried again."""
    from cli import rejections

    rejections.requeue_all(ids or [], every, lane, redis_url=redis, database_url=database)


@app.command()
def discard(
    ids: Ids = None,
    every: All = False,
    lane: Lane = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    redis: Redis = None,
    database: Database = None,
) -> None:
    """Delete entries; the ledger goes on counting them as rejected."""
    from cli import rejections

    rejections.discard_all(ids or [], every, lane, yes=yes, redis_url=redis, database_url=database)
