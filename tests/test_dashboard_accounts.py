"""Roles: what each visitor may see and do is decided by queries and actions, whatever a page draws."""

import ast
import importlib
import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import streamlit as st
from dashboard_pages import list_texts, open_app, press
from streamlit import config
from streamlit.testing.v1 import AppTest

from contracts import audits, password_hashes, users
from contracts.database import read_transaction
from contracts.errors import NotAllowedError, NotLoggedInError
from contracts.store import make_uuid7
from contracts.users import ADMIN, ANALYST, OPERATOR, ROLES, VIEWER
from dashboard import identity
from dashboard.asking import Query

PASSWORD = "correct horse battery"
DASHBOARD = Path(__file__).parent.parent / "dashboard"
MODULES = sorted(
    f"{folder}.{path.stem}" for folder in ("queries", "actions") for path in (DASHBOARD / folder).glob("[a-z]*.py")
)
# What a viewer may do: of their own account, and take away what they see.
FOR_VIEWERS = (
    "actions.account_actions.log_out",
    "actions.account_actions.change_own_password",
    "actions.exporting_actions.prepare_file",
)
HOSTILE = "<script>alert(1)</script> **bold** 🎬 '; DROP TABLE users; -- " + "x" * 10_000


@pytest.fixture
def url(sqlite_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path))
    return str(sqlite_engine.url)


@pytest.fixture
def accounts(sqlite_engine: sa.Engine, url: str) -> str:
    """One account for each role, known by OpenID Connect: viewer@example.org and so on."""
    with sqlite_engine.begin() as connection:
        for role in reversed(ROLES):
            users.add_user(connection, make_uuid7(), f"{role}@example.org", role, None)
    return url


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, url: str) -> Iterator[None]:
    """The dashboard's functions, called without a page."""
    monkeypatch.setenv("EMOTRACE_DATABASE_URL", url)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield
    st.cache_data.clear()
    st.cache_resource.clear()


def list_functions() -> list[tuple[str, Callable[..., Any]]]:
    found = []
    for name in MODULES:
        module = importlib.import_module(f"dashboard.{name}")
        for attribute, value in vars(module).items():
            is_own = getattr(value, "__module__", None) == module.__name__
            if not attribute.startswith("_") and is_own and (isinstance(value, Query) or inspect.isfunction(value)):
                found.append((f"{name}.{attribute}", value))
    return found


