"""The clips of the temporal benchmark: steady and switching, spoilt in ways that training shows or never shows."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from contracts.errors import DataError
from training.clips import render
from training.corruptions import SEEN, UNSEEN, Corruption
from training.datasets import FaceDataset

LENGTH = 16
STEP_S = 0.1
# A switching clip shows its first still for at least this many crops, and its second one.
MIN_RUN = 4
# Of each spoilt crop little is left.
STRENGTHS = (0.7, 1.0)
_CLIPS_PER_PASS = 64

# Whether the emotion switches, and which corruptions spoil every second crop.
_PLANS: dict[str, tuple[bool, tuple[Corruption, ...]]] = {
    "steady": (False, SEEN),
    "switching": (True, SEEN),
    "steady, unseen": (False, UNSEEN),
    "switching, unseen": (True, UNSEEN),
}
SET_NAMES = tuple(_PLANS)
SWITCHING_SETS = tuple(name for name, (is_switching, _) in _PLANS.items() if is_switching)


@dataclass(frozen=True)
class ClipSet:
    """N clips: ``crops`` uint8 (N T H W), ``times_s`` (T), class indices ``truth`` (N T), ``is_spoilt`` (N T).

    ``switch_at`` (N) is the position of the first crop of the second still, or T in a steady clip.
    """

    name: str
    crops: NDArray[np.uint8]
    times_s: list[float]
    truth: NDArray[np.int64]
    is_spoilt: NDArray[np.bool_]
    switch_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.crops)


def make_set(name: str, faces: FaceDataset, truth: NDArray[np.int64], number: int, seed: int) -> ClipSet:
    """Return ``number`` clips of the set ``name``, at 10 crops per second, with every second crop spoilt.

    They are made from ``faces`` with class indices ``truth``. A steady clip shows one still, a switching one turns at
    once into a still of another emotion, somewhere between the fourth crop and the fourth from the end.

    Raises:
        DataError: the faces show one emotion only.
    """
    if len(np.unique(truth)) < 2:
        raise DataError(f"{faces.name} shows one emotion only, so no clip could switch. Give faces of several.")
    is_switching, corruptions = _PLANS[name]
    seed += SET_NAMES.index(name)
    generator = Generator().manual_seed(seed)
    emotions = torch.from_numpy(truth)
    first = torch.randint(len(faces), (number,), generator=generator)
    second = _draw_others(emotions, first, generator)
    switch_at = torch.randint(MIN_RUN, LENGTH - MIN_RUN + 1, (number,), generator=generator)
    switch_at = switch_at if is_switching else torch.full_like(switch_at, LENGTH)
    position = torch.arange(LENGTH)[None, :]
    is_first = position < switch_at[:, None]
    shares = torch.stack((is_first, ~is_first), -1).float()
    parity = torch.randint(0, 2, (number, 1), generator=generator)
    is_spoilt = position % 2 == parity
    times_s = (torch.arange(LENGTH) * STEP_S).expand(number, LENGTH)
    images = torch.from_numpy(faces.images)
    crops = [
        render(
            torch.stack((images[first[part]], images[second[part]]), 1).float(),
            shares[part],
            times_s[part],
            is_spoilt[part],
            corruptions,
            STRENGTHS,
            generator,
        )
        .round()
        .to(torch.uint8)
        for part in torch.split(torch.arange(number), _CLIPS_PER_PASS)
    ]
    return ClipSet(
        name,
        torch.cat(crops).numpy(),
        times_s[0].tolist(),
        torch.where(is_first, emotions[first][:, None], emotions[second][:, None]).numpy(),
        is_spoilt.numpy(),
        switch_at.numpy(),
    )


def describe_sets() -> dict[str, object]:
    """Return what the sets are made of, for the record."""
    return {
        "window_length": LENGTH,
        "step_s": STEP_S,
        "shortest_run_crops": MIN_RUN,
        "spoilt": "every second crop",
        "strengths": STRENGTHS,
        "corruptions": {name: [corrupt.__name__ for corrupt in kinds] for name, (_, kinds) in _PLANS.items()},
    }


def _draw_others(emotions: Tensor, first: Tensor, generator: Generator) -> Tensor:
    """Draw for each index of ``first`` (N) the index of a face of another emotion."""
    second = torch.randint(len(emotions), first.shape, generator=generator)
    while (emotions[first] == emotions[second]).any():
        again = torch.randint(len(emotions), first.shape, generator=generator)
        second = torch.where(emotions[first] == emotions[second], again, second)
    return second
