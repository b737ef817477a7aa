"""The reader: every decodable frame of real files in any state, at its own time, with nothing left out in silence."""

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from make_videos import (
    cut_off,
    draw_pattern,
    flip_bits,
    hide_pictures,
    read_pictures,
    remux,
    turn_clockwise,
    write_video,
)
from numpy.typing import NDArray

from contracts.errors import SourceError
from contracts.recordings import FrameClock
from ingest.frames import Frame, FrameReader, UndecodablePacket
from ingest.sources import check_file, open_recording
from reports.video import decode_frames, open_video, repair_times

FASTSTART = {"movflags": "faststart"}
RATE_25 = [40 * index for index in range(100)]
VARIABLE = [0, 33, 66, 200, 233, 1000, 1017, 1034, 2500, 2533, 2600, 2601, 2603, 3000]


@dataclass(frozen=True)
class Reading:
    frames: list[Frame]
    undecodable: list[UndecodablePacket]
    reader: FrameReader

    @property
    def pts(self) -> list[int]:
        return [frame.pts for frame in self.frames]


def read(path: Path) -> Reading:
    """Read a whole file and check what holds for each: order, numbering, times and the balance of packets."""
    reader = FrameReader(path)
    items = list(reader)
    frames = [item for item in items if isinstance(item, Frame)]
    undecodable = [item for item in items if isinstance(item, UndecodablePacket)]
    assert all(earlier.pts < later.pts for earlier, later in pairwise(frames))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert reader.clock.start_pts is not None
    for frame in frames:
        assert frame.time_s == float((frame.pts - reader.clock.start_pts) * reader.clock.time_base)
    assert (reader.num_frames, reader.num_undecodable) == (len(frames), len(undecodable))
    assert reader.num_packets == len(frames) + len(undecodable)
    assert reader.clock.num_repaired == sum(frame.is_repaired for frame in frames)
    return Reading(frames, undecodable, reader)


def list_packet_pts(path: Path) -> list[int]:
    """Return the pts of the packets that are meant to be shown, in order of presentation, as ffprobe lists them."""
    with av.open(str(path)) as container:
        return sorted(p.pts for p in container.demux(video=0) if p.size and not p.is_discard and p.pts is not None)


def count_plainly(path: Path) -> tuple[int, int]:
    """Return how many packets a file has and how many pictures come out of a bare decoding loop."""
    num_packets = num_pictures = 0
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        for packet in container.demux(video=0):
            num_packets += packet.size > 0
            with suppress(av.FFmpegError):
                num_pictures += len(packet.decode())
    return num_packets, num_pictures