def call(function: Callable[..., Any]) -> None:
    """Call a function with something for each argument: who may not call it is told so before they are looked at."""
    parameters = inspect.signature(function).parameters.values()
    places = [None for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    function(*places, **{one.name: None for one in parameters if one.kind is one.KEYWORD_ONLY})


@pytest.mark.parametrize(("name", "function"), list_functions(), ids=[name for name, _ in list_functions()])
def test_nothing_is_read_or_changed_without_a_login(
    bare: None, accounts: str, name: str, function: Callable[..., Any]
) -> None:
    with pytest.raises(NotLoggedInError):
        call(function)


@pytest.mark.parametrize("module", MODULES)
def test_roles_are_checked_outside_of_caches(module: str) -> None:
    """What was read for one visitor would else be shown to the next without a question."""
    for node in ast.parse((DASHBOARD / f"{module.replace('.', '/')}.py").read_text()).body:
        if isinstance(node, ast.FunctionDef) and any("cache" in ast.unparse(one) for one in node.decorator_list):
            assert node.name.startswith("_") and "require(" not in ast.unparse(node), node.name


def call_every_action() -> None:
    """A page of its own, which calls what no page would offer."""
    import streamlit as st
    from test_dashboard_accounts import FOR_VIEWERS, call, list_functions

    outcomes = {}
    for name, function in list_functions():
        if name.startswith("actions.") and name not in FOR_VIEWERS:
            try:
                outcomes[name] = str(call(function))
            except Exception as error:
                outcomes[name] = str(error)
    st.session_state["outcomes"] = outcomes


def test_a_viewer_changes_nothing_also_by_calling_the_action(bare: None, accounts: str) -> None:
    app = AppTest.from_function(call_every_action, default_timeout=60)
    app.user = {"is_logged_in": True, "email": "viewer@example.org"}
    app.run()
    outcomes = app.session_state["outcomes"]
    assert {"actions.camera_actions.add_camera", "actions.account_actions.add_user"} <= outcomes.keys()
    for name, outcome in outcomes.items():
        assert "viewer@example.org has the role viewer" in outcome, name


def test_without_accounts_whoever_sits_here_may_do_everything(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    app = open_app(monkeypatch, url, "users")
    assert "There are no accounts" in list_texts(app)
    assert "Cameras" in open_app(monkeypatch, url, "cameras").title[0].value


def test_without_accounts_others_may_do_nothing(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    config.set_option("server.address", "0.0.0.0")
    try:
        app = open_app(monkeypatch, url)
    finally:
        config.set_option("server.address", "127.0.0.1")
    assert "emotrace user add NAME" in list_texts(app).replace("\\", "")
    assert not app.selectbox


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1:8501", "[", "localhost.evil.example", ""])
def test_a_name_that_leads_here_from_elsewhere_is_not_this_machine(bare: None, host: str) -> None:
    with pytest.raises(NotLoggedInError):
        identity.identify(None, {}, host)
    assert identity.identify(None, {}, "localhost:8501").role == ADMIN


def test_who_is_not_logged_in_sees_the_way_to_the_login_alone(monkeypatch: pytest.MonkeyPatch, accounts: str) -> None:
    app = open_app(monkeypatch, accounts)
    assert "not logged in" in list_texts(app) and len(app.title) == 1 and not app.selectbox


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"email": "stranger@example.org"}, "has no account here"),
        ({"email": "viewer@example.org", "email_verified": False}, "no e-mail address"),
        ({"email": "viewer@example.org", "email_verified": "false"}, "no e-mail address"),
        ({"email": "viewer@example.org", "email_verified": None}, "no e-mail address"),
        ({}, "no e-mail address"),
        ({"email": HOSTILE}, "has no account here"),
    ],
)
def test_a_provider_vouches_for_accounts_alone(bare: None, accounts: str, claims: dict[str, Any], said: str) -> None:
    with pytest.raises(NotAllowedError, match=said) as caught:
        identity.identify(None, {"is_logged_in": True, **claims}, None)
    assert len(str(caught.value)) < 400
    assert identity.identify(None, {"is_logged_in": True, "email": "Viewer@Example.org"}, None).role == VIEWER


def test_a_provider_does_not_vouch_for_an_account_with_a_password(
    bare: None, accounts: str, sqlite_engine: sa.Engine
) -> None:
    with sqlite_engine.begin() as connection:
        users.add_user(connection, make_uuid7(), "root@example.org", ADMIN, password_hashes.hash_password(PASSWORD))
    with pytest.raises(NotAllowedError, match="no account"):
        identity.identify(None, {"is_logged_in": True, "email": "root@example.org"}, None)


@pytest.mark.parametrize(("role", "is_let_in"), [(VIEWER, False), (ANALYST, False), (OPERATOR, True), (ADMIN, True)])
def test_cameras_are_for_operators(monkeypatch: pytest.MonkeyPatch, accounts: str, role: str, is_let_in: bool) -> None:
    app = open_app(monkeypatch, accounts, "cameras", email=f"{role}@example.org")
    assert [bool(app.expander), not app.error] == [is_let_in, is_let_in]
    assert is_let_in or "needs the role operator" in app.error[0].value


@pytest.mark.parametrize("page", ["users", "audit"])
def test_accounts_and_the_audit_are_for_admins(monkeypatch: pytest.MonkeyPatch, accounts: str, page: str) -> None:
    assert not open_app(monkeypatch, accounts, page, email="admin@example.org").error
    app = open_app(monkeypatch, accounts, page, email="operator@example.org")
    assert "needs the role admin" in app.error[0].value and not app.dataframe


def fill_in(app: AppTest, **values: str) -> AppTest:
    for label, value in values.items():
        next(one for one in reversed(app.text_input) if one.label == label.replace("_", " ")).set_value(value)
    return app


def choose(app: AppTest, label: str, value: str) -> AppTest:
    next(box for box in reversed(app.selectbox) if box.label == label).set_value(value)
    return app.run()


