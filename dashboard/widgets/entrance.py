"""Who is let in to the pages, and what stands at the side for them: their name, their password, the way out."""

from html import escape
from urllib.parse import urlencode, urlsplit

import streamlit as st

from contracts.errors import EmotraceError, NotAllowedError, NotLoggedInError
from contracts.password_hashes import MIN_LENGTH
from dashboard.actions import account_actions
from dashboard.charts.theme import find_theme
from dashboard.identity import Visitor, find_visitor
from dashboard.texts import show_errors, to_line, to_markdown


def admit() -> Visitor | None:
    """Return who looks; else show why they are not let in, and the way to the login."""
    with show_errors():
        try:
            return find_visitor()
        except NotLoggedInError as error:
            st.title("emotrace")
            st.info(to_markdown(str(error), 500), icon=":material/lock:")
            parameters = urlencode(st.query_params.to_dict())
            target = (urlsplit(st.context.url or "").path or "/") + (f"?{parameters}" if parameters else "")
            st.html(
                f"<style>.stSidebar {{display: none}}</style><a href='/login?{escape(urlencode({'next': target}))}' "
                f"target='_self' style='color:{find_theme().accent}'>Log in</a>"
            )
        except NotAllowedError as error:
            st.error(to_markdown(str(error), 500), icon=":material/lock:")
            if st.button("Log out"):
                st.logout()
    return None


def show_menu(visitor: Visitor) -> None:
    """Show the visitor's own menu at the side; whoever is alone at this machine has none."""
    if visitor.means == "local":
        return
    with st.sidebar.popover(to_line(visitor.name, 24), icon=":material/account_circle:", width="stretch"):
        st.caption(f"{to_markdown(visitor.name)}   ·   {visitor.role}")
        if st.button("Log out", icon=":material/logout:", width="stretch"):
            with show_errors():
                account_actions.log_out()
                if visitor.means == "oidc":
                    st.stop()  # Streamlit leads on to the provider; another run could overtake that
                st.rerun()
        if visitor.means == "password":
            _ask_password()


def _ask_password() -> None:
    # Fields of their own after each try, so that what was typed is gone with them.
    number = st.session_state.get("password-tries", 0)
    with st.form(f"own-password-{number}", border=False):
        old = st.text_input(
            "Current password", type="password", key=f"own-old-{number}", autocomplete="current-password"
        )
        new = st.text_input(
            "New password", type="password", key=f"own-new-{number}", autocomplete="new-password",
            help=f"{MIN_LENGTH} characters or more.",
        )  # fmt: skip
        if st.form_submit_button("Change password"):
            st.session_state["password-tries"] = number + 1
            try:
                account_actions.change_own_password(old, new)
            except EmotraceError as error:
                st.session_state["password-problem"] = str(error)
            st.rerun()
    if problem := st.session_state.pop("password-problem", None):
        st.error(to_markdown(problem, 300))
