"""What someone who opens an exported table finds in it."""

import csv
import io
import json
import math
import os
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from reported_sessions import CARD, make_probabilities, make_row, make_session, open_store

from contracts.database import read_transaction
from contracts.emotions import EMOTIONS, compute_valence, find_label
from contracts.errors import OutputError, UsageError
from reports.tables import export_table, write_csv, write_json, write_parquet

COLUMNS = (
    "source,session_id,track_id,frame_index,pts,time_s,x1,y1,x2,y2,detection_score,quality,"
    "angry,disgust,fear,happy,sad,surprise,neutral,label,confidence,valence,model,joined_id"
)


def make_rows(number: int) -> list[dict[str, object]]:
    return [make_row(1 + i % 2, 0.04 * i, one) for i, one in enumerate(make_probabilities(number))]


def test_csv_has_the_promised_columns_and_one_line_per_face(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, make_rows(50), name='a, "quoted" name.mp4')
    with read_transaction(engine) as connection:
        write_csv(connection, session, tmp_path / "emotions.csv")
    text = (tmp_path / "emotions.csv").read_text()
    assert text.splitlines()[0] == COLUMNS
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 50
    assert {row["source"] for row in rows} == {'a, "quoted" name.mp4'}
    assert {row["model"] for row in rows} == {CARD.model_id}
    assert [float(row["time_s"]) for row in rows] == sorted(float(row["time_s"]) for row in rows)


def test_label_confidence_and_valence_of_each_row_are_those_of_the_contract(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    tie = [0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0]
    session = make_session(engine, [*make_rows(30), make_row(3, 5.0, tie)])
    with read_transaction(engine) as connection:
        write_parquet(connection, session, tmp_path / "emotions.parquet")
    rows = parquet.read_table(tmp_path / "emotions.parquet").to_pylist()
    for row in rows:
        probabilities = [row[name] for name in EMOTIONS]
        assert (row["label"], row["confidence"]) == find_label(probabilities)
        assert row["valence"] == compute_valence(probabilities)
    assert rows[-1]["label"] == "angry"


def test_rounded_probabilities_in_csv_still_sum_to_one(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, make_rows(300))
    with read_transaction(engine) as connection:
        write_csv(connection, session, tmp_path / "emotions.csv")
    with (tmp_path / "emotions.csv").open() as file:
        for row in csv.DictReader(file):
            assert math.isclose(sum(float(row[name]) for name in EMOTIONS), 1.0, abs_tol=1e-5)
            assert all(len(row[name]) <= 8 or "e" in row[name] for name in EMOTIONS)


def test_a_session_without_faces_gives_a_header_a_schema_and_an_empty_array(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine)
    with read_transaction(engine) as connection:
        write_csv(connection, session, tmp_path / "emotions.csv")
        write_parquet(connection, session, tmp_path / "emotions.parquet")
        write_json(connection, session, tmp_path / "emotions.json")
    assert (tmp_path / "emotions.csv").read_text() == COLUMNS + "\n"
    table = parquet.read_table(tmp_path / "emotions.parquet")
    assert table.num_rows == 0 and table.column_names == COLUMNS.split(",")
    assert json.loads((tmp_path / "emotions.json").read_text()) == []


def test_json_is_an_array_of_objects_equal_to_the_parquet_rows(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, make_rows(20), name="schön.mp4")
    with read_transaction(engine) as connection:
        write_json(connection, session, tmp_path / "emotions.json")
        write_parquet(connection, session, tmp_path / "emotions.parquet")
    rows = json.loads((tmp_path / "emotions.json").read_text(encoding="utf-8"))
    assert rows == parquet.read_table(tmp_path / "emotions.parquet").to_pylist()
    assert list(rows[0]) == COLUMNS.split(",")


@pytest.mark.parametrize("table_format", ["csv", "parquet", "json"])
def test_a_table_can_be_piped_into_another_program(tmp_path: Path, table_format: str) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, make_rows(20))
    reading, writing = os.pipe()
    with read_transaction(engine) as connection, os.fdopen(writing, "wb") as pipe:
        export_table(connection, session, table_format, pipe)
    with os.fdopen(reading, "rb") as pipe:
        piped = pipe.read()
    write = {"csv": write_csv, "parquet": write_parquet, "json": write_json}[table_format]
    with read_transaction(engine) as connection:
        write(connection, session, tmp_path / "table")
    assert piped == (tmp_path / "table").read_bytes()


def test_an_unknown_format_is_a_usage_error_that_names_the_known_ones(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine)
    with read_transaction(engine) as connection, pytest.raises(UsageError, match="csv, parquet, json"):
        export_table(connection, session, "xlsx", io.BytesIO())


@pytest.mark.parametrize("table_format", ["csv", "parquet", "json"])
def test_a_full_disk_is_a_clear_error(tmp_path: Path, table_format: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    engine = open_store(tmp_path)
    session = make_session(engine, make_rows(20))
    with (
        read_transaction(engine) as connection,
        Path("/dev/full").open("wb", buffering=0) as file,
        pytest.raises(OutputError, match=r"/dev/full cannot be written: .*space"),
    ):
        export_table(connection, session, table_format, file)


def test_a_broken_pipe_is_left_to_the_command_line(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, make_rows(20))
    reading, writing = os.pipe()
    os.close(reading)
    with (
        read_transaction(engine) as connection,
        os.fdopen(writing, "wb", buffering=0) as pipe,
        pytest.raises(BrokenPipeError),
    ):
        export_table(connection, session, "csv", pipe)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, make_rows(20))
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "emotions.csv").write_text("old")
    with read_transaction(engine) as connection, pytest.raises(KeyError):
        write_csv(connection, {"session_id": session["session_id"]}, folder / "emotions.csv")
    assert [path.name for path in folder.iterdir()] == ["emotions.csv"]
    assert (folder / "emotions.csv").read_text() == "old"


def test_a_target_that_is_a_folder_is_a_clear_error(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine)
    (tmp_path / "taken").mkdir()
    with read_transaction(engine) as connection, pytest.raises(OutputError, match="taken cannot be written"):
        write_csv(connection, session, tmp_path / "taken")
    assert not list(tmp_path.glob(".taken*"))
