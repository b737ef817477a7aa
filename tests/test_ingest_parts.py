"""Parts of a recording: read apart, they give the very frames of a reading in one go, each exactly once."""

from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from make_videos import cut_off, draw_pattern, flip_bits, hide_pictures, read_pictures, remux, write_video

from contracts.errors import SourceError
from contracts.parts import MAX_PARTS, TRACKS_PER_PART
from ingest.frames import Frame, FrameReader, UndecodablePacket
from ingest.part_frames import PartReader
from ingest.parts import Part, PartPlan, plan_parts
from ingest.sampling import FrameSampler

RATE_25 = [40 * index for index in range(120)]
VARIABLE = [sum([7, 40, 41, 3, 600, 33][k % 6] for k in range(index)) for index in range(120)]
OPEN_GROUPS = {"x264-params": "keyint=10:min-keyint=10:scenecut=0:bframes=3:open-gop=1:b-pyramid=normal"}
REFRESH = {"x264-params": "keyint=20:intra-refresh=1:bframes=0"}
CLOSED_GROUPS = {"x264-params": "keyint=10:min-keyint=10:scenecut=0:bframes=3"}
HEVC = {"x265-params": "keyint=10:min-keyint=10:scenecut=0:bframes=4:open-gop=1:log-level=none"}

Item = tuple[Any, ...]


def describe(item: Frame | UndecodablePacket) -> Item:
    if isinstance(item, UndecodablePacket):
        return ("undecodable", item.pts, item.time_s)
    return (item.index, item.pts, item.time_s, item.is_repaired, item.image.luma.tobytes())


def read_part(path: Path, plan: PartPlan, part: Part, num_after: int = 3) -> tuple[list[Item], PartReader]:
    """A part's own frames and packets, with the reading stopped a few frames after it."""
    reader = PartReader(path, part, plan.start_pts)
    items: list[Item] = []
    with closing(iter(reader)) as reading:
        for item in reading:
            if isinstance(item, UndecodablePacket) or item.is_own:
                items.append(describe(item))
            elif part.end_pts is not None and item.pts >= part.end_pts:
                num_after -= 1
                if num_after <= 0 and reader.is_part_read:
                    break
    assert reader.num_packets == reader.num_frames + reader.num_undecodable
    return items, reader


def check_parts(path: Path, target_s: float, overlap_s: float = 0.3, min_parts: int = 2) -> PartPlan:
    """Check that all parts together are the recording, read on its own."""
    plan = plan_parts(path, target_s, overlap_s)
    assert len(plan.parts) >= min_parts
    whole = FrameReader(path)
    expected = [describe(item) for item in whole]
    readings = [read_part(path, plan, part) for part in plan.parts]
    found = [item for items, _ in readings for item in items]
    assert [item[:-1] for item in found] == [item[:-1] for item in expected]
    assert found == expected
    assert sum(reader.num_packets for _, reader in readings) == whole.num_packets
    assert sum(part.num_packets for part in plan.parts) == whole.num_packets
    assert max(reader.clock.max_interval for _, reader in readings) == whole.clock.max_interval
    assert min(reader.clock.min_interval for _, reader in readings) == whole.clock.min_interval
    return plan


