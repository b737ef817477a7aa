"""A network that misbehaves on demand: a TCP proxy on loopback that cuts, falls silent, delays and throttles."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_POLL_S = 0.05


class Proxy:
    """Passes connections on ``port`` to ``target``, a (host, port) or the path of a unix socket.

    ``delay_s`` is added to each piece that passes, in each direction; ``bytes_per_s`` bounds each direction.
    """

    def __init__(self, target: tuple[str, int] | str) -> None:
        self._target = target
        self._passes = threading.Event()
        self._passes.set()
        self._listens = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.num_connections = 0
        self.port = 0
        self._listen()

    def cut(self) -> None:
        """Break what is open, and refuse what comes: a server that was stopped."""
        self._listens.clear()
        self._thread.join()
        self._break()

    def silence(self) -> None:
        """Keep everything open, and let nothing pass: a cable that was pulled, or a server that hangs."""
        self._passes.clear()

    def mend(self) -> None:
        """Let everything pass again, and first what was held back."""
        self._passes.set()
        if not self._listens.is_set():
            self._listen()

    def close(self) -> None:
        """End everything."""
        self._passes.set()
        self.cut()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._listens.set()
        self._thread = threading.Thread(target=self._accept, args=(listener,), daemon=True)
        self._thread.start()

    def _break(self) -> None:
        with self._lock:
            broken, self._open = self._open, set()
        for one in broken:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            listener.settimeout(_POLL_S)
            while self._listens.is_set():
                with suppress(TimeoutError):
                    client, _ = listener.accept()
                    self.num_connections += 1
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            self._passes.wait()
            with self._connect() as server:
                with self._lock:
                    self._open |= {client, server}
                if not self._listens.is_set():
                    return  # it came at the very moment of the cut
                back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                back.start()
                self._pump(client, server)
                back.join()
                with self._lock:
                    self._open -= {client, server}

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
        else:
            server = socket.create_connection(self._target)
        return server

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(16384):
                self._passes.wait()
                time.sleep(self.delay_s + (len(piece) / self.bytes_per_s if self.bytes_per_s else 0.0))
                sink.sendall(piece)
        # One direction's end is the end of both.
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def run_proxy(target: tuple[str, int] | str) -> Iterator[Proxy]:
    """Run a proxy to ``target`` while the context lasts."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
