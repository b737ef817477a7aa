"""Commands that run an installation and show how it goes: arguments and options only."""

from typing import Annotated

import typer

from cli.options import Database, Device, HealthPort, Json, Redis

app = typer.Typer()


@app.command()
def up(
    capacity: Annotated[int | None, typer.Option(min=0, help="Cameras at a time.  [8 a core]")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Inference processes.")] = 1,
    parts: Annotated[int, typer.Option(min=0, help="Parts of archives at a time.")] = 1,
    dashboard: Annotated[bool, typer.Option("--dashboard/--no-dashboard", help="Serve the dashboard too.")] = True,
    host: Annotated[
        str, typer.Option(help="The dashboard's address; others than this machine's own let others in.")
    ] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=1, max=65535, help="The dashboard's port.")] = 8501,
    database: Database = None,
    redis: Redis = None,
) -> None:
    """Run everything on this machine: cameras, inference, scheduler and dashboard, until Ctrl-C."""
    from cli.up import find_capacity, run

    cameras = find_capacity() if capacity is None else capacity
    raise typer.Exit(run(cameras, workers, parts, (host, port) if dashboard else None, redis, database))


@app.command()
def watch(
    source: Annotated[
        str,
        typer.Argument(
            help="A webcam (0 or /dev/video0), a URL (- reads it from standard input), a file, or a stream's name."
        ),
    ],
    fps: Annotated[float, typer.Option(help="Frames analysed per second, of a source that is no stream yet.")] = 10,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The dashboard's port.  [the first free one from 8501 on]")
    ] = None,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    database: Database = None,
    redis: Redis = None,
) -> None:
    """Look at one source live: its picture with boxes, labels and probabilities, until Ctrl-C."""
    from cli.watch import run

    raise typer.Exit(run(source, fps, port, browser, redis, database))


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
def scheduler(health_port: HealthPort = None) -> None:
    """Have the cameras run that are to run; one works, further ones stand by."""
    from cli.processes import run_scheduler

    run_scheduler(health_port)


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
