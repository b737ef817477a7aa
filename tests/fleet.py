"""An installation's processes under fire: started, watched and restarted; and what must hold of their rows."""

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import groupby, pairwise
from pathlib import Path

import psutil
import sqlalchemy as sa
from camera_runs import wait_for

from contracts import camera_sessions, store
from contracts.database import read_transaction
from contracts.ledger import Ledger
from contracts.schema import emotions, leases, sessions

OVER = (store.COMPLETE, store.INTERRUPTED)


class Fleet:
    """Processes of ``emotrace`` by name, each started again when it dies, as compose and Kubernetes do."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment, self._folder = dict(environment), folder
        self._commands: dict[str, list[str]] = {}
        self._processes: dict[str, psutil.Popen] = {}
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def add(self, name: str, *arguments: str, before: Sequence[str] = ()) -> None:
        """Run ``emotrace`` with ``arguments`` from now on, behind the command ``before`` where there is one."""
        with self._lock:
            self._commands[name] = [*before, sys.executable, "-P", "-m", "cli.main", *arguments]
            self._start(name)

    def remove(self, name: str) -> psutil.Popen:
        """Start it no more, and return its process."""
        with self._lock:
            del self._commands[name]
            return self._processes[name]

    def has(self, name: str) -> bool:
        """Return whether a process of that name is to run."""
        return name in self._commands

    def list_family(self, name: str) -> list[psutil.Process]:
        """Return a process and all that it started."""
        try:
            process = psutil.Process(self._processes[name].pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def find_victims(self, kind: str) -> list[psutil.Process]:
        """Return the living processes of a kind: those of a name, or the RQ ``worker`` or ``horse`` of any pool."""
        if kind not in ("worker", "horse"):
            return self.list_family(kind)[:1]
        depth = {"worker": 1, "horse": 2}[kind]
        hosts = [name for name in self._commands if name.startswith("ingest")]
        return [process for name in hosts for process in self.find_children(name, depth)]

    def find_children(self, name: str, depth: int) -> list[psutil.Process]:
        """Return the processes that a named one started (1), or those that these did (2)."""
        family = self.list_family(name)
        depths = {one.pid: 0 for one in family[:1]}
        for one in family[1:]:
            with suppress(psutil.NoSuchProcess):
                depths[one.pid] = depths.get(one.ppid(), 0) + 1
        return [one for one in family if depths.get(one.pid) == depth]

    def close(self) -> None:
        """End everything, the hard way where something is left."""
        self._is_over.set()
        self._thread.join()
        for process in self._processes.values():
            if process.poll() is None:
                for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
            process.wait()

    def _start(self, name: str) -> None:
        with (self._folder / f"{name}.log").open("a") as log:
            self._processes[name] = psutil.Popen(
                self._commands[name], env=self._environment, stdout=subprocess.DEVNULL, stderr=log
            )

    def _watch(self) -> None:
        while not self._is_over.wait(0.2):
            with self._lock:
                for name in self._commands:
                    if self._processes[name].poll() is not None:
                        self._start(name)


def list_sessions(engine: sa.Engine, stream_id: str | None = None) -> list[store.Row]:
    """Return the sessions of one or all streams, stream by stream, in order of time."""
    query = sa.select(sessions).order_by(sessions.c.source_id, sessions.c.started_at)
    if stream_id is not None:
        query = query.where(sessions.c.source_id == stream_id)
    with read_transaction(engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def count_rows(engine: sa.Engine, stream_id: str) -> int:
    """Return how many rows a stream has."""
    query = sa.select(sa.func.count()).select_from(emotions.join(sessions)).where(sessions.c.source_id == stream_id)
    with read_transaction(engine) as connection:
        return int(connection.execute(query).scalar_one())


def read_epochs(engine: sa.Engine) -> dict[str, int]:
    """Return each stream's newest epoch."""
    with read_transaction(engine) as connection:
        return {row.stream_id: row.epoch for row in connection.execute(sa.select(leases))}


def wait_until_sealed(engine: sa.Engine, limit_s: float = 150.0) -> None:
    """Wait until the scheduler has closed every session's ledger."""

    def are_sealed() -> bool:
        return all(row["status"] not in (store.RUNNING, store.ENDED) for row in list_sessions(engine))

    wait_for(are_sealed, "the last ledgers to be closed", limit_s)


def check_sealed(engine: sa.Engine) -> dict[str, list[Ledger]]:
    """Check that all is accounted for, that epochs grow, and that no stream ran twice at once; return the ledgers."""
    found: dict[str, list[Ledger]] = {}
    newest = read_epochs(engine)
    for stream_id, group in groupby(list_sessions(engine), key=lambda row: row["source_id"]):
        rows = list(group)
        with read_transaction(engine) as connection:
            found[stream_id] = [store.read_ledger(connection, row["session_id"]) for row in rows]
        for row, ledger in zip(rows, found[stream_id], strict=True):
            assert ledger.find_imbalances() == [] and row["status"] in OVER, (row, ledger)
            assert row["started_at"] <= row["ended_at"], row
        for before, after in pairwise(rows):
            assert before["ended_at"] <= after["started_at"], (before, after)
            assert before["epoch"] <= after["epoch"], (before, after)
        assert rows[-1]["epoch"] <= newest[stream_id]
    return found


def list_lost(engine: sa.Engine) -> dict[str, int]:
    """Return the rejected faces by reason."""
    counts: dict[str, int] = {}
    with read_transaction(engine) as connection:
        for row in list_sessions(engine):
            for one in store.list_rejections(connection, row["session_id"]):
                counts[one["reason"]] = counts.get(one["reason"], 0) + one["num_faces"]
    return counts


def describe(ledgers: Mapping[str, Sequence[Ledger]]) -> str:
    """Return all ledgers' sums in a line."""
    flat = [one for several in ledgers.values() for one in several]
    skipped: dict[str, int] = {}
    for one in flat:
        for reason, count in one.skipped.items():
            skipped[reason] = skipped.get(reason, 0) + count
    packets, analysed = sum(one.packets for one in flat), sum(one.analysed for one in flat)
    published, rows = sum(one.published for one in flat), sum(one.rows for one in flat)
    return (
        f"{len(flat)} sessions, {packets} packets, {analysed} analysed, skipped {skipped}, "
        f"{published} faces published, {rows} rows, {sum(one.rejected for one in flat)} rejected"
    )


def count_outage_s(engine: sa.Engine, stream_id: str) -> float:
    """Return for how many seconds a stream had no session between its first and its last."""
    rows = list_sessions(engine, stream_id)
    with read_transaction(engine) as connection:
        outages = camera_sessions.list_outages(connection, stream_id, 0.0, rows[-1]["started_at"])
    return sum(one.end_at - one.start_at for one in outages)
