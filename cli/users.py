"""``emotrace user``: arguments and options only. What a command does is in ``cli.accounts``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Database, Json

app = typer.Typer(help="Accounts of people who use the dashboard.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The account's name.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        help="A file with the password in place of asking for it; without a terminal, standard input is read."
    ),
]


class Role(StrEnum):
    viewer = "viewer"
    analyst = "analyst"
    operator = "operator"
    admin = "admin"


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name, or with --oidc the e-mail address that the provider tells.")],
    role: Annotated[
        Role, typer.Option(help="What the account may do; each role may do what the ones before it may.")
    ] = Role.viewer,
    oidc: Annotated[bool, typer.Option("--oidc", help="Log in through OpenID Connect, without a password.")] = False,
    password_file: PasswordFile = None,
    database: Database = None,
) -> None:
    """Add an account; the password is asked for. The first one has to be an admin's."""
    from cli import accounts

    accounts.add(name, role.value, oidc, password_file, database_url=database)


@app.command("list")
def list_all(database: Database = None, as_json: Json = False) -> None:
    """List the accounts."""
    from cli import accounts

    accounts.list_all(database_url=database, as_json=as_json)


@app.command()
def role(
    name: Name, role: Annotated[Role, typer.Argument(help="What it may do from now on.")], database: Database = None
) -> None:
    """Give an account another role."""
    from cli import accounts

    accounts.set_role(name, role.value, database_url=database)


@app.command()
def password(name: Name, password_file: PasswordFile = None, database: Database = None) -> None:
    """Give an account a new password, and log its browsers out."""
    from cli import accounts

    accounts.set_password(name, password_file, database_url=database)


@app.command()
def enable(name: Name, database: Database = None) -> None:
    """Let an account in again."""
    from cli import accounts

    accounts.set_disabled(name, False, database_url=database)


@app.command()
def disable(name: Name, database: Database = None) -> None:
    """Keep an account out, and log its browsers out."""
    from cli import accounts

    accounts.set_disabled(name, True, database_url=database)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    database: Database = None,
) -> None:
    """Remove an account; what it did stays in the audit."""
    from cli import accounts

    accounts.remove(name, yes=yes, database_url=database)
