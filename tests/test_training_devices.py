"""What training and measuring ask of a device."""

import time

import pytest
import torch

from training import devices
from training.devices import autocast, read_clock_s

CPU = torch.device("cpu")


def test_time_spent_asleep_is_not_counted_as_work() -> None:
    start_s = read_clock_s(CPU)
    time.sleep(0.3)
    assert read_clock_s(CPU) - start_s < 0.2


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
def test_products_are_computed_in_the_precision_that_suits_the_processor(
    precision: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "find_precision", lambda _: precision)
    with autocast(CPU):
        assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == precision
