"""Faces cut out of the video again."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from reported_sessions import (
    find_carphone,
    make_probabilities,
    make_row,
    make_session,
    open_store,
    write_video,
)

from contracts.database import read_transaction
from ingest.frames import FrameReader
from reports.thumbnails import MAX_THUMBNAILS, SIZE_PX, Moment, choose_moments, cut_face, read_thumbnails
from reports.video import open_video, to_image

BOX = (60.0, 40.0, 120.0, 100.0)


def read_grey(image: np.ndarray) -> float:  # type: ignore[type-arg]
    return float(image[20:-20, 20:-20].mean())


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_each_thumbnail_shows_the_frame_of_its_moment(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"greys.{suffix}"
    write_video(path, [i * 3003 for i in range(30)] if suffix != "avi" else list(range(30)), gop=7,
                time_base=Fraction(1, 30000) if suffix != "avi" else Fraction(1, 10))  # fmt: skip
    pts = [frame.pts for frame in FrameReader(path)]
    moments = [Moment(1, pts[i], float(i), BOX) for i in (0, 3, 4, 13, 14, 26, 29)]
    thumbnails = read_thumbnails(path, moments)
    assert [thumbnail.time_s for thumbnail in thumbnails] == [moment.time_s for moment in moments]
    for thumbnail in thumbnails:
        assert thumbnail.image.shape == (SIZE_PX, SIZE_PX, 3) and thumbnail.image.dtype == np.uint8
        assert read_grey(thumbnail.image) == pytest.approx(thumbnail.time_s * 8, abs=3)


def test_a_repaired_pts_takes_the_neighbouring_frame_and_a_distant_one_is_left_out(tmp_path: Path) -> None:
    path = write_video(tmp_path / "greys.mp4", [i * 3000 for i in range(20)])
    thumbnails = read_thumbnails(path, [Moment(1, 15_001, 0.5, BOX), Moment(1, 900_000, 30.0, BOX)])
    assert [thumbnail.time_s for thumbnail in thumbnails] == [0.5]
    assert read_grey(thumbnails[0].image) == pytest.approx(40, abs=3)


def test_a_missing_or_broken_video_gives_no_thumbnails_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    moments = [Moment(1, 0, 0.0, BOX)]
    assert read_thumbnails(tmp_path / "noise.mp4", moments) == []
    assert read_thumbnails(tmp_path / "gone.mp4", moments) == []


@pytest.mark.parametrize(("rotation", "corner"), [(0, (0, 0)), (90, (-1, 0)), (180, (-1, -1)), (-90, (0, -1))])
def test_a_rotated_recording_is_shown_upright(tmp_path: Path, rotation: int, corner: tuple[int, int]) -> None:
    path = write_video(tmp_path / "turned.mp4", [0, 1001], rotation=rotation)
    with open_video(path) as (container, _):
        frame = next(container.decode(video=0))
        image = to_image(frame)
    assert frame.rotation % 360 == rotation % 360
    assert image.shape[:2] == ((144, 176) if rotation % 180 == 0 else (176, 144))
    row, column = (10 if index == 0 else -10 for index in corner)
    assert image[row, column, 0] > 200 and image[row, column, 1] < 60, "the red corner turned counter-clockwise"


def test_a_face_at_the_edge_is_cut_as_a_whole_square() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[:50] = 255
    for box in [(-20, -20, 30, 30), (180, 80, 220, 130), (0, 0, 200, 100), (50, 20, 50, 20)]:
        assert cut_face(image, box).shape == (SIZE_PX, SIZE_PX, 3)


def test_moments_are_spread_over_each_track_and_prefer_sharp_faces(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    rows = [make_row(1, 0.1 * i, one) for i, one in enumerate(make_probabilities(600))]
    for row in rows:
        row["quality"] = 0.5
    rows[13]["quality"] = 1.0
    session = make_session(engine, rows, duration_s=60)
    with read_transaction(engine) as connection:
        moments = choose_moments(connection, session["session_id"], 12)
    assert len(moments) == 12
    assert moments[0].pts == rows[13]["pts"]
    gaps = np.diff([moment.time_s for moment in moments])
    assert gaps.min() > 2.4 and gaps.max() < 7.6


def test_many_tracks_share_a_bounded_number_of_moments(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    rows = [make_row(track_id, 0.5 * i, make_probabilities(1)[0]) for track_id in range(9) for i in range(100)]
    session = make_session(engine, rows, duration_s=50)
    with read_transaction(engine) as connection:
        moments = choose_moments(connection, session["session_id"], 12)
    assert len({moment.track_id for moment in moments}) == 6
    assert 24 <= len(moments) <= MAX_THUMBNAILS
    assert [moment.pts for moment in moments] == sorted(moment.pts for moment in moments)


def test_thumbnails_of_a_real_video_come_out_in_order() -> None:
    moments = [Moment(1, 1001 * i, 1001 * i / 30000, (60, 15, 130, 100)) for i in (100, 5, 40)]
    thumbnails = read_thumbnails(find_carphone(), moments)
    assert [thumbnail.time_s for thumbnail in thumbnails] == sorted(moment.time_s for moment in moments)
    assert all(thumbnail.image.std() > 20 for thumbnail in thumbnails)
