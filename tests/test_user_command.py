"""``emotrace user``: accounts by the command line."""

import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import RunEmotrace

PASSWORD = "correct horse battery"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return path


def check_one_line(done: "subprocess.CompletedProcess[str]", said: str) -> None:
    assert done.returncode == 2, done.stderr
    assert said in done.stderr and len(done.stderr.splitlines()) == 1 and PASSWORD not in done.stderr


def test_accounts_are_added_changed_listed_and_removed(
    run_emotrace: RunEmotrace, tmp_path: Path, password_file: Path
) -> None:
    check_one_line(run_emotrace("user", "add", "anna", "--password-file", password_file), "Nobody would be left")
    done = run_emotrace("user", "add", "Root", "--role", "admin", "--password-file", password_file)
    assert done.returncode == 0, done.stderr
    assert "Added the account root: role admin" in done.stdout and PASSWORD not in done.stdout
    assert run_emotrace("user", "add", "bea@example.org", "--oidc").returncode == 0
    assert run_emotrace("user", "role", "bea@example.org", "analyst").returncode == 0
    assert run_emotrace("user", "disable", "bea@example.org").returncode == 0
    rows = json.loads(run_emotrace("user", "list", "--json").stdout)
    assert [(row["name"], row["role"], row["disabled"], row["has_password"]) for row in rows] == [
        ("bea@example.org", "analyst", True, False), ("root", "admin", False, True),
    ]  # fmt: skip
    assert "OpenID Connect" in run_emotrace("user", "list").stdout
    done = run_emotrace("user", "remove", "bea@example.org", "--yes")
    assert done.returncode == 0 and "last one" not in done.stdout
    with sqlite3.connect(tmp_path / "data" / "emotrace.db") as connection:
        audit = connection.execute("SELECT action, who FROM audits ORDER BY audit_id").fetchall()
    assert [action for action, _ in audit] == ["user.add", "user.add", "user.role", "user.disable", "user.remove"]
    assert all(who.startswith("command line") for _, who in audit)
    connection.close()


def test_what_cannot_be_is_said_in_one_line(run_emotrace: RunEmotrace, tmp_path: Path, password_file: Path) -> None:
    short = tmp_path / "short"
    short.write_text("short")
    for arguments, said in (
        (("add", "root", "--role", "admin", "--password-file", short), "The password has 5 characters"),
        (("add", "<b>", "--role", "admin", "--password-file", password_file), "cannot be named"),
        (("add", "root", "--role", "admin", "--password-file", tmp_path / "none"), "cannot be read"),
        (("add", "root", "--role", "admin", "--oidc"), "takes an e-mail address"),
        (("password", "root"), "no account 'root'"),
    ):
        check_one_line(run_emotrace("user", *arguments), said)


def type_at_prompt(environment: dict[str, str], folder: Path, *typed: str) -> tuple[int, str]:
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "cli.main", "user", "add", "root", "--role", "admin"],
        env=environment, cwd=folder, stdin=other_end, stdout=other_end, stderr=other_end, start_new_session=True,
    )  # fmt: skip
    os.close(other_end)
    said, left = b"", list(typed)
    try:
        while chunk := os.read(terminal, 1000):
            said += chunk
            if left and said.count(b": ") > len(typed) - len(left):
                os.write(terminal, f"{left.pop(0)}\n".encode())
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return process.wait(60), said.decode()


def test_a_password_is_asked_for_twice_and_not_echoed(environment: dict[str, str], tmp_path: Path) -> None:
    code, said = type_at_prompt(environment, tmp_path, PASSWORD, PASSWORD[:-1])
    assert code == 2 and "differ" in said and PASSWORD[:-1] not in said
    code, said = type_at_prompt(environment, tmp_path, PASSWORD, PASSWORD)
    assert code == 0 and "Added the account root" in said and PASSWORD not in said
