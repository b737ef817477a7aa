"""Load: RTSP cameras on loopback through the real processes, analysed in real time.

python benchmarks/cameras.py VIDEO [--cameras 4,8,16,24,32] [--seconds 300] [--fps 5] [--workers 1] [--postgresql]

Prints, for each number of cameras: CPU seconds per camera second by kind of process (the video server's is shown apart
and left out), the delay from a frame's arrival to the commit of its row, frames that back-pressure took, steps down,
and frames that no ledger explains. Everything but the ledger is of the measured time, which begins when all cameras
have run for a while.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
import sqlalchemy as sa
from delays import RowWatcher, count_rows, list_delays
from installation import (
    KINDS,
    VIDEO_SERVER,
    Installation,
    add_cameras,
    disable_cameras,
    run_installation,
    run_video_server,
    wait_for,
)
from measure import describe_machine

from contracts import ledger, store
from contracts.camera_sessions import list_ended
from contracts.database import read_transaction
from contracts.schema import sessions
from contracts.stream_state import LIVE, StreamState, read_states

SOURCE_FPS = 15  # video_server.FPS
SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
_QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class LoadOptions:
    """What is run, and for how long; ``fps`` are the frames analysed a second, ``workers`` inference processes."""

    video: Path
    fps: float = 5.0
    size: tuple[int, int] = SIZES["360p"]
    workers: int = 1
    has_postgresql: bool = False
    settle_s: float = 30.0
    seconds: float = 300.0
    logs: Path | None = None


@dataclass
class Load:
    """What one number of cameras gave. CPU is in seconds per camera second; ``delays_s`` are quantiles."""

    cameras: int
    seconds: float
    cpu: dict[str, float]
    video_server_cpu: float
    others_cores: float
    memory_mb: dict[str, float]
    decoded_fps: float
    analysed_fps: float
    delays_s: dict[str, float]
    num_delays: int
    skipped: dict[str, int]
    steps_down: int
    redis_in_bytes: float
    redis_out_bytes: float
    redis_clients: int
    database_clients: int
    sessions: int
    packets: int
    sent: int
    rows: int
    rejected: int
    untimed_rows: int
    unexplained: int
    imbalances: list[str]

    @property
    def total_cpu(self) -> float:
        return sum(self.cpu.values())

    @property
    def is_held(self) -> bool:
        """Whether every sampled frame was analysed in its time."""
        return not self.skipped.get(ledger.BACKPRESSURE) and not self.steps_down


@dataclass
class Snapshot:
    at: float
    cpu: dict[str, float]
    server_cpu: float
    machine_cpu: float
    states: dict[str, StreamState]
    redis: dict[str, int]


def run_load(options: LoadOptions, num_cameras: int) -> Load:
    """Run so many cameras and measure them."""
    with (
        run_video_server(options.video, num_cameras, options.size) as (port, server),
        run_installation(num_cameras, options.workers, options.has_postgresql, options.logs) as one,
    ):
        watcher = RowWatcher(one.engine)
        ids = add_cameras(one.engine, port, num_cameras, options.fps)
        wait_for(lambda: _are_live(one, ids), "all cameras", 120 + 5 * num_cameras)
        wait_for(lambda: len({row.session_id for row in watcher.rows}) >= num_cameras, "rows of all cameras", 120)
        time.sleep(options.settle_s)
        begin = _take_snapshot(one, ids, psutil.Process(server.pid))
        steps_down = _watch_steps(one, ids, options.seconds)
        end = _take_snapshot(one, ids, psutil.Process(server.pid))
        memory_mb, redis_clients, database_clients = one.measure_memory(), *one.count_clients()
        disable_cameras(one.engine, ids)
        wait_for(lambda: _are_sealed(one.engine), "the sessions to be sealed", 180)
        watcher.stop()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write("\n")
        server.stdin.flush()
        sent = int(server.stdout.readline())
        delays = list_delays(one.engine, watcher.rows, 1 / SOURCE_FPS, begin.at, end.at)
        ledgers = _read_ledgers(one.engine)
        num_rows = count_rows(one.engine)
    camera_s = num_cameras * (end.at - begin.at)
    cpu = {kind: (used - begin.cpu.get(kind, 0.0)) / camera_s for kind, used in end.cpu.items()}
    own_cpu_s = sum(end.cpu.values()) - sum(begin.cpu.values())
    server_cpu_s = end.server_cpu - begin.server_cpu
    return Load(
        cameras=num_cameras,
        seconds=end.at - begin.at,
        cpu={kind: sum(value for name, value in cpu.items() if name.startswith(kind)) for kind in KINDS},
        video_server_cpu=server_cpu_s / camera_s,
        others_cores=(end.machine_cpu - begin.machine_cpu - own_cpu_s - server_cpu_s) / (end.at - begin.at),
        memory_mb={kind: sum(size for name, size in memory_mb.items() if name.startswith(kind)) for kind in KINDS},
        decoded_fps=sum(_count(begin, end, lambda state: state.decoded)) / camera_s,
        analysed_fps=sum(_count(begin, end, lambda state: state.analysed)) / camera_s,
        delays_s={f"{quantile:.0%}": float(np.quantile(delays, quantile)) for quantile in _QUANTILES},
        num_delays=len(delays),
        skipped={
            reason: sum(_count(begin, end, lambda state, reason=reason: state.skipped.get(reason, 0)))
            for reason in ledger.SKIP_REASONS
        },
        steps_down=steps_down,
        redis_in_bytes=(end.redis["in"] - begin.redis["in"]) / camera_s,
        redis_out_bytes=(end.redis["out"] - begin.redis["out"]) / camera_s,
        redis_clients=redis_clients,
        database_clients=database_clients,
        sessions=len(ledgers),
        packets=sum(one.packets for one in ledgers),
        sent=sent,
        rows=num_rows,
        rejected=sum(one.rejected for one in ledgers),
        untimed_rows=num_rows - len(watcher.rows),
        unexplained=sum(map(_count_unexplained, ledgers)),
        imbalances=[sentence for one in ledgers for sentence in one.find_imbalances()],
    )


def _are_live(one: Installation, ids: list[str]) -> bool:
    states = read_states(one.client, ids)
    return len(states) == len(ids) and all(state.state == LIVE for state in states.values())


def _are_sealed(engine: sa.Engine) -> bool:
    with read_transaction(engine) as connection:
        running = connection.execute(
            sa.select(sa.func.count()).select_from(sessions).where(sessions.c.status == store.RUNNING)
        ).scalar_one()
        return not running and not list_ended(connection)


def _take_snapshot(one: Installation, ids: list[str], server: psutil.Process) -> Snapshot:
    machine = psutil.cpu_times()
    traffic = one.client.info("stats")
    return Snapshot(
        at=time.time(),
        cpu=one.measure_cpu(),
        server_cpu=sum(server.cpu_times()[:2]),
        machine_cpu=sum(machine) - machine.idle - machine.iowait,
        states=read_states(one.client, ids),
        redis={"in": traffic["total_net_input_bytes"], "out": traffic["total_net_output_bytes"]},
    )


def _watch_steps(one: Installation, ids: list[str], seconds: float) -> int:
    """Wait for so long; return how often a camera's rate was lowered."""
    steps, rates = 0, {key: state.fps for key, state in read_states(one.client, ids).items()}
    end = time.monotonic() + seconds
    while (left_s := end - time.monotonic()) > 0:
        time.sleep(min(1.0, left_s))
        for key, state in read_states(one.client, ids).items():
            steps += state.fps < rates.get(key, state.fps)
            rates[key] = state.fps
    return steps


