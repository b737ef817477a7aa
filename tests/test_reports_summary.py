"""What summary.json says."""

import json
from pathlib import Path

import numpy as np
import pytest
from reported_sessions import CARD, make_probabilities, make_row, make_session, make_stretch, open_store

from contracts import aliases, store
from contracts.database import read_transaction
from contracts.emotions import EMOTIONS, compute_valence
from reports.series import read_series
from reports.summary import build_summary, write_summary
from reports.tables import iterate_table
from reports.thumbnails import choose_moments


def test_the_summary_tells_source_ledger_and_faces_and_survives_json(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    probabilities = make_probabilities(40)
    rows = [make_row(4, 0.04 * i, one) for i, one in enumerate(probabilities)]
    session = make_session(engine, rows, [make_stretch("analysed", 0, 1.6, 40)], duration_s=1.6)
    with read_transaction(engine) as connection:
        ledger = store.read_ledger(connection, session["session_id"])
        summary = build_summary(connection, session, ledger, {"wall_s": 2.5, "versions": {"av": "18"}})
    write_summary(tmp_path / "summary.json", summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["source"]["name"] == "clip.mp4" and summary["source"]["path"] == "/videos/clip.mp4"
    assert summary["source"]["codec"] == "h264" and summary["source"]["duration_s"] == 1.6
    assert set(summary["ledger"]) == {"decoded", "analysed", "skipped"}
    assert summary["ledger"]["analysed"] == 40 and summary["faces"]["rows"] == 40
    assert set(summary["packets"]) == {"read", "undecodable"}
    assert summary["model"] == CARD.model_id and summary["status"] == "complete" and summary["wall_s"] == 2.5
    (track,) = summary["tracks"]
    assert (track["track_id"], track["num_faces"], track["start_s"]) == (4, 40, 0.0)
    assert list(track["mean"].values()) == pytest.approx(probabilities.mean(axis=0))
    assert track["dominant"] == EMOTIONS[int(np.argmax(probabilities.mean(axis=0)))]
    assert track["valence"] == pytest.approx(np.mean([compute_valence(list(one)) for one in probabilities]))


def test_tracks_of_one_person_are_one_face_in_summary_table_and_timeline(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    happy, sad = np.eye(7)[3], np.eye(7)[4]
    rows = [make_row(1, 0.04 * i, happy) for i in range(20)]
    rows += [make_row(100_001, 0.04 * i, sad if i > 38 else happy) for i in range(20, 40)]
    rows += [make_row(100_002, 1.2, sad)]
    session = make_session(engine, rows, [make_stretch("analysed", 0, 1.6, 40)], duration_s=1.6)
    session_id = session["session_id"]
    with engine.begin() as connection:
        aliases.record_aliases(connection, session_id, [(100_001, 1, "same place")], aliases.AT_SEAMS)
    with read_transaction(engine) as connection:
        summary = build_summary(connection, session, store.read_ledger(connection, session_id), {})
        series = read_series(connection, session_id)
        moments = choose_moments(connection, session_id, 4)
        table = [row for batch in iterate_table(connection, session) for row in batch.to_pylist()]
    person, other = summary["tracks"]
    assert (person["track_id"], person["num_faces"], person["start_s"], round(person["end_s"], 2)) == (1, 40, 0.0, 1.56)
    assert person["mean"]["happy"] == pytest.approx(39 / 40) and other["dominant"] == "sad"
    assert [(one.track_id, len(one.times_s)) for one in series] == [(1, 40), (100_002, 1)]
    assert {moment.track_id for moment in moments} == {1, 100_002}
    assert {(row["track_id"], row["joined_id"]) for row in table} == {(1, 1), (100_001, 1), (100_002, 100_002)}


def test_the_summary_of_an_empty_video_has_no_tracks(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine, [], [make_stretch("no_face", 0, 2, 50)])
    with read_transaction(engine) as connection:
        ledger = store.read_ledger(connection, session["session_id"])
        summary = build_summary(connection, session, ledger, {})
    assert summary["tracks"] == [] and summary["ledger"]["skipped"] == {"no_face": 50}


def test_a_track_whose_faces_were_all_rejected_has_no_dominant_emotion(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    session = make_session(engine)
    track = {"track_id": 1, "start_pts": 0, "end_pts": 3, "start_s": 0.0, "end_s": 0.1, "num_faces": 3}
    with engine.begin() as connection:
        store.record_tracks(connection, [{"session_id": session["session_id"], **track}])
    with read_transaction(engine) as connection:
        ledger = store.read_ledger(connection, session["session_id"])
        (found,) = build_summary(connection, session, ledger, {})["tracks"]
    assert found["dominant"] is None and found["mean"] is None and found["valence"] is None
