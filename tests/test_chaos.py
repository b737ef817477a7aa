"""Kills at random moments, and hosts whose cables are pulled: every row once, every ledger balanced, one run at a time.

Minutes long, so only with ``-m chaos``. ``CHAOS_ROUNDS`` (50) and ``CHAOS_SEED`` (1) choose the kills; ``-s`` shows
the numbers.
"""

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
import sqlalchemy as sa
from camera_runs import LANE, add_camera, configure, read_state, wait_for
from cluster import Cluster, run_cluster
from fleet import Fleet, check_sealed, describe, list_lost, list_sessions, read_epochs, wait_until_sealed
from hosts import need_hosts

from contracts import ledger
from contracts.stream_state import LIVE

pytestmark = pytest.mark.chaos
ROUNDS, SEED = int(os.environ.get("CHAOS_ROUNDS", "50")), int(os.environ.get("CHAOS_SEED", "1"))
CUT_S = 30.0
KINDS = ("ingest", "worker", "horse", "inference", "scheduler")


def are_live(client: redis.Redis, cameras: list[str], since: float) -> bool:
    states = [read_state(client, camera) for camera in cameras]
    return all(state is not None and state.state == LIVE and state.at > since for state in states)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_cameras_outlive_kills_of_every_process_at_random_moments(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_url: str,
    engine: sa.Engine,
    carphone: Path,
) -> None:
    configure(monkeypatch, tmp_path, valkey_url, engine)
    monkeypatch.setenv("EMOTRACE_LEASE_S", "3")
    monkeypatch.setenv("EMOTRACE_CLAIM_AFTER_S", "5")
    chance, killed = random.Random(SEED), Counter[str]()
    cameras = [add_camera(engine, carphone, f"camera {number}", fps=5) for number in range(3)]
    fleet = Fleet(os.environ, tmp_path)
    try:
        fleet.add("ingest", "ingest", "--capacity", "4", "--parts", "0")
        fleet.add("inference", "inference", "--lanes", "live")
        fleet.add("scheduler", "scheduler")
        wait_for(lambda: are_live(valkey, cameras, 0.0), "the cameras", 60)
        begin_s = time.monotonic()
        while killed.total() < ROUNDS:
            time.sleep(chance.uniform(0.2, 4.0))
            kind = chance.choice(KINDS)
            if victims := fleet.find_victims(kind):
                victim = chance.choice(victims)
                with suppress(psutil.NoSuchProcess):
                    victim.kill()
                    killed[kind] += 1
        last = time.time()
        wait_for(lambda: are_live(valkey, cameras, last + 1), "the cameras to come back", 60)
        print(f"\n{dict(killed)} in {time.monotonic() - begin_s:.0f} s; back {time.time() - last:.1f} s after the last")
        wait_for(lambda: valkey.xlen(LANE) < 5, "inference to catch up", 60)
        host = fleet.remove("ingest")
        host.terminate()
        host.wait(60)
        wait_until_sealed(engine)
    finally:
        fleet.close()
    ledgers = check_sealed(engine)
    print(describe(ledgers), "lost:", list_lost(engine), "epochs:", read_epochs(engine))
    assert ledgers.keys() == set(cameras)
    for camera in cameras:
        moves = len({row["epoch"] for row in list_sessions(engine, camera)})
        # A run may be killed before it begins a session.
        assert moves <= read_epochs(engine)[camera] <= 1 + killed["ingest"] + killed["worker"] + killed["horse"]
    assert "Traceback" not in (tmp_path / "scheduler.log").read_text()


# Several hosts


@pytest.fixture
def cluster(carphone: Path) -> Iterator[Cluster]:
    need_hosts()
    with tempfile.TemporaryDirectory(prefix="em-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        with run_cluster(Path(name), carphone) as found:
            yield found


def test_a_host_whose_cable_is_pulled_loses_its_cameras_to_another_once(cluster: Cluster) -> None:
    busiest = cluster.find_busiest()
    theirs = [camera for camera in cluster.cameras if cluster.find_host(camera) == busiest]
    cut_at = time.time()
    cluster.hosts[busiest].cut()
    wait_for(lambda: cluster.are_live(cut_at + 5, but_not_on=busiest), "the cameras to move", 40)
    moved_s = time.time() - cut_at
    time.sleep(max(0.0, CUT_S - moved_s))
    cluster.hosts[busiest].mend()
    wait_for(lambda: not cluster.fleet.find_children(busiest, 2), "the old runs to end", 40)
    time.sleep(5)
    print(f"\n{len(theirs)} cameras moved {moved_s:.1f} s after the cable was pulled")
    assert moved_s < 30
    assert cluster.read_epochs() == [2 if camera in theirs else 1 for camera in cluster.cameras]
    print(cluster.describe(cluster.finish()))


def test_a_host_that_dies_loses_its_cameras_to_another_once(cluster: Cluster) -> None:
    busiest = cluster.find_busiest()
    theirs = [camera for camera in cluster.cameras if cluster.find_host(camera) == busiest]
    died_at = time.time()
    cluster.hosts[busiest].cut()
    family = cluster.fleet.list_family(busiest)
    cluster.fleet.remove(busiest)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    wait_for(lambda: cluster.are_live(died_at + 5, but_not_on=busiest), "the cameras to move", 40)
    moved_s = time.time() - died_at
    time.sleep(5)
    print(f"\n{len(theirs)} cameras moved {moved_s:.1f} s after their host died")
    assert moved_s < 30
    assert cluster.read_epochs() == [2 if camera in theirs else 1 for camera in cluster.cameras]
    print(cluster.describe(cluster.finish()))


def test_inference_whose_cable_is_pulled_is_waited_for_and_every_face_gets_its_row(cluster: Cluster) -> None:
    cluster.hosts["inference"].cut()
    time.sleep(CUT_S)
    lane_length = cluster.servers.client.xlen(LANE)
    cluster.hosts["inference"].mend()
    mended_s = time.monotonic()
    wait_for(lambda: cluster.servers.client.xlen(LANE) < 5, "inference to catch up", 90)
    print(f"\n{lane_length} windows waited; caught up {time.monotonic() - mended_s:.1f} s after the cable was back")
    assert set(cluster.read_epochs()) == {1}
    ledgers = cluster.finish()
    print(cluster.describe(ledgers))
    assert sum(one.rejected for several in ledgers.values() for one in several) == 0
    assert any(ledger.BACKPRESSURE in one.skipped for several in ledgers.values() for one in several)


def test_servers_whose_cable_is_pulled_are_waited_for_and_cameras_go_on(cluster: Cluster) -> None:
    cluster.hosts["data"].cut()
    time.sleep(CUT_S)
    cluster.hosts["data"].mend()
    mended_at = time.time()
    wait_for(lambda: cluster.are_live(mended_at + 2), "the cameras", 60)
    print(f"\nlive again {time.time() - mended_at:.1f} s after the cable was back")
    before = cluster.count_rows()
    wait_for(lambda: all(b > a + 20 for a, b in zip(before, cluster.count_rows(), strict=True)), "rows again", 60)
    # The lease expires in the database meanwhile: the old run renews it, or a new one takes over, once.
    assert set(cluster.read_epochs()) <= {1, 2}
    print(cluster.describe(cluster.finish()))