def _count(begin: Snapshot, end: Snapshot, number: Callable[[StreamState], int]) -> list[int]:
    """Return by how much a number of each camera's grew; a run that began in between counts from zero."""
    return [
        number(state) - (number(before) if (before := begin.states.get(key)) and before.epoch == state.epoch else 0)
        for key, state in end.states.items()
    ]


def _read_ledgers(engine: sa.Engine) -> list[ledger.Ledger]:
    with read_transaction(engine) as connection:
        ids = connection.execute(sa.select(sessions.c.session_id)).scalars().all()
        return [store.read_ledger(connection, session_id) for session_id in ids]


def _count_unexplained(found: ledger.Ledger) -> int:
    """Return how many frames and faces are missing or too many in a sealed session's ledger."""
    return (
        abs(found.packets - found.decoded - found.undecodable)
        + abs(found.decoded - found.analysed - sum(found.skipped.values()))
        + abs(found.published - found.rows - found.rejected)
    )


def print_load(load: Load) -> None:
    """Print what was measured, for people."""
    parts = "  ".join(f"{kind} {value:.4f}" for kind, value in load.cpu.items() if value)
    sizes = "  ".join(f"{kind} {value:.0f}" for kind, value in load.memory_mb.items() if value)
    delays = "  ".join(f"{name} {value:.2f} s" for name, value in load.delays_s.items())
    skipped = "  ".join(f"{reason} {number}" for reason, number in load.skipped.items() if number)
    lines = [
        f"\n{load.cameras} cameras, {load.seconds:.0f} s: {load.total_cpu:.4f} CPU seconds per camera second",
        f"CPU: {parts}  (left out: {VIDEO_SERVER} {load.video_server_cpu:.4f})",
        f"other programs on this machine took {load.others_cores:.2f} cores",
        f"memory, MB: {sizes}",
        f"a camera's frames a second: {load.decoded_fps:.2f} decoded, {load.analysed_fps:.2f} analysed",
        f"skipped: {skipped}; steps down: {load.steps_down}",
        f"from arrival to commit: {delays} ({load.num_delays} rows)",
        f"Redis, KB per camera second: {load.redis_in_bytes / 1e3:.1f} in, {load.redis_out_bytes / 1e3:.1f} out; "
        f"connections: {load.redis_clients} to Redis, {load.database_clients} to PostgreSQL",
        f"ledger of {load.sessions} sessions: {load.sent} frames sent, {load.packets} packets read, {load.rows} rows, "
        f"{load.rejected} faces rejected, {load.unexplained} unexplained; {load.untimed_rows} rows were not timed",
        *(f"does not balance: {sentence}" for sentence in load.imbalances),
    ]
    print("\n  ".join(lines), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="a clip of one face")
    parser.add_argument("--cameras", default="16", help="numbers with commas")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--settle", type=float, default=30.0, help="seconds before measuring")
    parser.add_argument("--fps", type=float, default=5.0, help="frames analysed a second")
    parser.add_argument("--workers", type=int, default=1, help="inference processes")
    parser.add_argument("--postgresql", action="store_true", help="in place of SQLite")
    parser.add_argument("--logs", type=Path, help="folder to keep the processes' log in")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    parser.add_argument("--size", choices=SIZES, default="360p", help="of the pictures")
    arguments = parser.parse_args()
    options = LoadOptions(
        video=arguments.video,
        fps=arguments.fps,
        size=SIZES[arguments.size],
        workers=arguments.workers,
        has_postgresql=arguments.postgresql,
        settle_s=arguments.settle,
        seconds=arguments.seconds,
        logs=arguments.logs,
    )
    print(f"{describe_machine()}; {arguments.video.name}, {arguments.fps:g} frames a second analysed", flush=True)
    loads = []
    for number in map(int, arguments.cameras.split(",")):
        loads.append(run_load(options, number))
        print_load(loads[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(load) for load in loads], indent=1))
    if len(loads) > 1:
        print("\ncameras  CPU s per camera s  95 % delay, s  back-pressure  steps down  unexplained")
        for load in loads:
            print(
                f"{load.cameras:7}  {load.total_cpu:18.4f}  {load.delays_s['95%']:13.2f}  "
                f"{load.skipped[ledger.BACKPRESSURE]:13}  {load.steps_down:10}  {load.unexplained:11}"
            )
        held = [load.cameras for load in loads if load.is_held]
        print(f"the most cameras without back-pressure: {max(held, default=0)}")


if __name__ == "__main__":
    main()
