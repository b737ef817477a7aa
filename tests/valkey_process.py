"""An own Valkey server of a test, that it may fill, freeze and kill."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from contracts.embedded import run_valkey


@dataclass
class OwnValkey:
    """A running server: where it is, and how to end it the hard way."""

    url: str
    pid: int

    def kill(self) -> None:
        """End it as a power cut would, and wait until nobody answers."""
        os.kill(self.pid, signal.SIGKILL)
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                client.ping()
            except redis.exceptions.ConnectionError:
                break
            time.sleep(0.01)
        client.close()


@contextmanager
def run_own_valkey(data_dir: Path) -> Iterator[OwnValkey]:
    """Run a server of the test's own in ``data_dir``."""
    with run_valkey(data_dir) as url:
        client = redis.Redis.from_url(url)
        pid = int(client.info("server")["process_id"])
        client.close()
        yield OwnValkey(url, pid)
