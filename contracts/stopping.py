"""How a process learns that it is to end: by a signal, or by the death of the one that started it."""

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable


def watch_for_stop(parent: int | None) -> Callable[[], bool]:
    """Return a function that says whether this process should stop: on SIGTERM or Ctrl-C, or without its ``parent``.

    None for a process whose parent may go: a shell, a container's first process.
    """
    is_asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_asked.set())
    # An interpreter that is ending drops its handlers, and a late signal would make a good end look like a kill.
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)
    return lambda: is_asked.is_set() or (parent is not None and os.getppid() != parent)


def end_with(parent: int) -> None:
    """End this process, as by SIGTERM, when its ``parent`` has died: for those who look at signals alone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
