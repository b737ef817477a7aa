"""Every setting of emotrace, declared once. Process entry points read them; below those, values are passed."""

import difflib
import os
import re
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import UsageError
from contracts.passwords import put_password, read_password

_PREFIX = "EMOTRACE_"


class Settings(BaseSettings):
    """Settings from ``EMOTRACE_*`` environment variables; command-line options override them."""

    # An empty variable is an unset one: that is what compose files and shells make of a value left out.
    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("emotrace"),
        description="Where the embedded Valkey and SQLite keep their files.",
    )
    redis_url: str | None = Field(None, description="A Redis or Valkey server; unset starts the embedded one.")
    database_url: str | None = Field(
        None, description="A PostgreSQL or SQLite database; unset uses SQLite under data_dir."
    )
    redis_password_file: Path | None = Field(None, description="A file with redis_url's password, put into it.")
    database_password_file: Path | None = Field(None, description="A file with database_url's password, put into it.")
    retry_s: float = Field(
        20.0, ge=0, le=3600, description="Seconds to keep trying while Redis or the database is out of reach."
    )
    max_waiting_windows: int = Field(
        256, ge=1, description="Crop sequences that may wait in a stream before a recording's reader waits too."
    )
    claim_after_s: float = Field(
        30.0, ge=5, description="Seconds after which inference workers take over what a silent one of them holds."
    )
    gather_s: float = Field(
        0.05, ge=0, le=5, description="Seconds that a crop sequence waits at most for others to share its batch."
    )
    batch_windows: int | None = Field(
        None, ge=8, le=1024, description="Crop sequences in a batch at most; unset is 8 on a CPU and 64 on a GPU."
    )
    yunet_path: Path | None = Field(None, description="A YuNet ONNX file, for --detector yunet.")
    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="What runs the network's CNN; auto is OpenVINO on a CPU where it is installed, else torch."
    )
    secret_key_file: Path | None = Field(
        None, description="The key of stored credentials; unset makes one under data_dir at first need."
    )
    upload_dir: Path | None = Field(
        None, description="Where recordings uploaded in the dashboard go; unset is a folder under data_dir."
    )
    max_upload_gb: float = Field(8.0, ge=0, description="The largest recording that may be uploaded, in GB; 0: none.")
    recording_dirs: str | None = Field(
        None, description="Folders whose recordings the dashboard offers, ':' between them; unset offers none."
    )
    camera_open_timeout_s: float = Field(
        10.0, gt=0, le=600, description="Seconds from connecting to a camera's first packet; some take 40 to start."
    )
    camera_read_timeout_s: float = Field(
        10.0, gt=0, le=600, description="Seconds without a packet after which a camera counts as frozen."
    )
    camera_min_backoff_s: float = Field(1.0, gt=0, le=3600, description="Seconds before the first try to reconnect.")
    camera_max_backoff_s: float = Field(60.0, gt=0, le=3600, description="The most seconds between two tries.")
    camera_ca_file: Path | None = Field(
        None,
        description="PEM file with certificates that vouch for rtsps and https cameras; unset: none is needed.",
    )
    lease_s: float = Field(
        15.0, ge=1, le=600, description="Seconds after which a camera whose host vanished may run elsewhere."
    )
    login_hours: float = Field(
        168.0, gt=0, le=8760, description="Hours after which a browser that is logged in asks for the password again."
    )
    oidc_secrets_file: Path | None = Field(
        None,
        description="A TOML file with Streamlit's section [auth], which lets people log in through OpenID Connect.",
    )
    log_format: Literal["console", "json"] = Field("console", description="Lines for people, or JSON for machines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")
    health_host: str = Field(
        "127.0.0.1", description="Address that health and metrics are served on; containers need 0.0.0.0."
    )

    @field_validator(
        "data_dir",
        "yunet_path",
        "secret_key_file",
        "redis_password_file",
        "database_password_file",
        "oidc_secrets_file",
        "camera_ca_file",
        "upload_dir",
    )
    @classmethod
    def _resolve(cls, path: Path | None) -> Path | None:
        """Make a path absolute: servers and child processes may run in other folders; nobody expands ``~`` for us."""
        return path.expanduser().absolute() if path is not None else None


def read_settings() -> Settings:
    """Read the environment, and the password files that it names.

    Raises:
        UsageError: an ``EMOTRACE_*`` variable is unknown or has a value that does not fit.
    """
    known = sorted(name.upper() for name in Settings.model_fields)
    for name in sorted(os.environ):
        short = name.upper().removeprefix(_PREFIX)
        if name.upper().startswith(_PREFIX) and short not in known:
            close = difflib.get_close_matches(short, known, n=1)
            hint = f"Did you mean {_PREFIX}{close[0]}?" if close else f"Known are {_PREFIX}{', '.join(known)}."
            raise UsageError(f"The environment variable {name} is not a setting of emotrace. {hint} Else unset it.")
    try:
        return _put_passwords(Settings())
    except ValidationError as error:
        # The value is left out: it may be a credential.
        first = error.errors()[0]
        name = _PREFIX + str(first["loc"][0]).upper()
        raise UsageError(f"The environment variable {name} cannot be used: {first['msg']}.") from None


def _put_passwords(settings: Settings) -> Settings:
    urls = {}
    for server in ("redis", "database"):
        path: Path | None = getattr(settings, f"{server}_password_file")
        if path is None:
            continue
        url: str | None = getattr(settings, f"{server}_url")
        variable = f"{_PREFIX}{server.upper()}_URL"
        if url is None:
            raise UsageError(f"{_PREFIX}{server.upper()}_PASSWORD_FILE is set without {variable}. Set both, or none.")
        try:
            urls[f"{server}_url"] = put_password(url, read_password(path))
        except UsageError as error:
            raise UsageError(f"{variable} cannot be used: {error}") from None
    return settings.model_copy(update=urls)


# One URL of a text. Words hold several in a row: each begins at its own "://".
_URL = re.compile(r"(?<![\w+.-])([A-Za-z][\w+.-]*://)((?:(?![\w+.-]+://)\S)*)")
_LOCAL = ("unix:///", "sqlite:///", "file:///")
# Fields of a URL's query, or of a path as some cameras have it ("/user=admin&password=..."), that may tell who asks:
# by their name, or because their value holds an "@", as e-mail addresses and URLs with credentials do.
_FIELD = re.compile(
    r"([?&;/#](?:[\w.-]*(?:pass|pwd|secret|token|credential|auth|signature)[\w.-]*|user(?:[_-]?name)?|usr|pw|psw|sig"
    r"|login(?:use|user|name|pas)?|account|(?:api|access|stream)?[_-]?key|[\w.-]+(?==[^&\s]*(?:@|%40)))=)[^&\s]*",
    re.IGNORECASE,
)


def hide_credentials(text: str) -> str:
    """Return ``text`` with what may be user names and passwords inside URLs replaced by ``***``."""
    return hide_fields(_URL.sub(_hide_user_info, text))


def hide_fields(text: str) -> str:
    """Return ``text`` with the values of URL fields that may be user names or passwords replaced by ``***``."""
    return _FIELD.sub(r"\1***", text)


def _hide_user_info(url: re.Match[str]) -> str:
    # The last "@" ends the credentials, because passwords hold "@", "/" and ":" unescaped all the time.
    before, at, after = url[2].rpartition("@")
    if not at or url[0].startswith(_LOCAL):
        return url[0]
    # A field before it may be a part of the password, or hold the "@" in a password of its own.
    return url[1] + ("***" if _FIELD.search(f"{before}@") else f"***@{after}")
