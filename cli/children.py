"""Child processes of a run: started, watched, measured and stopped; and what such a child watches for itself."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from contracts import errors, stopping
from contracts.settings import hide_credentials

# A recording's reader that was asked to stop and did so in order.
EXIT_STOPPED = 75
_PARENT_VARIABLE = "_EMOTRACE_PARENT_PID"


def end_with_parent() -> None:
    """End this process, as by SIGTERM, when the one that started it as a child has died."""
    if (parent := _find_parent()) is not None:
        stopping.end_with(parent)


def watch_for_stop() -> Callable[[], bool]:
    """Return a function that says whether this process should stop: on a signal, or when its parent has died."""
    return stopping.watch_for_stop(_find_parent())


def _find_parent() -> int | None:
    """Return who started this process as a child. It says so itself: it may die while this one still imports."""
    parent = os.environ.get(_PARENT_VARIABLE)
    return int(parent) if parent else None


class Child:
    """One ``emotrace`` process of this run, by its (hidden) command.

    It runs in a terminal session of its own: a Ctrl-C reaches the parent alone, which ends its children in order.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
        log: Path | None = None,
    ) -> None:
        """Start it; it inherits the file descriptors ``inherited``, and what it says is appended to ``log``."""
        kept = tempfile.TemporaryFile("w+", errors="replace") if log is None else log.open("a+", errors="replace")  # noqa: SIM115 - closed with this object
        self._stderr, self._log = kept, log
        self._begin = kept.seek(0, os.SEEK_END)
        self.process = subprocess.Popen(
            # -P: a folder of the user's that is named like one of our packages must not be imported.
            [sys.executable, "-P", "-m", "cli.main", *arguments],
            env={**os.environ, **environment, _PARENT_VARIABLE: str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            start_new_session=True,
            pass_fds=inherited,
        )
        self._measured = psutil.Process(self.process.pid)
        self._was_asked = False
        self.cpu_s = 0.0
        self.peak_memory_mb = 0.0

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self.process.poll()

    def measure(self) -> None:
        """Update CPU seconds and peak resident memory; the values before its end are kept."""
        with suppress(psutil.Error):
            times, memory = self._measured.cpu_times(), self._measured.memory_info()
            if times.user + times.system >= self.cpu_s:
                self.cpu_s = times.user + times.system
            self.peak_memory_mb = max(self.peak_memory_mb, memory.rss / 1e6)

    def shorten_log(self, max_bytes: int) -> None:
        """Begin the log anew where it has grown past ``max_bytes``; what was in it is kept as one older file."""
        if self._log is None or os.fstat(self._stderr.fileno()).st_size <= max_bytes:
            return
        shutil.copyfile(self._log, self._log.with_suffix(".old.log"))
        # The process appends, wherever the end is. What it says between the two steps is lost.
        self._stderr.truncate(0)
        self._begin = 0

    def ask_to_stop(self) -> None:
        """Ask it, once, to finish what it holds and end: a second signal would kill an interpreter that is ending."""
        if self._was_asked:
            return
        self._was_asked = True
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def stop(self, timeout_s: float) -> None:
        """Ask it to stop, and kill it where it has not ended in time."""
        self.measure()
        self.ask_to_stop()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def make_error(self, what: str) -> errors.EmotraceError:
        """Return an error that says how it ended, in its own words where it left some."""
        code = self.process.returncode
        self._stderr.seek(self._begin)
        lines = [line for line in self._stderr.read().splitlines() if line.strip()]
        said = [line for line in lines if line.startswith("emotrace: ")]
        if said:
            # Of two kinds with one exit code the more general is meant.
            kinds = {kind.exit_code: kind for kind in reversed(_list_error_kinds(errors.EmotraceError))}
            return kinds.get(code, errors.EmotraceError)(said[-1].removeprefix("emotrace: "))
        if code < 0:
            return errors.InterruptedRunError(
                f"The {what} process was killed ({_name_signal(-code)}); what it had stored is kept."
            )
        last = f"Its last words: {hide_credentials(lines[-1])}." if lines else "It left no word of why."
        return errors.EmotraceError(f"The {what} process ended with the code {code}. {last}")


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _list_error_kinds(kind: type[errors.EmotraceError]) -> list[type[errors.EmotraceError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _list_error_kinds(child))]
