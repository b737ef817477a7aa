"""The report of all training runs: what a reader finds in it, made from run records alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli import report as report_command
from contracts.emotions import EMOTIONS
from contracts.errors import DataError, OutputError
from training.ckplus import CKPLUS_LABELS
from training.conditions import CONDITIONS, PLAIN
from training.evaluation import score
from training.measure import summarise_folds, to_figures
from training.records import write_record
from training.report import write_report

HARDWARE = "a processor, 2 threads"


def make_figures(accuracy: float, labels: tuple[str, ...], number: int, seed: int = 0) -> dict[str, Any]:
    """Figures of made-up answers that are right for about a share ``accuracy`` of the faces."""
    rng = np.random.default_rng(seed)
    truth = np.arange(number) % len(labels)
    said = np.where(rng.random(number) < accuracy, truth, rng.integers(0, len(labels), number))
    rows = np.full((number, len(labels)), 0.05, np.float32)
    rows[np.arange(number), said] = 1 - 0.05 * (len(labels) - 1)
    return to_figures(score(rows, truth, "m", "fer2013", labels))


def make_record(name: str, seed: int = 0, accuracy: float = 0.6, **changed: Any) -> dict[str, Any]:
    labels = tuple(changed.get("labels", EMOTIONS))
    original = make_figures(accuracy, labels, 200, seed)
    metrics = {"fer2013": original, "ferplus": make_figures(accuracy + 0.2, labels, 180, seed)}
    shorter = {kind: {"n": 150, "accuracy": 0.5, "macro_f1": 0.4} for kind in metrics}
    pair = {"PublicTest-B in Training": {"of": 200, "found": 23}}
    return {
        "kind": "training",
        "experiment": name,
        "title": f"the system {name}",
        "group": "paper A",
        "data": "fer2013",
        "labels": labels,
        "claim": None,
        "claim_note": "",
        "config": {"setting": {"epochs": 3, "augment": True, "oversample": False}},
        "starts_from": None,
        "seed": seed,
        "data_sets": {"Training": {"n": 1000, "sha256": "0123456789abcdef"}},
        "parameters": 123_456,
        "epochs": {"stills": 3, "clips": 2},
        "seconds_per_epoch": {"stills": 60.5, "clips": 9.0},
        "seconds": 199.5,
        "curves": [{"stage": "stills", "epoch": e, "loss": 2 / e, "seconds": 60.0, "accuracy": e / 5} for e in (1, 2)],
        "hardware": HARDWARE,
        "torch": "2.0",
        "date": "2026-01-02",
        "command": f"emotrace train --data DATA --experiment {name} --seed {seed}",
        "metrics": {"PublicTest-B": metrics},
        "ms_per_image": 0.31,
        "near_duplicates": {"of": 200, "in_training": 23, "max_distance": 4, "pairs": pair},
        "metrics_without_duplicates": shorter,
        **changed,
    }


def make_fold_record(name: str) -> dict[str, Any]:
    folds = [{**make_figures(0.8, CKPLUS_LABELS, 50, fold), "ms_per_image": 1.0} for fold in range(3)]
    record = make_record(name, group="paper B", data="ckplus", labels=CKPLUS_LABELS, claim=0.95, claim_note="by image")
    return {**record, "metrics": {"CK+": summarise_folds(folds)}, "folds": folds}


def make_conditions(accuracy: float) -> dict[str, Any]:
    names = (PLAIN, *CONDITIONS)
    figures = {"n": 200, "macro_precision": 0.5, "macro_recall": 0.4, "ms_per_image": 0.3}
    conditions = {name: {**figures, "accuracy": round(accuracy - 0.01 * k, 3)} for k, name in enumerate(names)}
    return {"conditions_labels": "ferplus", "conditions": conditions}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    served = make_record("production", group="production", accuracy=0.65, **make_conditions(0.8))
    write_record(folder / "production-seed0.json", served)
    for seed in (0, 1):
        record = make_record("cnn_bilstm", seed, claim=0.9, claim_note="on a split that is not told")
        write_record(folder / f"cnn_bilstm-seed{seed}.json", record)
    write_record(folder / "bold-seed0.json", make_record("bold", claim=0.3))
    write_record(folder / "folded-seed0.json", make_fold_record("folded"))
    (folder / "notes.json").write_text(json.dumps({"cnn": "too slow for this machine"}))
    return folder


@pytest.fixture(scope="module")
def out(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(records, tmp_path_factory.mktemp("out")).parent


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return (out / "RESULTS.md").read_text()


def find_rows(page: str, title: str) -> list[list[str]]:
    lines = [line for line in page.splitlines() if line.startswith(f"| {title} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def find_section(page: str, title: str) -> str:
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_a_row_stands_with_its_claim_its_seeds_its_epochs_and_its_hardware(page: str) -> None:
    figures, cost = find_rows(find_section(page, "Paper A"), "the system cnn_bilstm")
    assert figures[1:3] == ["claim: 0.900", "200"]
    assert "±" in figures[3]
    assert figures[-3:] == ["0, 1", "stills 3, clips 2", HARDWARE]
    assert cost[1:] == ["stills 60.5; clips 9.0", "3.3", "0.31 ± 0.00", "123,456", "random weights"]


def test_headline_systems_are_told_with_and_without_near_duplicates(page: str) -> None:
    section = find_section(page, "In short")
    by_labels = {row[1]: row for row in find_rows(section, "the system production")}
    assert set(by_labels) == {"FER+ majority", "original"}
    assert by_labels["FER+ majority"][2] == "180"
    assert by_labels["original"][5:8] == ["150", "0.500", "0.400"]
    assert "| seven emotions | PublicTest-B in Training | 200 | 23 | 11.5% | 4 |" in page


def test_rows_of_ck_plus_are_mean_and_deviation_over_folds(page: str) -> None:
    section = find_section(page, "Paper B")
    (figures, _) = find_rows(section, "the system folded")
    assert figures[2] == "150"
    assert "±" in figures[3]
    assert figures[7] == "3"
    assert "CK+, ten folds by subject (anger, contempt" in section


def test_an_experiment_without_a_record_says_why(page: str) -> None:
    section = find_section(page, "Paper A")
    assert "| not measured |" in section
    assert "too slow for this machine" in section
    assert "no run record yet: `emotrace train --experiment " in section


def test_claims_that_were_missed_say_what_was_tried_and_others_are_not_named(page: str) -> None:
    section = find_section(page, "Claims that could not be reproduced, and what was tried")
    rows = {row[1]: row for row in find_rows(section, "paper A, FER2013, 7 emotions")}
    assert rows["0.900"][4] == "the system cnn_bilstm"
    assert rows["0.900"][6].startswith("-") and rows["0.900"][6].endswith("points")
    assert rows["0.794"][2:] == ["–"] * 5
    assert "The papers claim 6 accuracies" in section
    assert "2 were not reached here by any setting, 3 were not measured" in section
    assert "*On the claims:* on a split that is not told" in section
    assert "- the system cnn_bilstm (FER2013, 7 emotions): **0." in section
    assert "** after stills 3, clips 2 epochs; setting (epochs 3, augment)" in section
    assert "bold" not in section


def test_what_differs_in_one_thing_is_compared_and_called_noise_where_it_is(tmp_path: Path) -> None:
    for name, accuracy in (("plain", 0.6), ("augmented", 0.61), ("oversampled", 0.9)):
        write_record(tmp_path / f"{name}.json", make_record(f"cnn_bilstm-{name}", accuracy=accuracy))
    note = {"note": "stopped once and gone on with"}
    write_record(tmp_path / "noted.json", make_record("cnn_bilstm", **note))
    page = write_report(tmp_path, tmp_path / "out").read_text()
    section = find_section(page, "What each part changes")
    (noise,) = find_rows(section, "the system cnn_bilstm-augmented")
    (better,) = find_rows(section, "the system cnn_bilstm-oversampled")
    assert (noise[1], noise[3], better[3]) == ("the system cnn_bilstm-plain", "within the noise", "better")
    assert better[2].startswith("+2") and " ± " in better[2]
    assert "*cnn_bilstm, seed 0:* stopped once and gone on with" in find_section(page, "Runs")


def test_seeds_on_ck_plus_count_as_one_figure_for_each_fold(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_record(tmp_path / f"folded-{seed}.json", {**make_fold_record("folded"), "seed": seed})
    write_report(tmp_path, tmp_path / "two")
    (tmp_path / "folded-1.json").unlink()
    write_report(tmp_path, tmp_path / "one")
    both, one = (
        find_rows(find_section((tmp_path / name / "RESULTS.md").read_text(), "Paper B"), "the system folded")[0]
        for name in ("two", "one")
    )
    assert both[3] == one[3]
    assert (both[8], one[8]) == ("0, 1", "0")


def test_conditions_and_recall_have_their_tables(page: str) -> None:
    conditions = find_section(page, "Conditions")
    assert [row[1] for row in find_rows(conditions, "eyes covered")][1:3] == ["0.500", "0.400"]
    assert "the system production: FER+ majority" in conditions
    recall = find_section(page, "Recall by emotion")
    assert {row[0] for row in find_rows(recall, "the system production")} == {"the system production"}
    assert "| faces | 29 | 29 | 29 | 29 | 28 | 28 | 28 |" in recall


def test_every_run_can_be_repeated_from_the_page(page: str) -> None:
    section = find_section(page, "Runs")
    assert (
        "`emotrace train --data DATA --experiment cnn_bilstm --seed 1` | 2026-01-02 | 2.0 | Training 01234567 |"
        in section
    )
    assert "The temporal benchmark has no record yet" in page


def test_the_same_records_give_the_same_bytes_and_every_figure_that_is_shown(
    records: Path, out: Path, page: str, tmp_path: Path
) -> None:
    write_report(records, tmp_path)
    files = sorted(path.relative_to(out) for path in out.rglob("*.*"))
    for path in files:
        assert (out / path).read_bytes() == (tmp_path / path).read_bytes(), path
    shown = {part.partition(")")[0] for part in page.split("](")[1:]}
    assert shown == {str(path) for path in files if path.suffix == ".png"}
    assert len(shown) >= 6


def test_the_temporal_benchmarks_record_becomes_a_section(tmp_path: Path) -> None:
    value = {"mean": 71.25, "se": 0.5}
    system = {"accuracy": value, "event_f1": 0.6, "frame_macro_f1": 0.5, "ece": 0.04}
    switching = {**system, "near_accuracy": value, "lag_crops": 0.61, "switches_missed": 0.2}
    record = {
        "kind": "temporal",
        "model_id": "production-1",
        "command": "python benchmarks/temporal.py --data DATA",
        "machine": HARDWARE,
        "torch": "2.0",
        "seed": 0,
        "data": {"PublicTest-B": {"n": 1756, "sha256": "0"}},
        "smoothing_tuned_on_training": "centred mean, radius 2",
        "floors": [
            {"what": "steady: points over the CNN", "found": 25.5, "floor": 20, "reached": True},
            {"what": "real clips: flips over the CNN's", "found": 0.7, "ceiling": 0.5, "reached": False},
        ],
        "sets": {
            "steady": {"n": 1500, "systems": {"model": system}},
            "switching": {"n": 1500, "systems": {"cnn": switching}},
        },
        # As older records have it.
        "ckplus_ordered_frames": {"n_sequences": 3, "n_frames": 9, "accuracy": {"model": {"mean": 70.0, "se": 2.0}}},
        "real_recordings": None,
    }
    write_record(tmp_path / "temporal.json", record)
    write_record(tmp_path / "temporal-base.json", {**record, "model_id": "base-2"})
    section = find_section(write_report(tmp_path, tmp_path / "out").read_text(), "Emotion over time")
    assert "| steady | model | 71.2 ± 0.5 | – | 0.600 | 0.500 | 0.040 | – | – |" in section
    assert "| switching | cnn | 71.2 ± 0.5 | 71.2 ± 0.5 | 0.600 | 0.500 | 0.040 | 0.61 | 20 % |" in section
    assert "| real clips: flips over the CNN's | 0.7 | at most 0.5 | **missed** |" in section
    assert "centred mean, radius 2" in section
    assert "| windows | 70.0 ± 2.0 | – | – |" in section
    assert section.index("### production-1") < section.index("### base-2")


def test_without_any_record_the_report_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_command.run(tmp_path / "absent", tmp_path / "out")
    assert f"wrote {tmp_path / 'out' / 'RESULTS.md'}" in capsys.readouterr().out
    page = (tmp_path / "out" / "RESULTS.md").read_text()
    assert "Nothing has been measured yet" in page
    assert "There are no runs yet." in page


def test_a_damaged_record_or_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "cnn-seed0.json").write_text("{")
    with pytest.raises(DataError, match=r"cnn-seed0\.json is no run record"):
        write_report(tmp_path, tmp_path / "out")
    (tmp_path / "cnn-seed0.json").unlink()
    (tmp_path / "notes.json").write_text("[]")
    with pytest.raises(DataError, match=r"notes\.json cannot be read"):
        write_report(tmp_path, tmp_path / "out")


def test_a_record_that_lacks_something_is_named_and_so_is_what_it_lacks(tmp_path: Path) -> None:
    record = make_record("cnn")
    del record["metrics"]["PublicTest-B"]["fer2013"]["macro_f1"]
    write_record(tmp_path / "cnn-seed0.json", record)
    with pytest.raises(DataError, match=r"cnn-seed0\.json is no whole run record .*macro_f1.* Run the training again"):
        write_report(tmp_path, tmp_path / "out")
    write_record(tmp_path / "cnn-seed0.json", {"kind": "odd"})
    with pytest.raises(DataError, match=r"kind is 'odd', expected training or temporal"):
        write_report(tmp_path, tmp_path / "out")


def test_a_record_that_cannot_be_written_loses_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"figure that is no number: the training diverged"):
        write_record(tmp_path / "cnn-seed0.json", {"seconds": float("nan")})
    assert not (tmp_path / "cnn-seed0.json").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written .* what is trained is kept"):
        write_record(tmp_path / "file" / "cnn-seed0.json", {"seconds": 1.0})


def test_attention_is_shown_where_a_record_has_it(tmp_path: Path) -> None:
    weights = {"happy": [0.2, 0.8], "sad": [0.5, 0.5]}
    write_record(tmp_path / "records" / "a.json", make_record("attention_lda", group="paper B", attention=weights))
    section = find_section(write_report(tmp_path / "records", tmp_path / "out").read_text(), "Attention")
    assert "figures/attention.png" in section
    assert (tmp_path / "out" / "figures" / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written .* Give another --out"):
        write_report(tmp_path / "absent", tmp_path / "file")
