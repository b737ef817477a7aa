"""Child processes of a run: started, watched, measured and stopped; and what such a child watches for itself."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import psutil

from contracts import errors

# A recording's reader that was asked to stop and did so in order.
EXIT_STOPPED = 75


def watch_for_stop() -> Callable[[], bool]:
    """Return a function that says whether this child should stop: on SIGTERM, or when its parent has died."""
    parent = os.getppid()
    is_asked = False

    def ask(_signal: int, _frame: object) -> None:
        nonlocal is_asked
        is_asked = True

    signal.signal(signal.SIGTERM, ask)
    return lambda: is_asked or os.getppid() != parent


class Child:
    """One ``emotrace`` process of this run, by its (hidden) command.

    It runs in a terminal session of its own: a Ctrl-C reaches the parent alone, which ends its children in order.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed with this object
        self.process = subprocess.Popen(
            # -P: a folder of the user's that is named like one of our packages must not be imported.
            [sys.executable, "-P", "-m", "cli.main", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._measured = psutil.Process(self.process.pid)
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

    def ask_to_stop(self) -> None:
        """Ask it to finish what it holds and end."""
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
        self._stderr.seek(0)
        said = [line for line in self._stderr.read().splitlines() if line.startswith("emotrace: ")]
        if said:
            kinds = {kind.exit_code: kind for kind in _list_error_kinds(errors.EmotraceError)}
            return kinds.get(code, errors.EmotraceError)(said[-1].removeprefix("emotrace: "))
        if code < 0:
            name = signal.Signals(-code).name
            return errors.InterruptedRunError(f"The {what} process was killed ({name}); what it had stored is kept.")
        return errors.EmotraceError(f"The {what} process ended with the code {code} and no word of why.")


def _list_error_kinds(kind: type[errors.EmotraceError]) -> list[type[errors.EmotraceError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _list_error_kinds(child))]
