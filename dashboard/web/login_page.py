"""The pages before the dashboard: plain HTML, so that a password goes from the form to the server and nowhere else."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from starlette.responses import HTMLResponse

from dashboard.charts.theme import DARK, LIGHT

_STYLE = f"""
:root {{color-scheme: light dark; --paper: {LIGHT.paper}; --ink: {LIGHT.ink}; --quiet: {LIGHT.quiet};
  --line: {LIGHT.line}; --accent: {LIGHT.accent}; --on-accent: #FFFFFF; --field: #F3F5F7}}
@media (prefers-color-scheme: dark) {{:root {{--paper: {DARK.paper}; --ink: {DARK.ink}; --quiet: {DARK.quiet};
  --line: {DARK.line}; --accent: {DARK.accent}; --on-accent: {DARK.paper}; --field: #171C22}}}}
* {{box-sizing: border-box}}
body {{margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif}}
main {{width: min(22rem, 100vw - 2rem); padding: 2rem 0}}
h1 {{font-size: 1.7rem; font-weight: 650; margin: 0 0 1.5rem}}
label {{display: block; margin: 0 0 1rem}}
input {{display: block; width: 100%; margin-top: .25rem; padding: .55rem .7rem; font: inherit; color: inherit;
  background: var(--field); border: 1px solid var(--line); border-radius: .4rem}}
button, a.button {{display: block; width: 100%; padding: .6rem; margin: 0 0 .8rem; font: inherit; font-weight: 600;
  text-align: center; text-decoration: none; cursor: pointer; border-radius: .4rem; border: 1px solid var(--accent);
  background: var(--accent); color: var(--on-accent)}}
a.button {{background: none; color: var(--accent)}}
:focus-visible {{outline: 3px solid var(--accent); outline-offset: 2px}}
p {{margin: 0 0 1rem; overflow-wrap: anywhere}}
p.quiet {{color: var(--quiet)}}
p[role=alert] {{padding: .6rem .8rem; border: 1px solid var(--line); border-left: 4px solid #C62F2F;
  border-radius: .4rem}}
"""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; "
        f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
    ),
}


def show_login(
    target: str, providers: Sequence[str], *, error: str = "", name: str = "", status: int = 200
) -> HTMLResponse:
    """Return the page that asks for a name and a password, and leads to ``providers``; then to ``target``."""
    links = "".join(
        f'<a class="button" href="/login/oidc?{escape(urlencode({"provider": one, "next": target}))}">'
        f"Log in with {escape(_name_provider(one))}</a>"
        for one in providers
    )
    focus = ("", " autofocus") if name else (" autofocus", "")
    form = f"""
<form method="post" action="/login">
<input type="hidden" name="next" value="{escape(target)}">
<label>Name<input name="name" value="{escape(name[:120])}" autocomplete="username" autocapitalize="none"
  spellcheck="false" maxlength="1000" required{focus[0]}></label>
<label>Password<input name="password" type="password" autocomplete="current-password" maxlength="1000"
  required{focus[1]}></label>
<button>Log in</button>
</form>{links}"""
    return _show("Log in", _alert(error) + form, status)


def show_refusal(error: str, status: int, way_out: tuple[str, str] | None = None) -> HTMLResponse:
    """Return a page that says why there is no dashboard, with a link (its text and where it leads) or without."""
    link = f'<a class="button" href="{escape(way_out[1])}">{escape(way_out[0])}</a>' if way_out else ""
    return _show("No way in", _alert(error) + link, status)


def _name_provider(provider: str) -> str:
    return "OpenID Connect" if provider == "default" else provider.capitalize()


def _alert(error: str) -> str:
    return f'<p role="alert">{escape(error)}</p>' if error else ""


def _show(title: str, body: str, status: int) -> HTMLResponse:
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · emotrace</title><style>{_STYLE}</style></head>
<body><main><h1>emotrace</h1>{body}</main></body></html>"""
    return HTMLResponse(page, status, _HEADERS)