def draw_noise(index: int) -> NDArray[np.uint8]:
    """Return a moving picture with so much detail that a few bits of its file make a visible part of it."""
    noise = np.random.default_rng(1).integers(0, 60, (120, 160, 3))
    return np.clip(draw_pattern(index) + np.roll(noise, index * 5, 1), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("pts", [RATE_25, VARIABLE], ids=["constant", "variable"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_frames_have_the_times_that_the_file_says(tmp_path: Path, pts: Sequence[int], suffix: str) -> None:
    path = tmp_path / f"video{suffix}"
    write_video(path, pts)
    found = read(path)
    assert found.pts == list_packet_pts(path)
    times_s = [frame.time_s for frame in found.frames]
    assert times_s == pytest.approx([moment / 1000 for moment in pts], abs=1e-4)
    assert found.reader.clock.is_variable == (pts is VARIABLE)
    assert not any(frame.is_repaired for frame in found.frames)


def test_frames_of_carphone_have_the_times_that_the_file_says(carphone: Path) -> None:
    found = read(carphone)
    assert found.pts == list_packet_pts(carphone)
    assert len(found.frames) == 120
    assert found.frames[-1].time_s == pytest.approx(119 * 1001 / 30000, abs=1e-3)


def test_frames_of_real_clips_have_the_times_that_the_files_say(shared_videos: Path) -> None:
    for path in sorted(shared_videos.iterdir()):
        found = read(path)
        assert found.pts == list_packet_pts(path), path.name
        assert found.reader.clock.num_repaired == 0
        assert found.undecodable == []
        assert found.reader.clock.is_variable == (path.name == "pf_face_noface.mov"), path.name


def test_packets_that_an_edit_list_cuts_off_are_no_frames_and_no_damage(shared_videos: Path) -> None:
    path = shared_videos / "pf_no_face.mp4"
    num_packets, num_pictures = count_plainly(path)
    found = read(path)
    assert (num_packets, num_pictures) == (98, 95)
    assert (found.reader.num_packets, len(found.frames), found.undecodable) == (95, 95, [])


def test_a_file_without_times_gets_them_from_its_frame_rate_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "elementary.h264"
    write_video(path, RATE_25)
    found = read(path)
    assert [frame.time_s for frame in found.frames] == pytest.approx([index / 25 for index in range(100)])
    assert found.reader.clock.num_repaired == 100
    assert found.undecodable == []


def test_an_avi_keeps_the_even_times_of_its_reordered_frames(tmp_path: Path) -> None:
    path = tmp_path / "reordered.avi"
    write_video(path, range(100), Fraction(1, 25), options={"bf": "3", "b_adapt": "0"})
    with av.open(str(path)) as container:
        guessed = [frame.pts for frame in container.decode(video=0)]
    assert guessed != sorted(guessed), "this file has B-frames whose pts are wrong, or it tests nothing"
    found = read(path)
    assert np.diff([frame.time_s for frame in found.frames]) == pytest.approx(np.full(99, 0.04))
    assert found.undecodable == []
    with open_video(path) as (container, stream):
        again = [frame.pts for frame in repair_times(decode_frames(container, stream), stream)]
    assert again == found.pts, "pictures made from the file later find its rows"


def test_repeated_and_slightly_backward_times_become_the_next_free_tick(tmp_path: Path) -> None:
    write_video(tmp_path / "even.mp4", RATE_25, options={"bf": "0"})
    path = tmp_path / "slips.mkv"
    with av.open(str(tmp_path / "even.mp4")) as container:
        ticks_per_s = round(1 / container.streams.video[0].time_base)
    changes = {20: -ticks_per_s // 25, 30: -3 * ticks_per_s // 50}
    remux(tmp_path / "even.mp4", path, lambda number, pts: pts + changes.get(number, 0))
    found = read(path)
    assert [frame.index for frame in found.frames if frame.is_repaired] == [20, 30]
    expected = [index / 25 for index in range(100)]
    expected[20] = expected[19] + 0.001
    expected[30] = expected[29] + 0.001
    assert [frame.time_s for frame in found.frames] == pytest.approx(expected)


def test_after_the_clock_was_set_back_the_files_own_intervals_go_on(tmp_path: Path) -> None:
    part, path = tmp_path / "part.ts", tmp_path / "joined.ts"
    write_video(part, VARIABLE)
    path.write_bytes(part.read_bytes() * 2)
    found = read(path)
    assert [frame.index for frame in found.frames if frame.is_repaired] == [len(VARIABLE)]
    intervals_s = np.diff([frame.time_s for frame in found.frames])
    own = np.diff(VARIABLE) / 1000
    assert intervals_s[: len(own)] == pytest.approx(own, abs=1e-4)
    assert intervals_s[len(own) + 1 :] == pytest.approx(own, abs=1e-4)


def test_a_time_that_is_days_ahead_is_not_believed(tmp_path: Path) -> None:
    write_video(tmp_path / "even.mp4", RATE_25, options={"bf": "0"})
    path = tmp_path / "ahead.mkv"
    remux(tmp_path / "even.mp4", path, lambda number, pts: pts + (10**11 if number == 50 else 0))
    found = read(path)
    assert [frame.time_s for frame in found.frames] == pytest.approx([index / 25 for index in range(100)])
    assert found.reader.clock.num_repaired == 2, "the one ahead and the one behind it"


def test_a_clock_goes_on_over_missing_repeated_and_backward_times() -> None:
    clock = FrameClock(Fraction(1, 1000), average_fps=25)
    stored = [5000, 5040, None, 5120, 5120, 5100, 5160, 0, 40, 90, None]
    assert [clock.read_pts(pts) for pts in stored] == [
        (5000, False),
        (5040, False),
        (5080, True),
        (5120, False),
        (5121, True),
        (5122, True),
        (5160, False),
        (5198, True),
        (5238, False),
        (5288, False),
        (5338, True),
    ]
    assert clock.num_repaired == 5
    assert clock.to_seconds(5338) == 0.338


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_phones_rotation_is_undone(tmp_path: Path, quarters: int) -> None:
    upright, path = tmp_path / "stored.mp4", tmp_path / "turned.mp4"
    write_video(upright, RATE_25[:3])
    turn_clockwise(upright, path, quarters)
    with av.open(str(path)) as container:
        degrees = next(container.decode(video=0)).rotation
    assert degrees % 360 == (-90 * quarters) % 360, "PyAV counts counter-clockwise"
    found = read(path)
    stored = next(iter(FrameReader(upright))).image.luma
    height, width = stored.shape
    shown = found.frames[0].image
    for row, column in [(0, 0), (0, width - 1), (height - 1, 0), (30, 70)]:
        # One turn clockwise brings what was at the left to the top.
        y, x = [(column, height - 1 - row), (height - 1 - row, width - 1 - column), (width - 1 - column, row)][
            quarters - 1
        ]
        assert shown.luma[y, x] == stored[row, column]
    assert (shown.height, shown.width) == shown.luma.shape
    facts = found.reader.facts
    assert facts is not None
    assert (facts.width, facts.height) == (shown.width, shown.height), "the facts tell the upright size"
    colours = shown.read_rgb((0.0, 0.0, float(shown.width), float(shown.height)), shown.width, shown.height)
    expected = np.rot90(read_pictures(path, 1)[0], -quarters)
    assert np.abs(colours.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_of_a_cut_off_mp4_every_decodable_frame_is_read(tmp_path: Path, share: float) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    write_video(whole, RATE_25, picture=draw_noise, options={"g": "25"}, container_options=FASTSTART)
    cut_off(whole, path, share)
    found = read(path)
    assert (found.reader.num_packets, len(found.frames)) == count_plainly(path)
    assert 0.2 < len(found.frames) / 100 < share + 0.05
    facts = found.reader.facts
    assert facts is not None
    assert facts.duration_s == pytest.approx(4.0), "the index still says how long it was"


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".avi"])
def test_of_a_cut_off_file_of_another_kind_every_decodable_frame_is_read(tmp_path: Path, suffix: str) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    write_video(whole, range(100), Fraction(1, 25), draw_noise, options={"g": "25"})
    cut_off(whole, path, 0.6)
    found = read(path)
    assert (found.reader.num_packets, len(found.frames)) == count_plainly(path)
    assert 50 < len(found.frames) < 70


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("num_bits", [5, 300])
def test_of_a_bit_flipped_mp4_every_decodable_frame_is_read(tmp_path: Path, num_bits: int, seed: int) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "flipped.mp4"
    write_video(whole, RATE_25, picture=draw_noise, options={"g": "25"}, container_options=FASTSTART)
    flip_bits(whole, path, num_bits, seed, after=b"mdat")
    found = read(path)
    num_packets, num_pictures = count_plainly(path)
    assert num_packets == 100
    assert (found.reader.num_packets, len(found.frames)) == (num_packets, num_pictures)
    assert found.frames[-1].time_s == pytest.approx(3.96, abs=0.2)


def test_a_lost_beginning_is_damage_at_the_beginning(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "headless.mp4"
    write_video(whole, RATE_25, picture=draw_noise, options={"g": "25", "bf": "0"}, container_options=FASTSTART)
    content = bytearray(whole.read_bytes())
    start = content.index(b"mdat") + 4
    content[start : start + 4000] = bytes(4000)
    path.write_bytes(content)
    found = read(path)
    assert found.undecodable[0].time_s == 0.0
    assert len(found.undecodable) > 10
    assert all(lost.time_s < found.frames[0].time_s for lost in found.undecodable)
    assert found.frames[-1].time_s == pytest.approx(3.96), "times are those of the recording, not of what is left"


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_a_damaged_stream_balances(tmp_path: Path, suffix: str) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"flipped{suffix}"
    write_video(whole, RATE_25, picture=draw_noise, options={"g": "25"})
    for seed in range(4):
        flip_bits(whole, path, 100, seed, after=b"x264")
        assert len(read(path).frames) > 20


def test_pictures_that_are_only_references_are_no_frames(tmp_path: Path) -> None:
    shown, path = tmp_path / "shown.webm", tmp_path / "hidden.webm"
    write_video(shown, RATE_25, codec="libvpx", options={"g": "50"})
    hide_pictures(shown, path)
    assert count_plainly(path) == (100, 90)
    found = read(path)
    assert (len(found.frames), found.undecodable) == (90, [])


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("ten_bits.mp4", "libx264", "yuv420p10le"),
        ("yuv422.mkv", "ffv1", "yuv422p"),
        ("yuv444.mp4", "libx264", "yuv444p"),
        ("rgb.mp4", "libx264rgb", "rgb24"),
        ("grey.mkv", "ffv1", "gray"),
        ("grey16.mkv", "ffv1", "gray16le"),
        ("alpha.mkv", "ffv1", "yuva420p"),
        ("palette.gif", "gif", "rgb8"),
        ("bottom_up.avi", "rawvideo", "bgr24"),
        ("motion.avi", "mjpeg", "yuvj420p"),
    ],
)
def test_pixel_formats_come_out_as_grey_and_colour(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    path = tmp_path / name
    write_video(path, range(5), Fraction(1, 25), codec=codec, pixel_format=pixel_format)
    found = read(path)
    assert len(found.frames) == 5
    image = found.frames[-1].image
    whole = (0.0, 0.0, 160.0, 120.0)
    expected = draw_pattern(4).astype(int)
    if "grey" in name:
        expected = np.repeat(expected @ [299, 587, 114] // 1000, 3).reshape(expected.shape)
    colours = image.read_rgb(whole, 160, 120)
    # Codecs, the palette and narrow ranges of levels change them a little; another orientation or order, a lot.
    assert np.abs(colours.astype(int) - expected).mean() < 25
    assert np.corrcoef(image.luma.ravel(), (expected @ [299, 587, 114]).ravel())[0, 1] > 0.95


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 1), (161, 121), (3, 200)])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "rgb24"])
def test_any_size_of_picture_is_read(tmp_path: Path, width: int, height: int, pixel_format: str) -> None:
    path = tmp_path / "small.avi"
    write_video(
        path,
        range(3),
        Fraction(1, 25),
        lambda index: draw_pattern(index, width, height),
        "rawvideo",
        pixel_format.replace("rgb24", "bgr24"),
    )
    found = read(path)
    assert len(found.frames) == 3
    image = found.frames[0].image
    assert image.luma.shape == (image.height, image.width) == (height, width)
    assert image.read_rgb((0.0, 0.0, float(width), float(height)), 48, 32).shape == (32, 48, 3)


