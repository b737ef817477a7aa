"""What the dashboard reads from and writes to: opened once for all its visitors."""

from dataclasses import dataclass

import redis
import sqlalchemy as sa
import streamlit as st

from contracts.database import check_migrated, open_database
from contracts.embedded import find_database_url
from contracts.errors import ServiceError
from contracts.redis_server import connect
from contracts.settings import Settings, read_settings

# A page says at once that Redis is away, and looks again with the next visit.
_RETRY_S = 1.0


@dataclass(frozen=True)
class Services:
    """The settings and the database; its tables are those of this release."""

    settings: Settings
    engine: sa.Engine


@st.cache_resource(show_spinner=False)
def open_services() -> Services:
    """Open the database that the environment names, else the embedded one.

    Raises:
        UsageError, ServiceError: the settings are wrong, or the database cannot be used.
    """
    settings = read_settings()
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    check_migrated(engine)
    return Services(settings, engine)


@st.cache_resource(show_spinner=False)
def open_redis() -> redis.Redis:
    """Connect to the Redis that the environment names.

    Raises:
        UsageError, ServiceError: the settings are wrong, none is named, or it is out of reach.
    """
    settings = read_settings()
    if settings.redis_url is None:
        raise ServiceError("No Redis is named. Start the dashboard with `emotrace dashboard` or `emotrace up`.")
    return connect(settings.redis_url, _RETRY_S)
