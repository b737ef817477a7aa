"""One inference worker end to end (Valkey, decoding, network, rows, acknowledging) beside the bare network.

python benchmarks/worker.py [--windows 2000] [--runs 3] [--batch 8] [--postgresql] [--device cpu]

Both get the same windows in the same order and batches: live windows of 16 cameras with one face each. The worker is
the process that ``emotrace inference`` starts; it is stopped (SIGSTOP) while its lane is filled. The bare network is
``EmotionPredictor.predict`` in this process. They are measured in turn; new faces in each run, because the predictor
remembers crops.
"""

import argparse
import os
import signal
import time

os.environ["OMP_NUM_THREADS"] = "1"

import psutil
from installation import INFERENCE, POSTGRESQL, VALKEY, Installation, add_sessions, run_installation, wait_for
from measure import describe_machine
from unit_costs import make_windows

from contracts.lanes import LIVE, name_lane
from contracts.messages import CropSequence
from contracts.model_card import DEFAULT_MODEL, read_card
from contracts.stream import CropStream
from contracts.worker_state import list_worker_states
from models.predictor import WORKER_CROPS_KEPT, EmotionPredictor

_FILL = 64  # windows published together


def measure_worker(
    one: Installation, stream: CropStream, windows: list[CropSequence]
) -> tuple[float, dict[str, float]]:
    """Return the seconds in which the worker stores ``windows``, and the CPU seconds of each kind of process."""
    worker = psutil.Process(one.children[INFERENCE].process.pid)
    add_sessions(one.engine, {window.session_id for window in windows})
    worker.send_signal(signal.SIGSTOP)
    for first in range(0, len(windows), _FILL):
        stream.publish(*windows[first : first + _FILL])
    cpu, begin_s = one.measure_cpu(), time.monotonic()
    worker.send_signal(signal.SIGCONT)
    while stream.count_waiting():
        time.sleep(0.01)
    wall_s = time.monotonic() - begin_s
    return wall_s, {kind: used - cpu[kind] for kind, used in one.measure_cpu().items()}


def measure_bare(predictor: EmotionPredictor, windows: list[CropSequence], batch: int) -> tuple[float, float]:
    """Return the seconds and CPU seconds of the network alone."""
    begin_s, cpu_s = time.monotonic(), time.process_time()
    for first in range(0, len(windows), batch):
        taken = windows[first : first + batch]
        predictor.predict([window.read_crops() for window in taken], [window.times_s for window in taken])
    return time.monotonic() - begin_s, time.process_time() - cpu_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8, help="the worker's largest batch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--postgresql", action="store_true", help="in place of SQLite")
    arguments = parser.parse_args()
    predictor = EmotionPredictor(DEFAULT_MODEL, arguments.device, crops_kept=WORKER_CROPS_KEPT)
    shares = []
    print(f"{describe_machine()}; {predictor.device_name}, batches of {arguments.batch}, {arguments.windows} windows")
    with run_installation(
        0, 1, arguments.postgresql, variables={"EMOTRACE_BATCH_WINDOWS": str(arguments.batch)}
    ) as one:
        stream = CropStream(one.client, name_lane(LIVE, read_card(DEFAULT_MODEL).model_id))
        wait_for(lambda: bool(list_worker_states(one.client)), "the worker", 120)
        for run in range(arguments.runs):
            windows = list(make_windows(2 * arguments.windows + 64, seed=run))[: arguments.windows]
            faces = sum(window.num_faces for window in windows)
            wall_s, cpu = measure_worker(one, stream, windows)
            bare_s, bare_cpu_s = measure_bare(predictor, windows, arguments.batch)
            shares.append(bare_s / wall_s)
            print(
                f"faces a second: worker {faces / wall_s:.0f}, bare {faces / bare_s:.0f}: {bare_s / wall_s:.0%}; "
                f"CPU ms a face: worker {1000 * cpu[INFERENCE] / faces:.2f}, bare {1000 * bare_cpu_s / faces:.2f}, "
                f"Valkey {1000 * cpu[VALKEY] / faces:.2f}, PostgreSQL {1000 * cpu.get(POSTGRESQL, 0.0) / faces:.2f}",
                flush=True,
            )
    print(f"the worker reaches {max(shares):.0%} of the bare network's throughput (best of {arguments.runs})")


if __name__ == "__main__":
    main()
