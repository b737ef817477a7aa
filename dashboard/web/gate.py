"""In front of everything that the dashboard serves over HTTP: without a login there is the login page, and no file.

What pages show comes through a WebSocket, where ``dashboard.identity`` asks for each query and each action.
"""

import json
from typing import Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from contracts.errors import EmotraceError, NotAllowedError, NotLoggedInError
from dashboard.identity import COOKIE, identify
from dashboard.web.login import NEXT_COOKIE, explain, read_next
from dashboard.web.login_page import show_refusal

# Streamlit's own files, what asks whether it runs, and the ways in.
_OPEN = frozenset(
    ("/login", "/login/oidc", "/auth/login", "/auth/logout", "/oauth2callback", "/favicon.png", "/_stcore/health",
     "/_stcore/host-config")
)  # fmt: skip
_OPEN_FOLDERS = ("/static/",)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",  # addresses tell what somebody looks at
}


class Gate:
    """Lets through what anybody may see, and else those who are logged in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        is_open = scope["path"] in _OPEN or scope["path"].startswith(_OPEN_FOLDERS)
        answer = None if is_open else await _answer(Request(scope))
        await (answer or self._app)(scope, receive, send_hardened)


async def _answer(request: Request) -> Response | None:
    """Return what somebody is told who may not go on, or None."""
    try:
        request.state.visitor = await run_in_threadpool(
            identify, request.cookies.get(COOKIE), _read_claims(request), request.headers.get("host")
        )
    except NotLoggedInError as error:
        if not _is_page(request):
            return PlainTextResponse(str(error), 401)
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        way = "/login" if asked == "/" else f"/login?{urlencode({'next': asked})}"
        return RedirectResponse(way, 303, {"Cache-Control": "no-store"})
    except NotAllowedError as error:
        return show_refusal(str(error), 403, ("Log out", "/auth/logout"))
    except EmotraceError as error:
        return show_refusal(explain(error), 503)
    target = read_next(request)
    if target is None or not _is_page(request):
        return None
    response = RedirectResponse(target, 303, {"Cache-Control": "no-store"})
    response.delete_cookie(NEXT_COOKIE)
    return response


def _is_page(request: Request) -> bool:
    """Tell whether a person asks for a page, and not a page for a file."""
    wants = request.headers.get("sec-fetch-dest", "document"), request.headers.get("accept", "")
    return request.method in ("GET", "HEAD") and wants[0] == "document" and "text/html" in wants[1]


def _read_claims(request: Request) -> dict[str, Any]:
    """Return what a provider said of the visitor, as Streamlit signed it into its cookie."""
    secret = get_cookie_secret()

    def read(name: str) -> bytes | None:
        value = request.cookies.get(name)
        return None if value is None else decode_signed_value(secret, name, value)

    try:
        claims = json.loads(get_cookie_with_chunks(read, USER_COOKIE_NAME) or b"{}")
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}
