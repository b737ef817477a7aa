"""The figures that people read of a model: its page and the README say what its card and its records say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from contracts.model_card import DEFAULT_MODEL, WEIGHTS_DIR, list_models, read_card
from training.records import RECORDS_DIR
from training.report_temporal import name_output

README = Path(__file__).parent.parent / "README.md"
COLUMNS = (
    ("steady", "accuracy"),
    ("switching", "accuracy"),
    ("switching", "near_accuracy"),
    ("steady, unseen", "accuracy"),
    ("switching, unseen", "accuracy"),
)


def read_temporal(name: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((RECORDS_DIR / f"{name_output('temporal', name)}.json").read_text())
    return record


def list_temporal_rows(name: str) -> list[str]:
    """The cells of the model, its CNN and its smoothed CNN, as the pages write them."""
    sets = read_temporal(name)["sets"]
    systems = ("model", "cnn", "smoothed")
    found = [[sets[of_set]["systems"][system][key] for of_set, key in COLUMNS] for system in systems]
    return [" | ".join(f"{value['mean']:.1f} ({value['se']:.1f})" for value in row) for row in found]


@pytest.mark.parametrize("name", list_models())
def test_a_models_page_holds_the_figures_of_its_card(name: str) -> None:
    page = (WEIGHTS_DIR / f"{name}.md").read_text()
    for labels, found in read_card(name).figures["PublicTest-B"].items():
        assert f"| {found['n']:,} | {found['accuracy']:.3f} | {found['macro_f1']:.3f} | {found['ece']:.3f} |" in page
        by_emotion = r" \| ".join(rf"{value:.2f} \(\d+\)" for value in found["f1"].values())
        assert re.search(by_emotion, page), labels


@pytest.mark.parametrize("name", list_models())
def test_a_models_page_holds_what_the_temporal_benchmark_found_of_these_weights(name: str) -> None:
    page = (WEIGHTS_DIR / f"{name}.md").read_text()
    assert read_temporal(name)["model_id"] == read_card(name).model_id
    for row in list_temporal_rows(name):
        assert row in page


def test_the_readme_holds_the_figures_of_the_model_that_is_used() -> None:
    page = README.read_text()
    for found in read_card(DEFAULT_MODEL).figures["PublicTest-B"].values():
        assert f"| {found['n']:,} | {found['accuracy']:.3f} | {found['macro_f1']:.3f} |" in page
    for row in list_temporal_rows(DEFAULT_MODEL):
        assert row in page
