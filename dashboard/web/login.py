"""Logging in over HTTP, beside Streamlit's pages: its scripts can set no cookie, and what is typed into its widgets
becomes session state. Here the password goes from a form to the server once, and the browser keeps an opaque token in a
cookie that no script can read.
"""

import logging
import threading
from urllib.parse import parse_qs, urlsplit

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from streamlit.user_info import generate_login_redirect_url

from contracts import logins
from contracts.errors import EmotraceError, NotAllowedError, ServiceError
from contracts.settings import hide_credentials
from dashboard.changes import RETRY_S
from dashboard.identity import COOKIE, find_problem
from dashboard.services import open_services
from dashboard.web.login_page import show_login, show_refusal

# Where to go on after a provider's pages, which know of no way back but the first page.
NEXT_COOKIE = "emotrace_next"
_NEXT_S = 600
_MAX_BODY, _MAX_TARGET = 16_384, 2_000
_LOG = logging.getLogger(__name__)
# A password's check takes 64 MiB and all the cores that it gets.
_CHECKING = threading.BoundedSemaphore(2)


async def login(request: Request) -> Response:
    """Show the form, or check what it sent and go on to where the visitor wanted to go."""
    providers = list_providers()
    if request.method == "GET":
        try:
            problem, status = await run_in_threadpool(find_problem, request.headers.get("host")), 403
        except EmotraceError as error:
            problem, status = explain(error), 503
        if problem:
            return show_refusal(problem, status)
        return show_login(clean_target(request.query_params.get("next", "/")), providers)
    form = await _read_form(request)
    if form is None or not _is_same_origin(request):
        return show_refusal("This form came from another page. Open the login page anew.", 403, ("Log in", "/login"))
    name, target = form.get("name", ""), clean_target(form.get("next", "/"))
    try:
        token = await run_in_threadpool(_log_in, name, form.get("password", ""))
    except NotAllowedError as error:
        return show_login(target, providers, error=str(error), name=name, status=401)
    except EmotraceError as error:
        return show_login(target, providers, error=explain(error), name=name, status=503)
    response = RedirectResponse(target, 303, {"Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE,
        token,
        max_age=round(open_services().settings.login_hours * 3600),
        httponly=True,
        samesite="lax",  # links from elsewhere lead to where they say
        secure=_is_encrypted(request),
    )
    return response


async def start_oidc(request: Request) -> Response:
    """Go on to a provider of OpenID Connect by Streamlit's way, and keep in mind where the visitor wanted to go."""
    provider = request.query_params.get("provider", "")
    if provider not in list_providers():
        return show_refusal("There is no such provider here.", 404, ("Log in", "/login"))
    response = RedirectResponse(generate_login_redirect_url(provider), 303, {"Cache-Control": "no-store"})
    target = clean_target(request.query_params.get("next", "/"))
    response.set_cookie(
        NEXT_COOKIE, target.encode().hex(), _NEXT_S, httponly=True, samesite="lax", secure=_is_encrypted(request)
    )
    return response


def explain(error: EmotraceError) -> str:
    """Log what went wrong, and return what a stranger is told of it."""
    _LOG.error("%s", hide_credentials(str(error)))
    return "The dashboard cannot reach its database at this moment. Try again; its log says more."


def list_providers() -> list[str]:
    """Return the names of the providers that Streamlit's secrets name under [auth]; "default" is the one without."""
    if not st.secrets.load_if_toml_exists():
        return []
    section = st.secrets.get("auth", {})
    named = [str(name) for name in section if hasattr(section[name], "keys") and "client_id" in section[name]]
    return (["default"] if "client_id" in section else []) + named


def clean_target(target: str) -> str:
    """Return where to go on: a path of this dashboard with its query, else its first page."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    is_ours = not parts.scheme and not parts.netloc and target.startswith("/") and not target.startswith(("//", "/\\"))
    is_plain = target.isascii() and target.isprintable() and "\\" not in target and len(target) <= _MAX_TARGET
    return target if is_ours and is_plain and not parts.path.startswith(("/login", "/auth")) else "/"


def read_next(request: Request) -> str | None:
    """Return where a visitor wanted to go before a provider's pages, or None."""
    kept = request.cookies.get(NEXT_COOKIE)
    try:
        return None if kept is None else clean_target(bytes.fromhex(kept).decode())
    except ValueError:
        return "/"


def _log_in(name: str, password: str) -> str:
    services = open_services()
    if not _CHECKING.acquire(timeout=10.0):
        raise ServiceError("Too many logins are being checked at this moment. Try again.")
    try:
        return logins.log_in(services.engine, name, password, services.settings.login_hours * 3600, RETRY_S)
    finally:
        _CHECKING.release()


async def _read_form(request: Request) -> dict[str, str] | None:
    """Return the form's fields, or None where it is too long or no form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            return None
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}


def _is_same_origin(request: Request) -> bool:
    """Tell whether the form is ours: else another site could log its visitors in as somebody."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _is_encrypted(request: Request) -> bool:
    # A proxy that decrypts is seen in what the browser calls us.
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


ROUTES = [Route("/login", login, methods=["GET", "POST"]), Route("/login/oidc", start_oidc, methods=["GET"])]
