"""Watch one session's processes until it is read and everything waiting is stored."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.children import EXIT_STOPPED, Child
from cli.messages import to_line
from cli.services import Services
from contracts.errors import EmotraceError
from contracts.progress import read_progress
from contracts.stream import CropStream

_POLL_S = 0.1
_MEASURE_S = 0.5
_STOP_TIMEOUT_S = 30.0
_MAX_RESTARTS = 5
# Nobody waits for a recording's single rows, and a fuller batch costs less.
_GATHER_S = "0.3"


@dataclass
class Interrupt:
    """Whether Ctrl-C (or SIGTERM) has asked this run to end."""

    is_asked: bool = False


@contextmanager
def catch_interrupts() -> Iterator[Interrupt]:
    """Turn the first Ctrl-C or SIGTERM into a wish that the run looks at; the second one ends it at once."""
    interrupt = Interrupt()

    def ask(_signal: int, _frame: object) -> None:
        if interrupt.is_asked:
            raise KeyboardInterrupt
        interrupt.is_asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class InferenceProcess:
    """The run's inference process, started anew when it dies; measured over all its lives."""

    def __init__(self, services: Services, stream: CropStream, device: str) -> None:
        self._services, self._stream, self._device = services, stream, device
        self._child: Child | None = None
        self._model = ""
        self._ended_cpu_s = 0.0
        self._num_restarts = 0
        self.peak_memory_mb = 0.0

    @property
    def cpu_s(self) -> float:
        return self._ended_cpu_s + (self._child.cpu_s if self._child else 0.0)

    def start(self, model: str) -> None:
        """Start it, unless it runs with this model already."""
        self._num_restarts = 0
        if self._child is None or self._model != model or self._child.poll() is not None:
            self._restart(model)

    def _restart(self, model: str) -> None:
        self.stop()
        self._model = model
        # The stream is this run's own, so what another consumer holds was left by a dead worker: claim it at once.
        arguments = ["run-inference", self._stream.name, model, self._device, _GATHER_S, "0"]
        self._child = Child(arguments, self._services.environment)

    def check(self) -> None:
        """Start it anew where it was killed.

        Raises:
            EmotraceError: it ended with an error of its own, or is ended again and again.
        """
        assert self._child is not None
        code = self._child.poll()
        if code is None:
            return
        # Killed, or asked by somebody to stop: what it held waits for the next one.
        was_ended = code <= 0
        if not was_ended or self._num_restarts >= _MAX_RESTARTS:
            raise self._child.make_error("inference")
        self._num_restarts += 1
        self._restart(self._model)

    def measure(self) -> None:
        if self._child is not None:
            self._child.measure()
            self.peak_memory_mb = max(self.peak_memory_mb, self._child.peak_memory_mb)

    def stop(self) -> None:
        """End it after what it holds is stored."""
        if self._child is not None:
            self._child.stop(_STOP_TIMEOUT_S)
            self._ended_cpu_s += self._child.cpu_s
            self._child = None


@dataclass(frozen=True)
class SessionEnd:
    """How a session's processes ended; ``error`` is None where the reading ended or was stopped in order."""

    is_fully_read: bool
    error: EmotraceError | None
    ingest_cpu_s: float
    ingest_peak_memory_mb: float


def watch_session(
    session_id: str,
    title: str,
    services: Services,
    stream: CropStream,
    inference: InferenceProcess,
    interrupt: Interrupt,
    hold: int,
) -> SessionEnd:
    """Start a session's ingest process and wait until its crops are stored, with a progress bar on standard error.

    The ingest process inherits ``hold``, the session's lock.
    """
    ingest = Child(["run-recording", session_id, stream.name], services.environment, [hold])
    error: EmotraceError | None = None
    next_measure = 0.0
    try:
        with _make_bar() as bar:
            task = bar.add_task(to_line(title), total=None, frames=0, faces=0, speed="")
            start = time.monotonic()
            while True:
                if interrupt.is_asked:
                    ingest.ask_to_stop()
                inference.check()
                has_ended = ingest.poll() is not None
                if has_ended and stream.count_waiting() == 0:
                    break
                progress = read_progress(services.client, session_id)
                if progress is not None:
                    bar.update(
                        task,
                        completed=progress.time_s,
                        total=progress.duration_s or None,
                        frames=progress.frames,
                        faces=progress.faces,
                        speed=f"{progress.time_s / (time.monotonic() - start):.1f}x",
                    )
                if time.monotonic() >= next_measure:
                    ingest.measure()
                    inference.measure()
                    next_measure = time.monotonic() + _MEASURE_S
                time.sleep(_POLL_S)
    except EmotraceError as found:
        error = found
    except KeyboardInterrupt:
        ingest.process.kill()
        raise
    finally:
        ingest.stop(_STOP_TIMEOUT_S)
        inference.measure()
    # One that was still starting when it was asked to stop could not do so in order.
    in_order = (0, EXIT_STOPPED, -signal.SIGTERM) if interrupt.is_asked else (0, EXIT_STOPPED)
    if error is None and ingest.poll() not in in_order:
        error = ingest.make_error("ingest")
    return SessionEnd(ingest.poll() == 0 and error is None, error, ingest.cpu_s, ingest.peak_memory_mb)


def _make_bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),  # a file may be called "[red].mp4"
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[frames]} frames  {task.fields[faces]} faces  {task.fields[speed]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        refresh_per_second=4,
        transient=True,
    )