def draw_noise(index: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a moving picture with enough in it that frames refer to one another."""
    noise = np.random.default_rng(index // 7).integers(0, 90, (120, 160, 3), dtype=np.uint8)
    return draw_pattern(index) // 2 + noise


@pytest.mark.parametrize(
    ("name", "codec", "options", "pts"),
    [
        ("closed.mp4", "libx264", CLOSED_GROUPS, RATE_25),
        ("open.mp4", "libx264", OPEN_GROUPS, RATE_25),
        ("open.mkv", "libx264", OPEN_GROUPS, RATE_25),
        ("open.ts", "libx264", OPEN_GROUPS, RATE_25),
        ("variable.mkv", "libx264", OPEN_GROUPS, VARIABLE),
        ("variable.mp4", "libx264", OPEN_GROUPS, VARIABLE),
        ("refresh.ts", "libx264", REFRESH, RATE_25),
        ("hevc.mp4", "libx265", HEVC, RATE_25),
        ("hevc.mkv", "libx265", HEVC, VARIABLE),
        ("mpeg2.ts", "mpeg2video", {"g": "10", "bf": "2"}, RATE_25),
        ("mpeg4.mp4", "mpeg4", {"g": "10", "bf": "2"}, RATE_25),
        ("vp9.webm", "libvpx-vp9", {"g": "10", "deadline": "realtime", "cpu-used": "8"}, RATE_25),
    ],
)
def test_parts_read_apart_give_the_frames_of_the_whole(
    tmp_path: Path, name: str, codec: str, options: dict[str, str], pts: list[int]
) -> None:
    path = tmp_path / name
    base = Fraction(1, 25) if codec in ("mpeg2video",) else Fraction(1, 1000)
    moments = [moment // 40 for moment in pts] if codec in ("mpeg2video",) else pts
    write_video(path, moments, base, picture=draw_noise, codec=codec, options=options)
    plan = check_parts(path, 1.0)
    assert plan.whole_reason is None
    assert plan.parts[0].start_pts is None and plan.parts[-1].end_pts is None


def test_a_real_clip_read_in_parts_gives_the_frames_of_the_whole(carphone: Path, tmp_path: Path) -> None:
    pictures = read_pictures(carphone)
    path = tmp_path / "carphone.mp4"
    write_video(path, range(0, 1001 * 120, 1001), Fraction(1, 30000), lambda k: pictures[k], options=OPEN_GROUPS)
    assert len(check_parts(path, 0.5).parts) >= 6


def test_the_development_clips_read_in_parts_give_the_frames_of_the_whole(shared_videos: Path) -> None:
    for name in ("fer_test.mp4", "fr_hamilton.mp4", "pf_face_noface.mov", "pf_no_face.mp4"):
        check_parts(shared_videos / name, 1.0, min_parts=1)


def test_hidden_pictures_are_frames_of_no_part(tmp_path: Path) -> None:
    options = {"g": "20", "deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "0", "lag-in-frames": "0"}
    write_video(tmp_path / "all.webm", RATE_25, codec="libvpx", options=options)
    hide_pictures(tmp_path / "all.webm", tmp_path / "hidden.webm")
    plan = check_parts(tmp_path / "hidden.webm", 1.0)
    assert sum(part.num_packets for part in plan.parts) == 108


@pytest.mark.parametrize("seed", range(6))
def test_damage_is_counted_once_wherever_the_seams_are(tmp_path: Path, seed: int) -> None:
    write_video(tmp_path / "sound.mkv", RATE_25, picture=draw_noise, options=CLOSED_GROUPS)
    flip_bits(tmp_path / "sound.mkv", tmp_path / "damaged.mkv", 40, seed, after=b"\x1f\x43\xb6\x75")
    path = tmp_path / "damaged.mkv"
    plan = plan_parts(path, 1.0, 0.3)
    whole = FrameReader(path)
    expected = list(whole)
    readings = [read_part(path, plan, part) for part in plan.parts]
    found = [item for items, _ in readings for item in items]
    pts = [item[1] for item in found if item[0] != "undecodable"]
    assert len(pts) == len(set(pts))
    assert sum(reader.num_packets for _, reader in readings) == whole.num_packets
    expected_pts = {item.pts for item in expected if isinstance(item, Frame)}
    assert len(expected_pts ^ set(pts)) <= 4


def test_a_recording_that_was_cut_off_is_read_to_its_last_frame(tmp_path: Path) -> None:
    write_video(tmp_path / "sound.mkv", RATE_25, picture=draw_noise, options=CLOSED_GROUPS)
    cut_off(tmp_path / "sound.mkv", tmp_path / "cut.mkv", 0.7)
    check_parts(tmp_path / "cut.mkv", 1.0)


def test_a_plan_depends_on_the_file_alone_and_begins_parts_at_keyframes(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, RATE_25, picture=draw_noise, options=CLOSED_GROUPS)
    plan = plan_parts(path, 1.0, 0.3)
    assert plan == plan_parts(path, 1.0, 0.3)
    assert [part.part for part in plan.parts] == list(range(len(plan.parts)))
    assert [part.start_pts for part in plan.parts[1:]] == [part.end_pts for part in plan.parts[:-1]]
    for before, part in pairwise(plan.parts):
        assert part.start_pts is not None and part.start_pts % 400 == 0
        assert part.first_packet % 10 == 0
        assert part.first_frame == before.first_frame + before.num_packets
        assert part.lead_in_pts is not None and part.lead_in_pts <= part.start_pts - 300
        assert part.start_s == before.end_s == part.start_pts / 1000
        assert before.end_s - before.start_s >= 1.0
    assert plan.parts[-1].end_s == pytest.approx(plan.facts.duration_s, abs=0.05)


def test_frames_around_a_part_have_the_indices_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, VARIABLE, picture=draw_noise, options=OPEN_GROUPS)
    plan = plan_parts(path, 2.0, 0.3)
    assert len(plan.parts) > 2
    expected = {item.index: item.pts for item in FrameReader(path) if isinstance(item, Frame)}
    for part in plan.parts:
        frames = [item for item in PartReader(path, part, plan.start_pts) if isinstance(item, Frame)]
        assert all(expected[frame.index] == frame.pts for frame in frames)
        assert any(not frame.is_own for frame in frames)


def test_a_short_recording_and_one_with_a_single_keyframe_are_one_part(carphone: Path, tmp_path: Path) -> None:
    assert len(plan_parts(carphone).parts) == 1
    write_video(tmp_path / "one.mp4", RATE_25, options={"g": "1000"})
    plan = plan_parts(tmp_path / "one.mp4", 1.0)
    assert (len(plan.parts), plan.parts[0].num_packets, plan.parts[0].end_s) == (1, 120, pytest.approx(4.8, abs=0.1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda number, pts: pts if number < 60 else pts - 2000, "backward"),
        (lambda number, pts: pts if number != 60 else pts - 40, "backward|one pts"),
        (lambda number, pts: pts if number < 60 else pts + 2_000_000_000, "days"),
    ],
)
def test_a_file_whose_pts_cannot_be_trusted_is_one_part(
    tmp_path: Path, change: Callable[[int, int], int], reason: str
) -> None:
    write_video(tmp_path / "sound.mkv", RATE_25, options={"g": "10", "bf": "0"})
    remux(tmp_path / "sound.mkv", tmp_path / "odd.mkv", change)
    plan = plan_parts(tmp_path / "odd.mkv", 1.0)
    assert len(plan.parts) == 1
    assert any(word in (plan.whole_reason or "") for word in reason.split("|"))
    whole = FrameReader(tmp_path / "odd.mkv")
    expected = [describe(item) for item in whole]
    items, reader = read_part(tmp_path / "odd.mkv", plan, plan.parts[0])
    assert (items, reader.num_packets) == (expected, whole.num_packets)


@pytest.mark.parametrize(
    ("name", "reason"), [("clip.avi", "avi files have no pts"), ("clip.h264", "a frame has no pts")]
)
def test_files_without_pts_are_one_part(tmp_path: Path, name: str, reason: str) -> None:
    options = OPEN_GROUPS if name.endswith("264") else {"g": "10"}
    codec = "libx264" if name.endswith("264") else "mpeg4"
    write_video(tmp_path / name, range(100), Fraction(1, 25), draw_noise, codec, options=options)
    plan = plan_parts(tmp_path / name, 1.0)
    assert (len(plan.parts), plan.whole_reason) == (1, reason)
    items, _ = read_part(tmp_path / name, plan, plan.parts[0])
    assert items == [describe(item) for item in FrameReader(tmp_path / name)]


def test_a_file_that_is_no_longer_the_one_planned_says_so(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    write_video(path, RATE_25, options={"g": "10"})
    plan = plan_parts(path, 1.0)
    write_video(path, RATE_25[:40], options={"g": "10"})
    with pytest.raises(SourceError, match="has changed since"):
        read_part(path, plan, plan.parts[-1])


@pytest.mark.parametrize("fps", [None, 3.0, 10.0, 12.5, 24.0, 60.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_sampler_that_begins_with_a_lead_in_chooses_the_same_frames(fps: float | None, seed: int) -> None:
    generator = np.random.default_rng(seed)
    ticks = np.cumsum(generator.choice([1, 17, 33, 34, 40, 70, 1200], 900, p=[0.1, 0.2, 0.3, 0.2, 0.1, 0.09, 0.01]))
    base = Fraction(1, 1000)
    whole = FrameSampler(fps, base)
    expected = [whole.is_due(int(tick)) for tick in ticks]
    for seam in (100, 333, 700):
        begin = int(np.searchsorted(ticks, ticks[seam] - 2000 / min(fps or 1, 1)))
        part = FrameSampler(fps, base)
        found = [part.is_due(int(tick)) for tick in ticks[begin:]]
        assert found[seam - begin :] == expected[seam:]


def test_track_ids_of_all_parts_fit_into_32_bits() -> None:
    assert MAX_PARTS * TRACKS_PER_PART <= 2**31 - 1
