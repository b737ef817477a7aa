"""Commands that train models and measure them: arguments and options only."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Device, Json

app = typer.Typer()


class Backend(StrEnum):
    auto = "auto"
    torch = "torch"
    openvino = "openvino"


class Labels(StrEnum):
    fer2013 = "fer2013"
    ferplus = "ferplus"


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
def crops(
    videos: Annotated[
        list[str], typer.Argument(help="Recordings, folders of them, or patterns such as 'in/**/*.mp4'.")
    ],
    out: Annotated[Path, typer.Option(help="File to write: recordings.npz in the folder of the training data.")],
) -> None:
    """Write the face crops of recordings as a training file.

    The file holds people's faces: it stays with the data, under the same terms as the recordings.
    """
    from cli.crops import run

    raise typer.Exit(run(videos, out))


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
