"""How a long-running process bears that a service is away: it waits, says so once, and goes on."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from contracts.errors import ServiceAwayError

_logger = logging.getLogger(__name__)
_MAX_PAUSE_S = 0.5
_R = TypeVar("_R")


def do_nothing() -> None:
    """What a call does meanwhile where there is nothing to do."""


class Patience:
    """Repeats calls to services that are away, until they are back or ``should_stop``.

    Without ``is_endless`` nothing is repeated: the bounded retries of the calls themselves are all. Threads may share
    one.
    """

    def __init__(self, is_endless: bool, should_stop: Callable[[], bool]) -> None:
        self._is_endless, self._should_stop = is_endless, should_stop
        self._away: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def problem(self) -> str:
        """What is away at this moment, in a sentence or two; empty where all is well."""
        with self._lock:
            return " ".join(self._away.values())

    def call(self, service: str, call: Callable[[], _R], meanwhile: Callable[[], None] = do_nothing) -> _R:
        """Call ``service``, repeating the call while it is away; ``meanwhile`` is done between the tries.

        Raises:
            ServiceError: it refused the call; or it is away, and this process does not wait or is to stop.
        """
        pause_s = 0.1
        while True:
            try:
                result = call()
            except ServiceAwayError as error:
                if not self._is_endless or self._should_stop():
                    raise
                self._note(service, str(error))
            else:
                self._note(service, None)
                return result
            meanwhile()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_PAUSE_S)

    def _note(self, service: str, problem: str | None) -> None:
        with self._lock:
            was_away = service in self._away
            if problem is not None:
                self._away[service] = problem
            else:
                self._away.pop(service, None)
        if problem is not None and not was_away:
            _logger.warning("%s is away, waiting for it: %s", service, problem)
        elif problem is None and was_away:
            _logger.info("%s is back", service)
