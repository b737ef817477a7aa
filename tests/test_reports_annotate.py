"""What someone who plays annotated.mp4 sees, and when."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from reported_sessions import (
    TIME_BASE,
    find_carphone,
    make_probabilities,
    make_row,
    make_session,
    open_store,
    read_times,
    write_video,
)

from contracts.database import read_transaction
from contracts.errors import OutputError, SourceError
from reports.annotate import write_annotated
from reports.thumbnails import Moment, read_thumbnails

SAD = [0.02, 0.02, 0.02, 0.02, 0.9, 0.01, 0.01]


def annotate(tmp_path: Path, video: Path, rows: list[dict[str, Any]], out: Path | None = None) -> Path:
    engine = open_store(tmp_path)
    session = make_session(engine, rows)
    out = out or tmp_path / "annotated.mp4"
    with read_transaction(engine) as connection:
        write_annotated(connection, session, video, out, lambda num_frames: None)
    return out


def read_images(path: Path) -> list[np.ndarray[Any, Any]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("time_base", [TIME_BASE, Fraction(1, 90000), Fraction(1, 1000), Fraction(1, 15360)])
@pytest.mark.parametrize("start", [0, 700])
def test_every_frame_of_a_variable_rate_video_keeps_its_exact_time(
    tmp_path: Path, time_base: Fraction, start: int
) -> None:
    steps = np.random.default_rng(3).integers(5, 400, 40)
    pts = [start, *(int(one) for one in start + np.cumsum(steps))]
    source = write_video(tmp_path / "variable.mp4", pts, time_base=time_base)
    annotated = annotate(tmp_path, source, [])
    assert read_times(annotated) == read_times(source)


def test_every_frame_of_a_real_video_keeps_its_exact_time_and_progress_is_told(tmp_path: Path) -> None:
    engine = open_store(tmp_path)
    rows = [make_row(1, i * 1001 / 30000, one) for i, one in enumerate(make_probabilities(120))]
    session = make_session(engine, rows)
    told: list[int] = []
    with read_transaction(engine) as connection:
        write_annotated(connection, session, find_carphone(), tmp_path / "annotated.mp4", told.append)
    assert read_times(tmp_path / "annotated.mp4") == read_times(find_carphone())
    assert told == list(range(1, 121))


def test_without_x264_mpeg4_keeps_the_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_video(tmp_path / "variable.mp4", [0, 3000, 4500, 12000], time_base=Fraction(1, 90000))
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    annotated = annotate(tmp_path, source, [])
    with av.open(str(annotated)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert [float(one) for one in read_times(annotated)] == pytest.approx([0, 1 / 30, 0.05, 12 / 90], abs=1e-4)


def test_the_box_is_drawn_from_the_first_result_and_held_for_half_a_second_only(tmp_path: Path) -> None:
    source = write_video(tmp_path / "greys.mp4", [i * 3000 for i in range(20)])  # 10 fps
    annotated = annotate(tmp_path, source, [make_row(1, 0.5, SAD, (60, 50, 120, 110))])
    with av.open(str(source)) as container:
        plain = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    changed = [
        bool(np.abs(image.astype(int) - before).max() > 60)
        for image, before in zip(read_images(annotated), plain, strict=True)
    ]
    assert [index for index, one in enumerate(changed) if one] == list(range(5, 11))


def test_between_two_results_the_box_moves_evenly(tmp_path: Path) -> None:
    source = write_video(tmp_path / "greys.mp4", [i * 3000 for i in range(5)])
    rows = [make_row(1, 0.0, SAD, (40, 60, 80, 100)), make_row(1, 0.4, SAD, (80, 60, 120, 100))]
    images = read_images(annotate(tmp_path, source, rows))
    # The left edge's column is the bluest below the label, where the bars on the right do not reach.
    lefts = [int((image[80:98, 20:110, 2].astype(int) - image[80:98, 20:110, 0]).mean(0).argmax()) + 20
             for image in images]  # fmt: skip
    edges = [min(abs(left - expected), abs(left - expected - 40)) for left, expected in zip(lefts, range(40, 90, 10))]  # noqa: B905
    assert max(edges) <= 2


@pytest.mark.parametrize(("rotation", "size"), [(0, (176, 144)), (90, (144, 176))])
def test_a_rotated_recording_is_annotated_upright(tmp_path: Path, rotation: int, size: tuple[int, int]) -> None:
    source = write_video(tmp_path / "turned.mp4", [0, 1001, 2002], rotation=rotation)
    with av.open(str(annotate(tmp_path, source, []))) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height) == size and frame.rotation == 0


def test_odd_sizes_are_padded_to_even_ones(tmp_path: Path) -> None:
    source = write_video(tmp_path / "odd.mp4", [0, 1001, 2002], size=(175, 143))
    with av.open(str(annotate(tmp_path, source, [make_row(1, 0.0, SAD)]))) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (176, 144)


def test_faces_larger_than_or_outside_the_picture_do_not_stop_the_drawing(tmp_path: Path) -> None:
    source = write_video(tmp_path / "tiny.mp4", [0, 1001], size=(32, 16))
    rows = [make_row(track_id, 0.0, SAD, box)
            for track_id, box in enumerate([(-50, -50, 90, 90), (20, 10, 40, 30), (-9, -9, -5, -5)])]  # fmt: skip
    assert len(read_times(annotate(tmp_path, source, rows))) == 2


def test_a_damaged_video_is_annotated_as_far_as_it_decodes(tmp_path: Path) -> None:
    source = write_video(tmp_path / "whole.ts", [i * 3000 for i in range(60)], gop=10)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    (tmp_path / "damaged.ts").write_bytes(data)
    times = read_times(annotate(tmp_path, tmp_path / "damaged.ts", []))
    assert 20 < len(times) <= 60
    assert times == sorted(set(times))


def test_a_video_that_is_gone_or_holds_no_pictures_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be opened again"):
        annotate(tmp_path, tmp_path / "gone.mp4", [])
    assert not list(tmp_path.glob("*annotated*"))


def test_a_failed_annotation_leaves_no_file_behind(tmp_path: Path) -> None:
    source = write_video(tmp_path / "clip.mp4", [0, 1001])
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="cannot be written"):
        annotate(tmp_path, source, [], tmp_path / "results" / "annotated.mp4")
    assert not list(tmp_path.glob(".annotated*"))


@pytest.mark.parametrize("colorspace", [1, 2])
def test_colours_stay_those_of_the_source(tmp_path: Path, colorspace: int) -> None:
    colour = (110, 100, 190)  # Y, Cb, Cr: a red that the two common matrices show differently
    source = tmp_path / "red.mp4"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.colorspace = colorspace
        frame = av.VideoFrame(320, 240, "yuv420p")
        for plane, value in zip(frame.planes, colour, strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(annotate(tmp_path, source, []))) as container:
        frame = next(container.decode(video=0))
    assert frame.colorspace == colorspace
    planes = frame.to_ndarray().astype(int)
    assert (planes[100, 50], planes[250, 50], planes[310, 50]) == pytest.approx(colour, abs=3)


def test_a_still_picture_is_annotated_too(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "face.jpg"), "w") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), 128, np.uint8), format="rgb24")))
        container.mux(stream.encode())
    annotated = annotate(tmp_path, tmp_path / "face.jpg", [make_row(1, 0.0, SAD)])
    assert len(read_times(annotated)) == 1
    assert len(read_thumbnails(tmp_path / "face.jpg", [Moment(1, 0, 0.0, (60, 20, 120, 90))])) == 1
