"""A small installation on several hosts: servers and scheduler, two ingest hosts, inference, and four cameras."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from camera_runs import LANE, add_camera, read_state, wait_for
from fleet import Fleet, check_sealed, count_outage_s, count_rows, describe, list_lost, read_epochs, wait_until_sealed
from hosts import Host, Network, Servers, run_servers

from contracts.database import read_transaction
from contracts.ledger import Ledger
from contracts.schema import emotions, sessions
from contracts.stream_state import LIVE


@dataclass
class Cluster:
    """What runs, and where."""

    servers: Servers
    fleet: Fleet
    hosts: dict[str, Host]
    cameras: list[str]

    def find_host(self, camera: str) -> str | None:
        """Return where a camera runs, as its run told last."""
        state = read_state(self.servers.client, camera)
        return state.host.partition("-")[0] if state is not None else None

    def find_busiest(self) -> str:
        """Return the ingest host that runs the most cameras."""
        return Counter(self.find_host(camera) or "" for camera in self.cameras).most_common(1)[0][0]

    def are_live(self, since: float, but_not_on: str = "") -> bool:
        places = [self.find_host(camera) for camera in self.cameras]
        states = [read_state(self.servers.client, camera) for camera in self.cameras]
        are_live = all(state is not None and state.state == LIVE and state.at > since for state in states)
        return are_live and but_not_on not in places

    def read_epochs(self) -> list[int]:
        """Return each camera's newest epoch: how many runs it has had."""
        found = read_epochs(self.servers.engine)
        return [found[camera] for camera in self.cameras]

    def count_rows(self) -> list[int]:
        """Return how many rows each camera has."""
        return [count_rows(self.servers.engine, camera) for camera in self.cameras]

    @property
    def lane(self) -> str:
        """The stream that the cameras' windows go through."""
        return LANE

    def find_oldest_news(self) -> float:
        """Return the time of the newest frame that has a row, of the camera where that is the longest ago."""
        frame_at = sa.func.max(sessions.c.started_at + emotions.c.time_s)
        query = sa.select(frame_at).select_from(emotions.join(sessions)).group_by(sessions.c.source_id)
        with read_transaction(self.servers.engine) as connection:
            return min(connection.execute(query).scalars())

    def finish(self) -> dict[str, list[Ledger]]:
        """End ingest in order, wait for the last rows, check what was left, and return the ledgers by camera."""
        hosts = [self.fleet.remove(name) for name in ("ingest1", "ingest2") if self.fleet.has(name)]
        for host in hosts:
            host.terminate()
        for host in hosts:
            host.wait(60)
        wait_until_sealed(self.servers.engine)
        return check_sealed(self.servers.engine)

    def describe(self, ledgers: dict[str, list[Ledger]]) -> str:
        """Return what was analysed, skipped and lost, and for how long each camera had no session."""
        engine = self.servers.engine
        outages = [round(count_outage_s(engine, camera), 1) for camera in self.cameras]
        return f"{describe(ledgers)}, lost: {list_lost(engine)}, s without a session: {outages}"


@contextmanager
def run_cluster(folder: Path, clip: Path) -> Iterator[Cluster]:
    """Run it in ``folder``, which other users must be able to read, until every camera that plays ``clip`` has rows."""
    network = Network()
    with ExitStack() as stack:
        stack.callback(network.close)
        hosts = {name: network.add(name) for name in ("data", "ingest1", "ingest2", "inference")}
        servers = stack.enter_context(run_servers(hosts["data"], folder))
        environment = {
            **os.environ,
            "EMOTRACE_DATA_DIR": str(folder),
            "EMOTRACE_REDIS_URL": servers.redis_url,
            "EMOTRACE_DATABASE_URL": servers.database_url,
        }
        cameras = [add_camera(servers.engine, clip, f"camera {number}", fps=5) for number in range(4)]
        fleet = Fleet(environment, folder)
        stack.callback(fleet.close)
        fleet.add("scheduler", "scheduler", before=hosts["data"].before)
        fleet.add("inference", "inference", "--lanes", "live", before=hosts["inference"].before)
        for name in ("ingest1", "ingest2"):
            fleet.add(name, "ingest", "--capacity", "4", "--parts", "0", before=hosts[name].before)
        found = Cluster(servers, fleet, hosts, cameras)
        wait_for(lambda: found.are_live(0.0) and min(found.count_rows()) > 20, "rows of all cameras", 90)
        yield found
