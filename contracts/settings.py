"""Every setting of emotrace, declared once. Process entry points read them; below those, values are passed."""

import difflib
import os
import re
from pathlib import Path

import platformdirs
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.errors import UsageError

_PREFIX = "EMOTRACE_"


class Settings(BaseSettings):
    """Settings from ``EMOTRACE_*`` environment variables; command-line options override them."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", frozen=True)

    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("emotrace"),
        description="Where the embedded Valkey and SQLite keep their files.",
    )
    redis_url: str | None = Field(
        None, description="A Redis or Valkey server; unset starts the embedded one."
    )
    database_url: str | None = Field(
        None, description="A PostgreSQL or SQLite database; unset uses SQLite under data_dir."
    )
    retry_s: float = Field(
        20.0, ge=0, le=3600, description="Seconds to keep trying while Redis or the database is out of reach."
    )
    max_waiting_windows: int = Field(
        256, ge=1, description="Crop sequences that may wait in a stream before a recording's reader waits too."
    )
    yunet_path: Path | None = Field(None, description="A YuNet ONNX file, for --detector yunet.")


def read_settings() -> Settings:
    """Read the environment.

    Raises:
        UsageError: an ``EMOTRACE_*`` variable is unknown or has a value that does not fit.
    """
    known = {_PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if name.startswith(_PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Known are {', '.join(sorted(known))}."
            raise UsageError(f"The environment variable {name} is not a setting of emotrace. {hint} Else unset it.")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = _PREFIX + str(first["loc"][0]).upper()
        raise UsageError(f"The environment variable {name} cannot be used: {first['msg']}.") from None


def hide_credentials(text: str) -> str:
    """Return ``text`` with user names and passwords inside URLs replaced by ``***``."""
    return re.sub(r"(\w://)[^\s/@]*(?:/[^\s/@]*)?@", r"\1***@", text)