def test_an_admin_adds_changes_and_removes_accounts(
    monkeypatch: pytest.MonkeyPatch, accounts: str, sqlite_engine: sa.Engine
) -> None:
    def read(name: str = "anna") -> dict[str, Any] | None:
        with read_transaction(sqlite_engine) as connection:
            return users.find_user(connection, name)

    app = open_app(monkeypatch, accounts, "users", email="admin@example.org")
    press(fill_in(app, Name="Anna", Password=PASSWORD), "Add")
    assert (user := read()) and (user["role"], user["has_password"]) == (VIEWER, True)
    app.run()
    assert PASSWORD not in f"{app} {app.session_state!r} {vars(app.session_state)} {app.query_params}"
    choose(choose(app, "Change an account", "anna"), "New role", OPERATOR)
    press(app, "Save role")
    press(app, "Disable")
    assert (user := read()) and (user["role"], user["disabled"]) == (OPERATOR, True)
    press(fill_in(app, New_password="another password"), "Set password")
    press(app, "Remove it")
    assert read() is None
    with read_transaction(sqlite_engine) as connection:
        changes = audits.list_changes(connection)
    assert [row["action"] for row in reversed(changes)] == [
        "user.add", "user.role", "user.disable", "user.password", "user.remove",
    ]  # fmt: skip
    assert {row["who"] for row in changes} == {"admin@example.org"}
    assert PASSWORD not in str(changes)


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("<script>alert(1)</script>", PASSWORD, "cannot be named"),
        ("🎬", PASSWORD, "cannot be named"),
        (HOSTILE, PASSWORD, "cannot be named"),
        ("viewer@example.org", PASSWORD, "already"),
        ("anna", "short", "has 5 characters"),
    ],
)
def test_what_cannot_be_an_account_is_said(
    monkeypatch: pytest.MonkeyPatch, accounts: str, name: str, password: str, said: str
) -> None:
    app = open_app(monkeypatch, accounts, "users", email="admin@example.org")
    press(fill_in(app, Name=name, Password=password), "Add")
    assert said in app.error[0].value.replace("\\", "")
    assert len(app.dataframe[0].value) == len(ROLES)


def change_own_account() -> None:
    import streamlit as st

    from dashboard.actions import account_actions

    outcomes = []
    own = "Admin@example.org"
    for action, more in (("set_role", ["viewer"]), ("set_disabled", [True]), ("remove_user", [])):
        try:
            outcomes.append(str(getattr(account_actions, action)(own, *more)))
        except Exception as error:
            outcomes.append(str(error))
    st.session_state["outcomes"] = outcomes


def test_an_admin_cannot_lock_themselves_out(monkeypatch: pytest.MonkeyPatch, accounts: str) -> None:
    app = open_app(monkeypatch, accounts, "users", email="admin@example.org")
    choose(app, "Change an account", "admin@example.org")
    assert "This is your own account" in list_texts(app)
    app = AppTest.from_function(change_own_account, default_timeout=60)
    app.user = {"is_logged_in": True, "email": "admin@example.org"}
    outcomes = app.run().session_state["outcomes"]
    assert len(outcomes) == 3 and all("your own account" in one for one in outcomes)


def test_the_audit_tells_who_changed_what_and_is_searched(
    monkeypatch: pytest.MonkeyPatch, accounts: str, sqlite_engine: sa.Engine
) -> None:
    with sqlite_engine.begin() as connection:
        audits.record_change(connection, "anna", "camera.add", "id-1", name="Gate", note=HOSTILE)
        audits.record_change(connection, "bea", "user.add", "id-2", name="100%")
        connection.execute(sa.text("UPDATE audits SET at = :at WHERE who = 'bea'"), {"at": time.time() - 40 * 86_400})
    app = open_app(monkeypatch, accounts, "audit", email="admin@example.org")

    def search(text: str) -> list[str]:
        app.text_input[0].set_value(text).run()
        return list(app.dataframe[0].value["who"]) if app.dataframe else []

    assert search("") == ["anna"]
    assert len(app.dataframe[0].value["details"][0]) <= 300
    app.segmented_control[0].set_value("all").run()
    assert search("") == ["anna", "bea"] and search("100%") == ["bea"]
    assert search("GATE") == ["anna"] and search("_") == [] and search("'; DROP TABLE audits; --") == []
