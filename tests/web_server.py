"""A real web server for routes of the dashboard, in a thread of the test's own."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import Message

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from dashboard.identity import Visitor


@contextmanager
def run_server(routes: Sequence[BaseRoute], visitor: Visitor) -> Iterator[str]:
    """Serve routes to a visitor whom the gate has let in, and yield the address."""
    app = Starlette(routes=routes)

    async def admit(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"visitor": visitor}}, receive, send)

    config = uvicorn.Config(admit, host="127.0.0.1", port=0, log_level="error", ws="none", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def ask(url: str, method: str = "GET", body: object = None, **headers: str) -> tuple[int, bytes, Message]:
    """Return the status, the content and the headers of an answer, whatever it is."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=named)  # type: ignore[arg-type]
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers
