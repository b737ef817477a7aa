"""The report's section on the temporal benchmark, from the record that ``benchmarks/temporal.py`` wrote."""

from pathlib import Path
from typing import Any

from contracts.model_card import DEFAULT_MODEL
from training.report_tables import make_table
from training.results import NONE
from training.temporal import SHORT_CROPS
from training.temporal_figures import draw_switch
from training.temporal_sets import SWITCHING_SETS

ABSENT = "The temporal benchmark has no record yet: `python benchmarks/temporal.py --data DATA`."
# What the pictures show, by the names that ``name_output`` gives them.
PICTURES = {"switch": "Accuracy around a switch of emotion", "real": "One real face over time"}


def name_output(kind: str, model_name: str) -> str:
    """Return the stem of a file of the benchmark: ``kind``, and the model's name where it is not the default one."""
    return kind if model_name == DEFAULT_MODEL else f"{kind}-{model_name}"


def make_temporal_section(records: list[dict[str, Any]], figures: Path) -> list[str]:
    """Return the section's parts, or a sentence where there is no record.

    The curves around a switch are drawn here; a real face is shown where the benchmark has drawn it.
    """
    if not records:
        return [ABSENT]
    return [part for record in records for part in _tell_model(record, figures)]


def _tell_model(record: dict[str, Any], figures: Path) -> list[str]:
    clips = next(iter(record["sets"].values()))["n"]
    reported = record["data"]["PublicTest-B"]
    parts = [
        f"### {record['model_id']}",
        f"Clips of 16 crops made from the {reported['n']:,} faces of PublicTest-B, {clips:,} in each set, every second "
        "crop spoilt; *unseen* sets are spoilt in ways that training never shows. The systems are the model on whole "
        "windows, its own CNN on each crop alone, and that CNN smoothed over time "
        f"({record['smoothing_tuned_on_training']}, chosen on clips made from Training). Accuracy of crops against the "
        f"FER+ majority in percent ± standard error over clips. Seed {record['seed']}, on {record['machine']}, torch "
        f"{record['torch']}: `{record['command']}`.",
        _make_sets_table(record["sets"]),
        "**What the temporal part must reach to have a reason to exist**",
        _make_floors_table(record["floors"]),
    ]
    ckplus, recordings = record.get("ckplus_ordered_frames"), record.get("real_recordings")
    if ckplus:
        parts.append(_make_ckplus_table(ckplus))
    if recordings:
        parts.append(_make_flips_table(recordings["total"]))
    model_name = record["model_id"].rpartition("-")[0]
    if record["sets"].keys() >= set(SWITCHING_SETS):
        draw_switch(record, figures / f"{name_output('temporal_switch', model_name)}.png")
    pictures = {f"{name_output(f'temporal_{kind}', model_name)}.png": words for kind, words in PICTURES.items()}
    return parts + [
        f"![{words}]({figures.name}/{name})" for name, words in pictures.items() if (figures / name).exists()
    ]


def make_held_out_section(records: list[dict[str, Any]]) -> list[str]:
    """Return the comparison of models on what none of them learned from, or nothing where there is no record."""
    if not records:
        return []
    lines = []
    for record in records:
        sets, ckplus, real = record["sets"], record["ckplus_ordered_frames"], record["real_recordings"]
        switching = sets["switching"]["systems"]["model"]
        figures = [sets["steady"]["systems"]["model"]["accuracy"], switching["accuracy"], switching["near_accuracy"]]
        figures.append(sets["switching, unseen"]["systems"]["model"]["accuracy"])
        on_ckplus = [_format(ckplus["accuracy"][name]) if ckplus else NONE for name in ("model", "cnn")]
        flips = real["total"]["systems"] if real else None
        minutes = real["total"]["face_minutes"] if real else None
        told = f"{flips['model']['flips']} of {flips['cnn']['flips']} in {minutes} minutes" if flips else NONE
        short = record.get("short_windows")
        neutral = _format(short["named_neutral"]["model"]) if short else NONE
        lines.append([record["model_id"], *map(_format, figures), *on_ckplus, neutral, told, record["machine"]])
    titles = (
        "model",
        "steady",
        "switching",
        "near the switch",
        "switching, unseen",
        "held-out CK+, windows",
        "frames alone",
        "neutral in short windows",
        "label flips, of the CNN's",
        "hardware",
    )
    return [
        "An experiment may teach the temporal part with half of CK+'s subjects and with unlabelled recordings. These "
        "figures are of clips of half B, and of the subjects and recordings that were held out (percent ± standard "
        f"error): `{records[0]['command']}`. *Neutral in short windows* are half B's neutral faces, each "
        f"shown {SHORT_CROPS} times within a tenth of a second, that are named neutral: CK+ has no neutral face, "
        "and its sequences are as short. What was made of this stands in `docs/decisions.md`.",
        make_table(titles, lines),
    ]


def _make_sets_table(sets: dict[str, Any]) -> str:
    """Return a line for each set and system."""
    lines = [
        [
            name,
            system,
            _format(figures["accuracy"]),
            _format(figures.get("near_accuracy")),
            f"{figures['event_f1']:.3f}",
            f"{figures['frame_macro_f1']:.3f}",
            f"{figures['ece']:.3f}",
            f"{figures['lag_crops']:.2f}" if figures.get("lag_crops") is not None else NONE,
            f"{100 * figures['switches_missed']:.0f} %" if "switches_missed" in figures else NONE,
        ]
        for name, of_set in sets.items()
        for system, figures in of_set["systems"].items()
    ]
    titles = (
        "set",
        "system",
        "accuracy",
        "accuracy near the switch",
        "event F1",
        "macro F1",
        "ECE",
        "lag in crops",
        "missed",
    )
    return make_table(titles, lines)


def _make_floors_table(floors: list[dict[str, Any]]) -> str:
    lines = [
        [
            row["what"],
            f"{row['found']}",
            f"at least {row['floor']}" if "floor" in row else f"at most {row['ceiling']}",
            "reached" if row["reached"] else "**missed**",
            f"{row['harder']}" if "harder" in row else NONE,
        ]
        for row in floors
    ]
    return make_table(("what", "found", "expected", "", "against a smoothing tuned on that very set"), lines)


def _make_ckplus_table(ckplus: dict[str, Any]) -> str:
    words, figures = {"model": "windows", "cnn": "frames alone"}, ("event_f1", "frame_macro_f1")
    lines = [
        [words[name], _format(accuracy), *(_format_f1(ckplus.get(key, {}).get(name)) for key in figures)]
        for name, accuracy in ckplus["accuracy"].items()
    ]
    told = f"CK+'s ordered frames ({ckplus['n_sequences']} sequences, {ckplus['n_frames']:,} frames, no training there)"
    return make_table((told, "accuracy", "event F1", "macro F1 of frames"), lines)


def _make_flips_table(total: dict[str, Any]) -> str:
    lines = [
        [name, str(system["flips"]), str(system["flips_per_minute"]), str(system["mean_distance_from_model"])]
        for name, system in total["systems"].items()
    ]
    titles = (
        f"on {total['face_minutes']} minutes of faces in recordings",
        "label flips",
        "per minute",
        "mean distance from the model",
    )
    return make_table(titles, lines)


def _format(value: dict[str, float] | None) -> str:
    return f"{value['mean']:.1f} ± {value['se']:.1f}" if value else NONE


def _format_f1(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
