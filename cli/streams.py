"""``emotrace stream``: arguments and options only. What a command does is in ``cli.registry``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Database, Json

app = typer.Typer(help="Add, show and change camera streams.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The stream's name, or a beginning of its id (8 characters or more).")]
_PREVIEW_HELP = "Whether the dashboard may show what it sees now."
_URL_HELP = (
    "rtsp(s):// or http(s):// URL, a webcam (0 or /dev/video0) or a file, looped; - reads it from standard input, so "
    "that a password stays out of the shell's history."
)


class Profile(StrEnum):
    live = "live"
    driver = "driver"
    batch = "batch"


class Transport(StrEnum):
    tcp = "tcp"
    udp = "udp"


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name for the stream.")],
    url: Annotated[str, typer.Argument(help=_URL_HELP)],
    profile: Annotated[
        Profile, typer.Option(help="How windows are cut; driver keeps the largest steady face alone.")
    ] = Profile.live,
    fps: Annotated[float, typer.Option(help="Frames analysed per second.")] = 10,
    transport: Annotated[Transport | None, typer.Option(help="What carries RTSP's video.  [tcp]")] = None,
    enabled: Annotated[bool, typer.Option("--enabled/--disabled", help="Whether it is to run.")] = True,
    preview: Annotated[bool, typer.Option("--preview/--no-preview", help=_PREVIEW_HELP)] = False,
    database: Database = None,
) -> None:
    """Add a stream."""
    from cli import registry

    registry.add(
        name,
        url,
        profile=profile.value,
        fps=fps,
        transport=transport.value if transport else None,
        enabled=enabled,
        preview=preview,
        database_url=database,
    )


@app.command("list")
def list_all(database: Database = None, as_json: Json = False) -> None:
    """List the streams."""
    from cli import registry

    registry.list_all(database_url=database, as_json=as_json)


@app.command()
def show(name: Name, database: Database = None, as_json: Json = False) -> None:
    """Show a stream."""
    from cli import registry

    registry.show(name, database_url=database, as_json=as_json)


@app.command()
def enable(name: Name, database: Database = None) -> None:
    """Have a stream run."""
    from cli import registry

    registry.set_enabled(name, True, database_url=database)


@app.command()
def disable(name: Name, database: Database = None) -> None:
    """Have a stream stop, and stay stopped."""
    from cli import registry

    registry.set_enabled(name, False, database_url=database)


@app.command()
def edit(
    name: Name,
    url: Annotated[str | None, typer.Option(help=_URL_HELP)] = None,
    new_name: Annotated[
        str | None, typer.Option("--name", help="A new name; its sessions are listed under it.")
    ] = None,
    profile: Annotated[Profile | None, typer.Option(help="How windows are cut.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames analysed per second.")] = None,
    transport: Annotated[Transport | None, typer.Option(help="What carries RTSP's video.")] = None,
    preview: Annotated[bool | None, typer.Option("--preview/--no-preview", help=_PREVIEW_HELP)] = None,
    database: Database = None,
) -> None:
    """Change a stream; what is not given stays as it is."""
    from cli import registry

    registry.edit(
        name,
        url=url,
        new_name=new_name,
        profile=profile.value if profile else None,
        fps=fps,
        transport=transport.value if transport else None,
        preview=preview,
        database_url=database,
    )


@app.command("test")
def try_out(
    url: Annotated[str, typer.Argument(help=_URL_HELP)],
    transport: Annotated[Transport | None, typer.Option(help="What carries RTSP's video.  [tcp]")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to watch from the first frame on.")] = 5.0,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the first packet.")] = 10.0,
    snapshot: Annotated[Path | None, typer.Option(help="Also save the first picture (PNG or JPEG) here.")] = None,
    as_json: Json = False,
) -> None:
    """Open a camera as the pipeline would, and say what comes: codec, size, rate, faces."""
    from cli import registry, stream_test

    stream_test.run(
        registry.read_source(url),
        transport=transport.value if transport else None,
        seconds=seconds,
        open_timeout_s=timeout,
        snapshot=snapshot,
        as_json=as_json,
    )


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    database: Database = None,
) -> None:
    """Remove a stream; its sessions and their rows stay."""
    from cli import registry

    registry.remove(name, yes=yes, database_url=database)


@app.command()
def rekey(database: Database = None) -> None:
    """Encrypt all credentials anew with the key file's first key."""
    from cli import registry

    registry.rekey(database_url=database)
