"""Users: who may use the dashboard, and what they may do."""

from typing import Any

import pandas as pd
import streamlit as st

from contracts.errors import EmotraceError
from contracts.password_hashes import MIN_LENGTH
from contracts.users import ROLES
from dashboard.actions import account_actions
from dashboard.identity import ADMIN, require
from dashboard.queries import account_queries
from dashboard.reading.rows import iterate_rows
from dashboard.texts import show_errors, tell_moment, to_line, to_markdown
from dashboard.widgets.choosing import choose_zone

_ROLE_HELP = (
    "viewer: look at results; analyst: also hand in recordings, mark moments and name faces; operator: also run "
    "cameras and look at their live view; admin: also manage accounts."
)
_PASSWORD, _OIDC = "a password", "OpenID Connect"


def render() -> None:
    """Draw the page."""
    st.title("Users")
    visitor = require(ADMIN)
    zone = choose_zone()
    outcome = st.session_state.pop("users-outcome", None)
    if outcome is not None:
        show, icon = (st.success, ":material/check:") if outcome[0] else (st.error, ":material/error:")
        show(to_markdown(outcome[1], 500), icon=icon)
    rows = account_queries.list_users()
    if rows.empty:
        st.info(
            "There are no accounts: whoever sits at this machine may do everything, and nobody else anything. The "
            "first account has to be an admin's; from then on everybody logs in.",
            icon=":material/group:",
        )
    else:
        _show_table(rows, zone)
        by_name = {row.name: row for row in iterate_rows(rows)}
        chosen = st.selectbox(
            "Change an account", list(by_name), index=None, format_func=to_line, placeholder="Choose one", key="user"
        )
        if chosen in by_name:
            _show_user(by_name[chosen], is_own=chosen == visitor.name)
    with st.expander("Add an account", expanded=rows.empty, icon=":material/person_add:"):
        _show_new(is_first=rows.empty)


def _show_table(rows: pd.DataFrame, zone: Any) -> None:
    shown = pd.DataFrame(
        {
            "name": rows["name"].map(to_line),
            "role": rows["role"],
            "means": rows["has_password"].map({True: _PASSWORD, False: _OIDC}),
            "state": rows["disabled"].map({True: "○ disabled", False: "● enabled"}),
            "seen": [tell_moment(at, zone) if pd.notna(at) else "" for at in rows["last_login_at"]],
        }
    )
    columns: dict[str, Any] = {
        "name": "Name",
        "role": "Role",
        "means": "Logs in with",
        "state": "State",
        "seen": st.column_config.TextColumn("Last login", help="With a password; providers do not tell theirs."),
    }
    st.dataframe(shown, hide_index=True, column_config=columns)


def _show_user(user: Any, is_own: bool) -> None:
    """Show what can be done with an account."""
    if is_own:
        st.caption("This is your own account; the menu with your name changes its password.")
        return
    number = st.session_state.get("users-changes", 0)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            role = st.selectbox(
                "New role", ROLES, ROLES.index(user.role), help=_ROLE_HELP, key=f"role-{user.name}-{number}"
            )
            if st.button("Save role", type="primary", disabled=role == user.role):
                _act(f"{user.name} has the role {role} now.", account_actions.set_role, user.name, role)
        if user.has_password:
            with st.form(f"password-{number}", border=False):
                password = _ask_password("New password", f"password-{number}")
                if st.form_submit_button("Set password"):
                    _act(
                        f"{user.name} has a new password, and is logged out everywhere.",
                        account_actions.set_password, user.name, password,
                    )  # fmt: skip
        with st.container(horizontal=True):
            verb = "Enable" if user.disabled else "Disable"
            if st.button(verb, icon=":material/power_settings_new:"):
                _act(f"{verb}d {user.name}.", account_actions.set_disabled, user.name, not user.disabled)
            with st.popover("Remove", icon=":material/delete:"):
                st.markdown(f"Remove **{to_markdown(user.name)}**? What they did stays in the audit.")
                if st.button("Remove it", type="primary"):
                    st.session_state.pop("user", None)
                    _act(f"Removed {user.name}.", account_actions.remove_user, user.name)


def _show_new(is_first: bool) -> None:
    number = st.session_state.get("users-changes", 0)
    means = st.segmented_control(
        "Logs in with", [_PASSWORD, _OIDC], default=_PASSWORD, required=True, key="means", disabled=is_first
    )
    with st.form(f"add-user-{number}", border=False):
        first, second = st.columns(2)
        label = "Name" if means == _PASSWORD else "E-mail address, as the provider tells it"
        name = first.text_input(label, max_chars=120, key=f"new-name-{number}", autocomplete="off")
        roles = [ROLES[-1]] if is_first else list(ROLES)
        role = second.selectbox("Role", roles, help=_ROLE_HELP, key=f"new-role-{number}")
        password = _ask_password("Password", f"new-password-{number}") if means == _PASSWORD else None
        if st.form_submit_button("Add", type="primary"):
            _act(f"Added {name}.", account_actions.add_user, name, role, password)


def _ask_password(label: str, key: str) -> str:
    return st.text_input(
        label, type="password", key=key, autocomplete="new-password",
        help=f"{MIN_LENGTH} characters or more; a few words are easy to keep in mind.",
    )  # fmt: skip


def _act(done: str, action: Any, *arguments: Any) -> None:
    """Do it, and draw the page anew with the outcome; fields begin empty, so that no password stays behind."""
    try:
        action(*arguments)
        st.session_state["users-outcome"] = (True, done)
        account_queries.list_users.clear()
    except EmotraceError as error:
        st.session_state["users-outcome"] = (False, str(error))
    st.session_state["users-changes"] = st.session_state.get("users-changes", 0) + 1
    st.rerun()


with show_errors():
    render()