@pytest.mark.parametrize(("suffix", "codec", "pixel_format"), [(".jpg", "mjpeg", "yuvj420p"), (".png", "png", "rgb24")])
@pytest.mark.parametrize("stem", ["still", "100%d", "a*[1]?"])
def test_a_still_picture_is_one_frame(tmp_path: Path, suffix: str, codec: str, pixel_format: str, stem: str) -> None:
    """Whatever its name: FFmpeg takes some for patterns of many files."""
    plain, path = tmp_path / f"plain{suffix}", tmp_path / f"{stem}{suffix}"
    write_video(plain, [0], Fraction(1, 25), codec=codec, pixel_format=pixel_format)
    plain.rename(path)
    for number in range(3):
        (tmp_path / f"100{number}{suffix}").write_bytes(path.read_bytes())
    found = read(path)
    assert [frame.time_s for frame in found.frames] == [0.0]
    assert found.frames[0].image.luma.shape == (120, 160)


def test_reading_may_stop_at_any_item_and_still_balances(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "flipped.mp4"
    write_video(whole, RATE_25, picture=draw_noise, options={"g": "25"}, container_options=FASTSTART)
    flip_bits(whole, path, 300, 1, after=b"mdat")
    total = len(list(FrameReader(path)))
    for stop_after in range(1, total, 3):
        reader = FrameReader(path)
        with closing(iter(reader)) as items:
            for _ in range(stop_after):
                next(items)
        assert reader.num_packets == reader.num_frames + reader.num_undecodable == stop_after


def write_audio(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_what_is_no_video_is_refused_with_what_it_is_and_what_to_do(tmp_path: Path) -> None:
    def refuse(path: Path, *words: str) -> None:
        with pytest.raises(SourceError) as caught:
            list(FrameReader(path))
        assert str(path) in str(caught.value)
        for word in words:
            assert word in str(caught.value)
        assert "\n" not in str(caught.value).replace(str(path), "")

    refuse(tmp_path / "missing.mp4", "no file", "Check the path")
    refuse(tmp_path, "is a directory", "Name the video files")
    refuse(tmp_path / "empty.mp4" / "below.mp4", "no file")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    refuse(empty, "is empty", "Copy it again")
    refuse(empty / "below.mp4", "no file")
    # FFmpeg would draw a terminal's screen from any of these.
    for suffix in (".mp4", ".txt", ".nfo", ".ans"):
        text = tmp_path / f"text{suffix}"
        text.write_text("This is a letter.\n" * 100)
        refuse(text, "cannot be opened as a video", "Expected a recording")
    whole = tmp_path / "whole.mp4"
    write_video(whole, RATE_25)
    unfinished = tmp_path / "unfinished.mp4"
    cut_off(whole, unfinished, 0.5)
    refuse(unfinished, "without its index", "untrunc")
    audio = tmp_path / "audio.m4a"
    write_audio(audio)
    refuse(audio, "no video stream", "only audio", "Expected a file with pictures")
    refuse(Path("/dev/null"), "not a regular file")
    loop = tmp_path / "loop.mp4"
    loop.symlink_to(loop)
    refuse(loop, "cannot be read", "Too many levels of symbolic links")
    refuse(tmp_path / ("x" * 300 + ".mp4"), "cannot be read", "File name too long")


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(SourceError, match="not a regular file"):
        check_file(tmp_path / "pipe.mp4")


def test_a_playlist_never_makes_the_reader_open_what_it_lists(tmp_path: Path) -> None:
    write_video(tmp_path / "secret.ts", RATE_25)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nsecret.ts\n#EXT-X-ENDLIST\n"
    lists = {"list.m3u8": playlist, "list.mp4": playlist, "clip.mp4": "ffconcat version 1.0\nfile secret.ts\n"}
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match="of a playlist, name the files that it lists"):
            list(FrameReader(tmp_path / name))


def test_a_file_name_is_never_taken_for_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "plain.mp4", RATE_25)
    for name in ("concat:plain.mp4|plain.mp4", "-i.mp4", "tëst 😀\n[red].mp4", "pipe:0", "http:x.mp4"):
        Path("plain.mp4").rename(name)
        assert len(read(Path(name)).frames) == 100
        Path(name).rename("plain.mp4")
    with pytest.raises(SourceError, match="no file"):
        list(FrameReader(Path("concat:plain.mp4|plain.mp4")))


def test_a_file_is_closed_when_its_reader_is(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    write_video(path, RATE_25)

    def count_open() -> int:
        return sum(1 for link in Path("/proc/self/fd").iterdir() if link.exists() and link.resolve() == path.resolve())

    with open_recording(path):
        assert count_open() == 1
    with closing(iter(FrameReader(path))) as items:
        next(items)
        assert count_open() == 1
    assert count_open() == 0
