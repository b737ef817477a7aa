"""What the page Users changes, and what visitors change of their own account."""

from collections.abc import Callable

import sqlalchemy as sa
import streamlit as st

from contracts import audits, logins, password_hashes, store, users
from contracts.errors import UsageError
from dashboard.changes import RETRY_S, commit
from dashboard.identity import ADMIN, VIEWER, Visitor, forget, read_token, require
from dashboard.services import open_services


def add_user(name: str, role: str, password: str | None) -> store.Row:
    """Store a new account and return it; without a password it logs in through OpenID Connect.

    Raises:
        NotAllowedError: the visitor is no admin.
        UsageError: a value cannot be used, the name is taken, or nobody would be admin.
        ServiceError: the database is out of reach.
    """
    visitor, user_id = require(ADMIN), store.make_uuid7()
    name = users.check_name(name.strip())
    if password is None and "@" not in name:
        raise UsageError("Without a password, the name is the e-mail address that the provider tells.")
    hashed = None if password is None else password_hashes.hash_password(password_hashes.check_password(password, name))

    def write(connection: sa.Connection) -> store.Row:
        audits.record_change(connection, visitor.name, "user.add", user_id, name=name, role=role)
        return users.add_user(connection, user_id, name, role, hashed)

    return _write(write)


def set_role(name: str, role: str) -> store.Row:
    """Give an account another role.

    Raises:
        NotAllowedError: the visitor is no admin.
        UsageError: it is the visitor's own, it is gone, or nobody would be admin.
        ServiceError: the database is out of reach.
    """
    visitor = require(ADMIN)
    _check_other(visitor, name)

    def write(connection: sa.Connection) -> store.Row:
        user = users.change_user(connection, name, role=role)
        audits.record_change(connection, visitor.name, "user.role", user["user_id"], name=user["name"], role=role)
        return user

    return _write(write)


def set_disabled(name: str, disabled: bool) -> store.Row:
    """Keep an account out, or let it in again.

    Raises:
        NotAllowedError, UsageError, ServiceError: as in ``set_role``.
    """
    visitor = require(ADMIN)
    _check_other(visitor, name)

    def write(connection: sa.Connection) -> store.Row:
        user = users.change_user(connection, name, disabled=disabled)
        action = "user.disable" if disabled else "user.enable"
        audits.record_change(connection, visitor.name, action, user["user_id"], name=user["name"])
        return user

    return _write(write)


def set_password(name: str, password: str) -> store.Row:
    """Give an account a new password and log its browsers out.

    Raises:
        NotAllowedError: the visitor is no admin.
        UsageError: the password cannot be used, or the account has none of its own.
        ServiceError: the database is out of reach.
    """
    return _change_password(require(ADMIN), name, password)


def remove_user(name: str) -> store.Row:
    """Remove an account; what it did stays in the audit.

    Raises:
        NotAllowedError, UsageError, ServiceError: as in ``set_role``.
    """
    visitor = require(ADMIN)
    _check_other(visitor, name)

    def write(connection: sa.Connection) -> store.Row:
        user = users.remove_user(connection, name)
        audits.record_change(connection, visitor.name, "user.remove", user["user_id"], name=user["name"])
        return user

    return _write(write)


def change_own_password(old: str, new: str) -> None:
    """Give the visitor's account a new password; all its browsers are logged out, this one included.

    Raises:
        NotAllowedError: the old password is wrong, or was tried too often.
        UsageError: the new one cannot be used, or the account has none of its own.
        ServiceError: the database is out of reach.
    """
    visitor = require(VIEWER)
    password_hashes.check_password(new, visitor.name)
    logins.check(open_services().engine, visitor.name, old, RETRY_S)
    _change_password(visitor, visitor.name, new)


def log_out() -> None:
    """Have the visitor's browser ask for a login again.

    Raises:
        ServiceError: the database is out of reach.
    """
    visitor, token = require(VIEWER), read_token()
    if visitor.means == "oidc":
        st.logout()
    elif token:
        commit(lambda connection: logins.remove_login(connection, token))
        forget()


def _change_password(visitor: Visitor, name: str, password: str) -> store.Row:
    hashed = password_hashes.hash_password(password_hashes.check_password(password, name))

    def write(connection: sa.Connection) -> store.Row:
        if not users.read_user(connection, name)["has_password"]:
            raise UsageError(f"{name} logs in through OpenID Connect and has no password of its own.")
        user = users.change_user(connection, name, password_hash=hashed)
        audits.record_change(connection, visitor.name, "user.password", user["user_id"], name=user["name"])
        return user

    return _write(write)


def _check_other(visitor: Visitor, name: str) -> None:
    if users.fold_name(name) == visitor.name:
        raise UsageError("This is your own account. Another admin, or `emotrace user`, can change what it may do.")


def _write(write: Callable[[sa.Connection], store.Row]) -> store.Row:
    try:
        return commit(write)
    finally:
        forget()
