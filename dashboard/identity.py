"""Who looks at the dashboard, and what they may do. Queries and actions ask it, whatever a page draws.

Somebody is known by the token in their browser's cookie (``dashboard.web.login`` sets it), or by what a provider of
OpenID Connect vouched for (``st.login``). As long as there are no accounts, whoever sits at this machine may do
everything.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import streamlit as st

from contracts import logins, users
from contracts.database import read_transaction
from contracts.errors import NotAllowedError, NotLoggedInError
from contracts.users import ADMIN, ANALYST, OPERATOR, ROLES, VIEWER, is_loopback
from dashboard.services import open_services
from dashboard.texts import to_line

__all__ = ["ADMIN", "ANALYST", "OPERATOR", "ROLES", "VIEWER", "Visitor", "find_visitor", "require"]

COOKIE = "emotrace_login"
# Somebody whose role was taken away may go on for so long.
_FRESH_S = 2.0
_NO_ACCOUNTS = (
    "There are no accounts yet, and without them the dashboard is for this machine alone. Add the first one there: "
    "emotrace user add NAME --role admin"
)


class Visitor(NamedTuple):
    """Somebody who looks at the dashboard: the name that audits tell, one of ``ROLES``, and how they logged in."""

    name: str
    role: str
    means: str = "local"  # or password, oidc

    def may(self, role: str) -> bool:
        """Tell whether this visitor may do what ``role`` may."""
        return ROLES.index(self.role) >= ROLES.index(role)


def find_visitor() -> Visitor:
    """Return who looks.

    Raises:
        NotLoggedInError: it is not known.
        NotAllowedError: a provider vouches for somebody who has no account here.
        ServiceError: the database is out of reach.
    """
    return identify(read_token(), st.user.to_dict(), st.context.headers.get("Host"))


def read_token() -> str | None:
    """Return the token that the visitor's browser holds."""
    return st.context.cookies.to_dict().get(COOKIE)


def require(role: str) -> Visitor:
    """Return who looks, if they may do what ``role`` may. Each action and each query begins with it.

    Raises:
        NotAllowedError: they may not, or are not logged in.
        ServiceError: the database is out of reach.
    """
    visitor = find_visitor()
    if not visitor.may(role):
        raise NotAllowedError(
            f"This needs the role {role}; {visitor.name} has the role {visitor.role}. An admin can change it."
        )
    return visitor


def identify(token: str | None, claims: Mapping[str, Any], host: str | None) -> Visitor:
    """Return whom a cookie's token, a provider's claims or an address at this machine (``host``) stand for.

    Raises:
        NotLoggedInError, NotAllowedError, ServiceError: as in ``find_visitor``.
    """
    found = _find_login(token) if token else None
    if found is not None:
        return found
    if not _has_users():
        if is_local(host):
            return Visitor("local", ADMIN)
        raise NotLoggedInError(_NO_ACCOUNTS)
    if claims.get("is_logged_in"):
        return _find_vouched(claims)
    raise NotLoggedInError("This browser is not logged in, or no longer.")


def find_problem(host: str | None) -> str:
    """Return why nobody can log in under the address ``host``, or nothing.

    Raises:
        ServiceError: the database is out of reach.
    """
    return "" if _has_users() or is_local(host) else _NO_ACCOUNTS


def is_local(host: str | None) -> bool:
    """Tell whether the pages are served to this machine alone, under an address of it.

    A page of somebody else's, whose name is made to lead here, would be asked for under that name.
    """
    try:
        hostname = urlsplit(f"//{host}").hostname if host is not None else "localhost"
    except ValueError:
        return False
    return is_loopback(st.get_option("server.address")) and is_loopback(hostname)


def forget() -> None:
    """Have accounts be looked up anew: one of them was changed here."""
    for lookup in (_find_login, _find_account, _has_users):
        lookup.clear()


def _find_vouched(claims: Mapping[str, Any]) -> Visitor:
    email = str(claims.get("email") or "")
    # Some providers leave the claim out, some write it as a word.
    if not email or str(claims.get("email_verified", True)).casefold() != "true":
        raise NotAllowedError("The provider vouches for no e-mail address of yours. Ask an admin of this dashboard.")
    found = _find_account(email)
    if found is None:
        raise NotAllowedError(f"{to_line(email)} has no account here, or a disabled one. Ask an admin for it.")
    return found


@st.cache_resource(ttl=_FRESH_S, max_entries=1024, show_spinner=False)
def _find_login(token: str) -> Visitor | None:
    with read_transaction(open_services().engine) as connection:
        found = logins.find_login(connection, token)
    return None if found is None else Visitor(found["name"], found["role"], "password")


@st.cache_resource(ttl=_FRESH_S, max_entries=1024, show_spinner=False)
def _find_account(email: str) -> Visitor | None:
    """Return who has the e-mail address as the name of an account without a password of its own."""
    with read_transaction(open_services().engine) as connection:
        found = users.find_user(connection, email)
    is_meant = found is not None and not found["has_password"] and not found["disabled"]
    return Visitor(found["name"], found["role"], "oidc") if found is not None and is_meant else None


@st.cache_resource(ttl=_FRESH_S, max_entries=1, show_spinner=False)
def _has_users() -> bool:
    with read_transaction(open_services().engine) as connection:
        return users.has_users(connection)
