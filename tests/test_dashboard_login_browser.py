"""A real browser: somebody follows a link, logs in, and is where the link leads; and out again."""

from pathlib import Path

import pytest
from browsing import needs_chromium
from dashboard_process import find_port, run_dashboard
from oidc_provider import run_provider
from playwright.sync_api import Page

from contracts import password_hashes, users
from contracts.database import migrate, open_database
from contracts.store import make_uuid7
from contracts.users import ADMIN, VIEWER

pytestmark = needs_chromium
PASSWORD, NEW_PASSWORD = "correct horse battery", "another staple"


@pytest.fixture
def accounts(tmp_path: Path) -> str:
    """The URL of a database with an admin and a viewer with passwords, and a viewer of OpenID Connect."""
    (tmp_path / "data").mkdir()
    engine = open_database(f"sqlite:///{tmp_path / 'data' / 'emotrace.db'}")
    migrate(engine)
    with engine.begin() as connection:
        users.add_user(connection, make_uuid7(), "root", ADMIN, password_hashes.hash_password(PASSWORD))
        users.add_user(connection, make_uuid7(), "anna", VIEWER, password_hashes.hash_password(PASSWORD))
        users.add_user(connection, make_uuid7(), "bea@example.org", VIEWER, None)
    url = str(engine.url)
    engine.dispose()
    return url


def log_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def list_pages(page: Page) -> set[str]:
    return set(page.get_by_test_id("stSidebarNavLink").all_inner_texts())


def test_a_link_survives_the_login_and_the_login_a_reload(
    tmp_path: Path, environment: dict[str, str], accounts: str, page: Page
) -> None:
    with run_dashboard(tmp_path, environment, accounts) as address:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/health?zone=UTC")
        log_in(page, "anna")
        page.get_by_role("heading", name="Health").wait_for()
        assert page.url == f"{address}/health?zone=UTC"
        page.reload()
        page.get_by_role("heading", name="Health").wait_for()
        names = " ".join(list_pages(page))
        assert "Wall" in names and "Cameras" not in names and "Users" not in names and "Audit" not in names

        # The token is the browser's alone: no script sees it, no address and no page holds it.
        (token,) = (cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "emotrace_login")
        assert token not in page.evaluate("document.cookie + JSON.stringify(localStorage) + document.body.outerHTML")
        assert not any(token in url or PASSWORD in url for url in asked)

        # A link to what a viewer may not use says so.
        page.goto(f"{address}/cameras")
        page.get_by_text("needs the role operator").wait_for()

        page.get_by_role("button", name="anna").click()
        page.get_by_role("button", name="Log out").click()
        page.get_by_role("link", name="Log in").click()
        log_in(page, "root")
        page.get_by_role("heading", name="Cameras").wait_for()
        page.get_by_role("link", name="Users").click()
        page.get_by_text("Add an account").click()
        form = page.get_by_test_id("stForm").last
        form.get_by_role("textbox", name="Name").fill("Carl")
        form.get_by_role("textbox", name="Password").fill(PASSWORD)
        form.get_by_role("button", name="Add").click()
        page.get_by_text("Added Carl").wait_for()
        page.get_by_role("link", name="Audit").click()
        page.get_by_role("heading", name="Audit").wait_for()
        page.get_by_role("button", name="root").click()
        page.get_by_role("textbox", name="Current password").fill(PASSWORD)
        page.get_by_role("textbox", name="New password").fill(NEW_PASSWORD)
        page.get_by_role("button", name="Change password").click()
        page.get_by_role("link", name="Log in").click()
        log_in(page, "root", NEW_PASSWORD)
        page.get_by_role("heading", name="Audit").wait_for()


def test_openid_connect_leads_to_where_the_link_did(
    tmp_path: Path, environment: dict[str, str], accounts: str, page: Page
) -> None:
    port = find_port()
    with run_provider() as provider:
        secrets = tmp_path / "oidc.toml"
        secrets.write_text(provider.write_secrets(f"http://127.0.0.1:{port}/oauth2callback"))
        environment = {**environment, "EMOTRACE_OIDC_SECRETS_FILE": str(secrets)}
        with run_dashboard(tmp_path, environment, accounts, port) as address:
            provider.claims = {"email": "stranger@example.org", "email_verified": True}
            page.goto(f"{address}/health?zone=UTC")
            page.get_by_role("link", name="Log in with Keycloak").click()
            page.get_by_text("stranger@example.org has no account here").wait_for()
            page.get_by_role("link", name="Log out").click()
            page.get_by_role("link", name="Log in with OpenID Connect").wait_for()

            provider.claims = {"email": "Bea@example.org", "email_verified": True}
            page.goto(f"{address}/health?zone=UTC")
            page.get_by_role("link", name="Log in with OpenID Connect").click()
            page.get_by_role("heading", name="Health").wait_for()
            assert page.url == f"{address}/health?zone=UTC"
            page.get_by_role("button", name="bea@example.org").click()
            page.get_by_role("button", name="Log out").click()
            page.get_by_role("link", name="Log in with OpenID Connect").wait_for()
