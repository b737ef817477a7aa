"""What each fault of a camera costs: seconds without pictures, frames lost by reason, whether ledgers balance.

python benchmarks/camera_faults.py VIDEO

Ten cameras of a scripted RTSP server (``tests/street.py``) run side by side with the default settings but one: a camera
that takes 40 s to start needs ``EMOTRACE_CAMERA_OPEN_TIMEOUT_S`` (45 here). Of those that come up after a while, the
seconds are from the run's begin to the first picture; of the others, from the last picture before the fault to the
first one after it.
"""

import argparse
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from measure import describe_machine

from contracts import ledger
from contracts.embedded import run_valkey

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from street import Outcome, run_street

SLOW_S = 40.0
# The defaults but for the first: tests have shorter ones.
SETTINGS = {
    "CAMERA_OPEN_TIMEOUT_S": "45", "CAMERA_READ_TIMEOUT_S": "10", "CAMERA_MIN_BACKOFF_S": "1",
    "CAMERA_MAX_BACKOFF_S": "60",
}  # fmt: skip
MEANT = (ledger.NOT_SAMPLED, ledger.NO_FACE, ledger.LOW_QUALITY)


def measure_outage(outcome: Outcome) -> float:
    """Return the longest time without pictures, in seconds."""
    found = outcome.sessions
    if len(found) == 1:
        return float(found[0]["started_at"] - outcome.begun_at)
    return max(
        0.0,  # frames that came faster than they say
        *(
            float(after["started_at"] - before["started_at"] - before["facts"]["last_time_s"])
            for before, after in pairwise(found)
        ),
    )


def list_lost(outcome: Outcome) -> str:
    """Return the frames that were no result for the fault's sake, by reason."""
    lost: dict[str, int] = {}
    for one in outcome.ledgers:
        counts = {**{name: number for name, number in one.skipped.items() if name not in MEANT}}
        for name, number in {**counts, "undecodable": one.undecodable}.items():
            lost[name] = lost.get(name, 0) + number
    return ", ".join(f"{name} {number}" for name, number in lost.items() if number) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, help="a clip of one face; it is cut down to 176x144")
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="emotrace-street-") as name:
        folder = Path(name)
        with run_valkey(folder / "data") as url, run_street(folder, url, arguments.video, SETTINGS, SLOW_S) as found:
            print("| a camera that ... | without pictures, s | sessions | frames lost | rows of faces | balanced |")
            print("|---|---|---|---|---|---|")
            for what, future in found.items():
                outcome = future.result()
                is_balanced = all(one.find_imbalances() == [] for one in outcome.ledgers)
                rows, published = (sum(getattr(one, kind) for one in outcome.ledgers) for kind in ("rows", "published"))
                print(
                    f"| {what} | {measure_outage(outcome):.1f} | {len(outcome.sessions)} | {list_lost(outcome)} | "
                    f"{rows} of {published} | {'yes' if is_balanced else 'NO'} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
