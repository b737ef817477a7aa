"""Logging in over HTTP: what a stranger gets, what the browser keeps, and where it leads."""

import os
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import sqlalchemy as sa
from conftest import RunEmotrace
from dashboard_process import find_port, run_dashboard

from contracts import password_hashes, users
from contracts.database import migrate, open_database
from contracts.schema import login_attempts
from contracts.store import make_uuid7
from contracts.users import ADMIN, VIEWER
from dashboard.identity import COOKIE
from dashboard.web.login import clean_target

PASSWORD = "correct horse battery"
PAGE = {"Accept": "text/html,application/xhtml+xml"}
HOSTILE = "\"><script>alert(1)</script> 🎬 '; DROP TABLE users; -- " + "x" * 900


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('database') / 'emotrace.db'}")
    migrate(engine)
    with engine.begin() as connection:
        users.add_user(connection, make_uuid7(), "root", ADMIN, password_hashes.hash_password(PASSWORD))
        users.add_user(connection, make_uuid7(), "anna", VIEWER, password_hashes.hash_password(PASSWORD))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def address(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dashboard")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMOTRACE_")}
    environment = {**kept, "EMOTRACE_DATA_DIR": str(folder / "data"), "EMOTRACE_REDIS_URL": valkey_url}
    with run_dashboard(folder, environment, str(engine.url)) as address:
        yield address


@pytest.fixture
def client(address: str, engine: sa.Engine) -> Iterator[httpx.Client]:
    with engine.begin() as connection:
        connection.execute(sa.delete(login_attempts))
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def log_in(
    client: httpx.Client, name: str = "anna", password: str = PASSWORD, target: str = "/", **headers: str
) -> httpx.Response:
    fields = {"name": name, "password": password, "next": target}
    return client.post(
        "/login", data=fields, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_a_stranger_gets_the_login_and_nothing_else(client: httpx.Client) -> None:
    answer = client.get("/summary", params={"source": "a&b", "faces": "1,2"}, headers=PAGE)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={quote('/summary?source=a%26b&faces=1%2C2', safe='')}"
    form = client.get(answer.headers["location"])
    assert 'value="/summary?source=a%26b&faces=1%2C2"' in unescape(form.text)
    for path in ("/media/x.csv", "/component/x/index.html", "/app/static/x", "/_stcore/metrics", "/summary"):
        assert client.get(path).status_code == 401, path
    assert client.put("/_stcore/upload_file/x/y", content=b"x" * 1000).status_code == 401
    assert client.get("/_stcore/health").status_code == 200
    assert client.get("/favicon.png").status_code == 200


def test_a_login_leads_on_and_leaves_an_opaque_cookie(client: httpx.Client) -> None:
    answer = log_in(client, "Anna", target="/wall?range=live")
    assert (answer.status_code, answer.headers["location"]) == (303, "/wall?range=live")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie
    assert len(client.cookies[COOKIE]) >= 40
    page = client.get("/wall?range=live", headers=PAGE)
    assert page.status_code == 200 and client.cookies[COOKIE] not in page.text
    assert page.headers["x-frame-options"] == "SAMEORIGIN"


def test_behind_a_proxy_that_decrypts_the_cookie_is_for_encrypted_connections(client: httpx.Client) -> None:
    host = client.base_url.netloc.decode()
    assert "secure" in log_in(client, Origin=f"https://{host}").headers["set-cookie"].lower()


def test_what_is_wrong_is_said_and_shown_as_text(client: httpx.Client) -> None:
    for name in ("anna", HOSTILE):
        answer = log_in(client, name, "not that")
        assert answer.status_code == 401 and "The name or the password is wrong." in answer.text
        assert "<script>" not in answer.text and "not that" not in answer.text
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert COOKIE not in client.cookies
    assert unescape(HOSTILE[:40]) in unescape(answer.text)


def test_forms_of_other_sites_are_refused(client: httpx.Client) -> None:
    for headers in (
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://evil.example"},
    ):
        assert log_in(client, **headers).status_code == 403
    assert log_in(client, Sec_Fetch_Site="same-origin").status_code == 303


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"&" * 5000, b"x" * 100_000, b"name=a&name=b&" * 20])
def test_what_is_no_form_is_refused(client: httpx.Client, content: bytes) -> None:
    assert client.post("/login", content=content).status_code in (401, 403)


def test_too_many_guesses_are_stopped(client: httpx.Client) -> None:
    answers = [log_in(client, "anna", f"guess {number}").text for number in range(11)]
    assert "Too many" not in answers[9] and "Too many logins failed" in answers[10]
    assert log_in(client, "anna").status_code == 401
    assert log_in(client, "root").status_code == 303


def test_a_new_password_logs_browsers_out(client: httpx.Client, engine: sa.Engine) -> None:
    log_in(client, "anna")
    with engine.begin() as connection:
        users.change_user(connection, "anna", password_hash=password_hashes.hash_password(PASSWORD))
    # What the dashboard keeps in mind is two seconds old at most; a cookie that it has not seen is looked up.
    assert client.get("/", headers=PAGE).status_code == 303


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "wall",
     "/wall\r\nSet-Cookie: a=b", "/" + "x" * 3000, "/login?next=/login", "/auth/logout", "http://[", "", "/ü",
     "///evil.example"],
)  # fmt: skip
def test_a_login_leads_to_pages_of_the_dashboard_alone(target: str) -> None:
    assert clean_target(target) == "/"


def test_links_to_pages_are_kept() -> None:
    for target in ("/", "/wall", "/summary?source=0199&range=last%20hour&faces=1%2C2"):
        assert clean_target(target) == target


@pytest.mark.parametrize("command", ["dashboard", "up"])
def test_a_dashboard_for_others_asks_for_an_account_first(run_emotrace: RunEmotrace, command: str) -> None:
    done = run_emotrace(command, "--host", "0.0.0.0", "--port", find_port())
    assert done.returncode == 2 and "emotrace user add NAME --role admin" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("[auth", "no TOML"), ("", "lacks redirect_uri, cookie_secret, client_id"),
     ('[auth]\nredirect_uri="http://x"\ncookie_secret="short"\nclient_id="a"\nclient_secret="b"\n'
      'server_metadata_url="http://p"', "shorter than 32")],
)  # fmt: skip
def test_an_incomplete_file_for_openid_connect_is_said(
    run_emotrace: RunEmotrace, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "oidc.toml"
    path.write_text(text)
    done = run_emotrace("dashboard", "--port", find_port(), EMOTRACE_OIDC_SECRETS_FILE=str(path))
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_without_accounts_a_name_from_elsewhere_that_leads_here_gets_nothing(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    """A page on the internet may have its own name lead to 127.0.0.1, and ask under it."""
    with run_dashboard(tmp_path, environment, f"sqlite:///{tmp_path / 'emotrace.db'}") as address:
        assert httpx.get(address, headers=PAGE).status_code == 200
        with httpx.Client(base_url=address, headers={**PAGE, "Host": "evil.example"}) as client:
            assert client.get("/").status_code == 303
            refusal = client.get("/login")
            assert refusal.status_code == 403 and "no accounts yet" in refusal.text
            assert client.get("/media/x.csv", headers={"Accept": "*/*"}).status_code == 401
            assert log_in(client, "anna").status_code == 401
