"""A recording in parts beside the same one read in one go: are the rows those of one worker, and of no parts at all?

    python benchmarks/parts.py VIDEO [--repeat 1] [--part-seconds 10] [--fps 10] [--workers 3]

Reads the recording three times, on embedded services of its own: with ``analyze``, in parts by one worker, and in parts
by several at once, in another order. Prints faces matched, labels that agree, and every seam with what was joined
there. It ends with 1 where workers differ, or fewer than 99 % of the faces match.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa
from measure import EMOTRACE, describe_machine, repeat_clip

from contracts import aliases, parts, store
from contracts.boxes import compute_iou
from contracts.database import open_database, read_transaction
from contracts.embedded import run_valkey
from contracts.emotions import EMOTIONS
from contracts.lanes import BATCH, name_lane
from contracts.part_sessions import finish_parts
from contracts.persons import read_persons
from contracts.stream import CropStream

_MIN_IOU = 0.5
_MIN_MATCHED = 0.99
_RUN_PART = "import sys; from ingest.jobs import run_part; run_part(sys.argv[1], int(sys.argv[2]))"
_COLUMNS = ("pts", "track_id", "frame_index", "x1", "y1", "x2", "y2", "detection_score", "quality", *EMOTIONS)
Row = Mapping[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--repeat", type=int, default=1, help="read the clip so many times over")
    parser.add_argument("--part-seconds", type=float, default=10.0)
    parser.add_argument("--fps", default="10")
    parser.add_argument("--workers", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="emotrace-parts-") as name, run_valkey(Path(name) / "valkey") as redis_url:
        folder, video = Path(name), arguments.video.resolve()
        if arguments.repeat > 1:
            video = repeat_clip(video, arguments.repeat, folder / f"repeated{video.suffix}")
        database_url = f"sqlite:///{folder / 'emotrace.db'}"
        environment = {
            **os.environ,
            "EMOTRACE_DATA_DIR": name,
            "EMOTRACE_REDIS_URL": redis_url,
            "EMOTRACE_DATABASE_URL": database_url,
        }
        client, engine = redis.Redis.from_url(redis_url, protocol=2), open_database(database_url)
        runs = Runs(video, arguments.fps, arguments.part_seconds, environment, folder, engine, client)
        print(f"{describe_machine()}; {arguments.video.name}, {arguments.repeat} times, --fps {arguments.fps}")
        is_good = compare(runs.read_whole(), runs.read_parts(1), runs.read_parts(arguments.workers), engine)
        client.close()
        engine.dispose()
    sys.exit(0 if is_good else 1)


@dataclass(frozen=True)
class Runs:
    """The same recording, read in one way after the other; each returns its session's id."""

    video: Path
    fps: str
    part_s: float
    environment: dict[str, str]
    folder: Path
    engine: sa.Engine
    client: redis.Redis

    def read_whole(self) -> str:
        begin = time.monotonic()
        done = self._run("analyze", self.video, "--fps", self.fps, "--out", self.folder / "out", "--json")
        print(f"in one go: {time.monotonic() - begin:.1f} s with its reports")
        return str(done["session_id"])

    def read_parts(self, num_workers: int) -> str:
        options = ("--fps", self.fps, "--part-seconds", self.part_s)
        (file,) = self._run("batch", "submit", self.video, *options, "--json")["files"]
        session_id, order = str(file["session_id"]), list(range(file["parts"]))
        if num_workers > 1:
            random.Random(num_workers).shuffle(order)
        with read_transaction(self.engine) as connection:
            session = store.read_session(connection, session_id)
        stream = CropStream(self.client, name_lane(BATCH, session["model_id"]))
        stream.create_group()
        worker = [*EMOTRACE, "run-inference", stream.name, session["settings"]["model"], "cpu", "0.1", "5"]
        inference = subprocess.Popen(worker, env=self.environment)
        begin = time.monotonic()
        try:
            with ThreadPoolExecutor(num_workers) as pool:
                list(pool.map(lambda part: self._run_part(session_id, part), order))
            finish_parts(self.engine, stream, session_id, 5.0)
            while self._read_status(session_id) == store.RUNNING:
                time.sleep(0.1)
                finish_parts(self.engine, stream, session_id, 5.0)
        finally:
            inference.terminate()
            inference.wait()
        took_s, status = time.monotonic() - begin, self._read_status(session_id)
        print(f"in {len(order)} parts by {num_workers}: {took_s:.1f} s, {status}")
        return session_id

    def _read_status(self, session_id: str) -> str:
        with read_transaction(self.engine) as connection:
            return str(store.read_session(connection, session_id)["status"])

    def _run_part(self, session_id: str, part: int) -> None:
        subprocess.run([sys.executable, "-c", _RUN_PART, session_id, str(part)], env=self.environment, check=True)

    def _run(self, *arguments: object) -> Any:
        command = [*EMOTRACE, *map(str, arguments)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        return json.loads(done.stdout)


def compare(whole_id: str, one_id: str, many_id: str, engine: sa.Engine) -> bool:
    """Print how the three sessions differ; return whether they are as alike as they must be."""
    with read_transaction(engine) as connection:
        whole, one, many = (_read_rows(connection, session_id) for session_id in (whole_id, one_id, many_id))
        is_same = [_read_key(row) for row in one] == [_read_key(row) for row in many]
        for read_rows in (store.list_coverage, store.list_tracks, aliases.list_aliases):
            found = [_strip(read_rows(connection, session_id)) for session_id in (one_id, many_id)]
            is_same = is_same and found[0] == found[1]
        persons, joins = read_persons(connection, one_id), aliases.list_aliases(connection, one_id)
        cut = parts.list_parts(connection, one_id)
    change = max((_compare(a, b) for a, b in zip(one, many, strict=False)), default=0.0)
    print(
        f"one worker and many: {'identical rows' if is_same else 'DIFFERENT ROWS'}, probabilities within {change:.4f}"
    )
    pairs = _match(whole, one)
    agreeing = sum(_find_label(a) == _find_label(b) for a, b in pairs)
    share = len(pairs) / len(whole) if whole else 1.0
    print(f"against one go: {len(pairs)} of {len(whole)} faces match ({share:.2%}; {len(one)} in parts)")
    if pairs:
        largest = max(_compare(a, b) for a, b in pairs)
        print(f"  labels agree: {agreeing / len(pairs):.2%}; largest change of a probability {largest:.3f}")
        kept = sum(
            len({persons.find(b["track_id"], b["pts"]) for a, b in pairs if a["track_id"] == track_id}) == 1
            for track_id in {a["track_id"] for a, _ in pairs}
        )
        print(f"  faces that stay one person: {kept} of {len({a['track_id'] for a, _ in pairs})}")
    for part in cut[1:]:
        here = [join for join in joins if join["track_id"] // parts.TRACKS_PER_PART == part["part"]]
        said = "; ".join(f"{join['track_id']} is {join['joined_id']} ({join['reason']})" for join in here)
        near = [pair for pair in pairs if abs(pair[0]["time_s"] - part["start_s"]) < 1]
        alike = sum(_find_label(a) == _find_label(b) for a, b in near)
        print(f"  seam at {part['start_s']:.3f} s: {said or 'nobody'}; labels within 1 s {alike} of {len(near)}")
    return is_same and share >= _MIN_MATCHED


def _read_rows(connection: sa.Connection, session_id: str) -> list[Row]:
    columns = ("time_s", *_COLUMNS)
    chunks = store.iterate_emotions(connection, session_id, columns)
    return [dict(zip(columns, row, strict=True)) for rows in chunks for row in map(tuple, rows)]


def _read_key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _COLUMNS if name not in EMOTIONS)


def _strip(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name not in ("session_id", "made_at")} for row in rows]


def _match(whole: Sequence[Row], apart: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Pair faces of the same pts, those that overlap most first."""
    by_pts: dict[int, list[Row]] = {}
    for row in apart:
        by_pts.setdefault(row["pts"], []).append(row)
    candidates = [
        (compute_iou(_read_box(row), _read_box(other)), index, row, other)
        for index, row in enumerate(whole)
        for other in by_pts.get(row["pts"], [])
    ]
    pairs: dict[int, tuple[Row, Row]] = {}
    taken: set[int] = set()
    for iou, index, row, other in sorted(candidates, key=lambda one: (-one[0], one[1])):
        if iou >= _MIN_IOU and index not in pairs and id(other) not in taken:
            pairs[index] = row, other
            taken.add(id(other))
    return [pairs[index] for index in sorted(pairs)]


def _read_box(row: Row) -> tuple[float, float, float, float]:
    return row["x1"], row["y1"], row["x2"], row["y2"]


def _find_label(row: Row) -> str:
    return max(EMOTIONS, key=lambda name: row[name])


def _compare(a: Row, b: Row) -> float:
    return max(abs(float(a[name] - b[name])) for name in EMOTIONS)


if __name__ == "__main__":
    main()
