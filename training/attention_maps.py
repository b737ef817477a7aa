"""Where a network of paper B looks: its attention's weights as heat maps on faces, and their means by emotion."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional

from contracts.errors import UsageError
from training.contrast import preprocess
from training.datasets import FaceDataset
from training.experiments import Experiment
from training.networks.paper_b import SequenceNet
from training.picture import RIGHT_COLOUR, WRONG_COLOUR
from training.supervised import EVALUATION_BATCH, compute_logits

ROWS, COLUMNS = 3, 8


@torch.no_grad()
def compute_attention(network: nn.Module, images: Tensor) -> Tensor | None:
    """Return the weights (N T) that ``network``'s attention gives to the rows of ``images`` (N H W, uint8), from top to
    bottom, or None where it has no attention.
    """
    if not isinstance(network, SequenceNet) or not network.config.attention:
        return None
    device = next(network.parameters()).device
    parts = [network.read_sequence(preprocess(part.to(device)))[1] for part in torch.split(images, EVALUATION_BATCH)]
    return torch.cat([part.float().cpu() for part in parts if part is not None])


def average_attention(network: nn.Module, faces: FaceDataset) -> dict[str, list[float]] | None:
    """Return the mean weight of each row over the faces of each class, by its name; None without attention."""
    weights = compute_attention(network, torch.from_numpy(faces.images))
    if weights is None:
        return None
    labels = torch.from_numpy(faces.labels)
    return {
        name: [round(value, 4) for value in weights[labels == index].mean(0).tolist()]
        for index, name in enumerate(faces.label_names)
        if bool((labels == index).any())
    }


@torch.no_grad()
def draw_attention(
    network: nn.Module | None, experiment: Experiment, faces: FaceDataset, path: Path, seed: int = 0
) -> None:
    """Draw random ``faces``, the same for the same ``seed``, under the weights that the network's attention gives them.

    The sequence is the map's rows, so a face has bands: the brighter, the more weight, on one scale for all faces.

    Raises:
        UsageError: the network has no attention, or the path cannot be written or has no picture's suffix.
    """
    number = min(ROWS * COLUMNS, len(faces))
    chosen = np.sort(np.random.default_rng(seed).choice(len(faces), number, replace=False))
    images, truth = torch.from_numpy(faces.images[chosen]), faces.labels[chosen]
    weights = compute_attention(network, images) if network is not None else None
    if network is None or weights is None:
        raise UsageError(f"{experiment.name} has no attention to draw. Choose a run of attention_lda or acnn_lstm.")
    device = next(network.parameters()).device
    said = compute_logits(network, images.to(device), preprocess).argmax(-1).tolist()
    bands = functional.interpolate(weights[:, None], images.shape[1], mode="linear")[:, 0]  # N H

    figure = Figure(figsize=(COLUMNS * 1.5, ROWS * 1.95), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(ROWS, COLUMNS).flatten()
    for axis in axes:
        axis.axis("off")
    highest = float(bands.max())
    for axis, image, band, true, guess in zip(axes, images.numpy(), bands.numpy(), truth, said, strict=False):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255)
        heat_map = np.tile(band[:, None], image.shape[1])
        # Where there is little weight, the face is seen as it is.
        heat = axis.imshow(heat_map, cmap="inferno", vmin=0, vmax=highest, alpha=0.7 * heat_map / highest)
        axis.set_title(
            f"{'✓' if guess == true else '✗'} {experiment.labels[guess]}\ntrue: {experiment.labels[true]}",
            fontsize=8,
            color=RIGHT_COLOUR if guess == true else WRONG_COLOUR,
        )
    scale = ScalarMappable(heat.norm, heat.cmap)
    figure.colorbar(scale, ax=axes.tolist(), shrink=0.6, label=f"weight of one of {weights.shape[1]} rows")
    figure.suptitle(f"{experiment.name} on {faces.name}: where its attention looks", fontsize=10)
    try:
        canvas.print_figure(path, dpi=120)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The picture {path} cannot be written ({error}). Give a .png in an existing folder."
        ) from None
