"""What each fault costs: seconds until every camera has rows again, frames lost by reason, whether ledgers balance.

python benchmarks/faults.py VIDEO [--only WORD]

As root on Linux: servers, two ingest hosts and inference are network namespaces (``tests/cluster.py``), the cameras
four times VIDEO at 5 analysed frames per second. Each fault has an installation of its own, with the default settings.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from measure import describe_machine

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from camera_runs import wait_for
from cluster import Cluster, run_cluster
from fleet import count_outage_s, list_lost

from contracts import ledger
from contracts.errors import ServiceError

CUT_S = 30.0
MEANT = (ledger.NOT_SAMPLED, ledger.NO_FACE, ledger.LOW_QUALITY)
# Strikes, and returns what is to be done CUT_S later, if anything is.
Fault = Callable[[Cluster], Callable[[], None] | None]


def kill(kind: str) -> Fault:
    def strike(cluster: Cluster) -> None:
        if kind in ("worker", "horse"):
            horse = cluster.fleet.find_victims("horse")[0]
            (horse if kind == "horse" else horse.parent()).kill()
        else:
            cluster.fleet.find_victims(cluster.find_busiest() if kind == "ingest" else kind)[0].kill()

    return strike


def restart(server: str) -> Fault:
    return lambda cluster: cluster.servers.restart(server)


def pull_cable(host: str) -> Fault:
    def strike(cluster: Cluster) -> Callable[[], None]:
        found = cluster.hosts[cluster.find_busiest() if host == "ingest" else host]
        found.cut()
        return found.mend

    return strike


def end_host(cluster: Cluster) -> None:
    name = cluster.find_busiest()
    cluster.hosts[name].cut()
    family = cluster.fleet.list_family(name)
    cluster.fleet.remove(name)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()


FAULTS: dict[str, Fault] = {
    "nothing, for comparison": lambda _: None,
    "a camera's process killed": kill("horse"),
    "an RQ worker killed": kill("worker"),
    "an ingest process killed": kill("ingest"),
    "the inference worker killed": kill("inference"),
    "the scheduler killed": kill("scheduler"),
    "Valkey killed, started again": restart("valkey"),
    "PostgreSQL killed, started again": restart("postgresql"),
    "an ingest host dead": end_host,
    "an ingest host's cable pulled, 30 s": pull_cable("ingest"),
    "inference's cable pulled, 30 s": pull_cable("inference"),
    "the servers' cable pulled, 30 s": pull_cable("data"),
}


def measure(strike: Fault, video: Path) -> list[str]:
    """Return what a fault cost, as cells of the table."""
    with tempfile.TemporaryDirectory(prefix="em-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        os.environ["EMOTRACE_DATA_DIR"] = name
        with run_cluster(Path(name), video) as cluster:
            struck_at = time.time()
            mend = strike(cluster)
            recovered_at = None
            while recovered_at is None or mend is not None:
                with suppress(ServiceError):
                    if recovered_at is None and cluster.find_oldest_news() > struck_at + 1:
                        recovered_at = time.time()
                if mend is not None and time.time() > struck_at + CUT_S:
                    mend = mend()
                if time.time() > struck_at + 150:
                    raise SystemExit(f"no rows came for {time.time() - struck_at:.0f} s")
                time.sleep(0.1)
            # What was cut off finds out, and an interrupted worker's entries are claimed.
            wait_for(lambda: cluster.servers.client.xlen(cluster.lane) < 8, "inference to catch up", 90)
            time.sleep(10)
            moves = sum(cluster.read_epochs()) - len(cluster.cameras)
            ledgers = [one for several in cluster.finish().values() for one in several]
            outage_s = sum(count_outage_s(cluster.servers.engine, camera) for camera in cluster.cameras)
            lost = sum(list_lost(cluster.servers.engine).values())
    skipped: Counter[str] = Counter()
    for one in ledgers:
        skipped.update({reason: count for reason, count in one.skipped.items() if reason not in MEANT})
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(skipped.items())) or "none"
    is_balanced = not any(one.find_imbalances() for one in ledgers)
    cells = [f"{recovered_at - struck_at:.1f}", str(moves), f"{outage_s:.0f}", reasons, str(lost)]
    return [*cells, "yes" if is_balanced else "NO"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--only", default="", help="a part of a fault's name")
    arguments = parser.parse_args()
    print(describe_machine())
    print("| fault | rows again after, s | moves | without a session, s | frames skipped | faces lost | balanced |")
    print("|---|---|---|---|---|---|---|")
    for name, strike in FAULTS.items():
        if arguments.only in name:
            print(f"| {name} | {' | '.join(measure(strike, arguments.video.absolute()))} |", flush=True)


if __name__ == "__main__":
    main()
