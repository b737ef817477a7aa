"""Logs of every process, by structlog: console lines or JSON on standard error, credentials hidden in all of them.

Logs tell state changes and counts, never frames. Modules write ``log = get_logger(__name__)`` and
``log.info("camera is live", stream=stream_id, reconnects=3)``; the standard library's logging goes the same way, so
that what RQ, SQLAlchemy and FFmpeg say looks alike and is cleaned alike.
"""

import logging
import os
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from contracts.settings import hide_credentials, read_settings

_Event = MutableMapping[str, Any]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module. Where nobody called ``configure_logs``, warnings and errors are shown only."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure_logs(process: str) -> None:
    """Send all logs of this process, ``process`` by name, to standard error as the settings say; call it once.

    Forked children keep it; those that start a new interpreter call it themselves.

    Raises:
        UsageError: a setting cannot be used.
    """
    settings = read_settings()

    def add_process(_logger: Any, _method: str, event: _Event) -> _Event:
        # The pid is asked for each time: a fork changes it.
        event.update(process=process, pid=os.getpid())
        return event

    renderer: Any = structlog.processors.JSONRenderer(sort_keys=True)
    if settings.log_format == "console":
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                add_process,
                structlog.processors.format_exc_info,
                hide_in_event,  # last but the renderer: nothing that is shown comes after it
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    # Looking at a schema that is up to date is no news, nor is what becomes of jobs: cameras and parts tell themselves.
    for name in ("alembic", "rq", "rq.worker"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    # Logging's own complaints print a record's arguments as they are, and so does a thread that dies of an error.
    logging.raiseExceptions = False
    threading.excepthook = _log_death_of_thread


def hide_in_event(_logger: Any, _method: str, event: _Event) -> _Event:
    """Hide credentials in all that an event holds, however deep; what is no plain value is shown as its text."""
    for key in list(event):
        # structlog's own: the record, and what it knows of it, removed before anything is shown.
        if not key.startswith("_") and key != "exc_info":
            event[key] = _hide(event[key])
    return event


def _hide(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return hide_credentials(value)
    if isinstance(value, Mapping):
        return {hide_credentials(str(key)): _hide(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_hide(one) for one in value]
    return hide_credentials(str(value))


def _log_death_of_thread(death: threading.ExceptHookArgs) -> None:
    if death.exc_type is not SystemExit:
        name = death.thread.name if death.thread is not None else "?"
        found = (death.exc_type, death.exc_value or death.exc_type(), death.exc_traceback)
        get_logger(__name__).error("a thread died", thread=name, exc_info=found)


_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
# At import: without it structlog would print uncleaned lines to standard output, where results go.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        hide_in_event,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
