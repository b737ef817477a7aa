"""Logs: one line per event on standard error, readable by people or machines, and never a credential."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.logs import hide_in_event

ROOT = Path(__file__).parent.parent
SECRET = "rtsp://user:pass@host/stream"


def run_logging(program: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in a process of its own: logging is configured once for each."""
    head = "import logging\nfrom contracts.logs import configure_logs, get_logger\nlog = get_logger('here')\n"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMOTRACE_")}
    return subprocess.run(
        [sys.executable, "-c", head + program],
        cwd=ROOT,
        env={**kept, **{f"EMOTRACE_{name}": value for name, value in variables.items()}},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read_events(program: str) -> list[dict[str, Any]]:
    done = run_logging("configure_logs('ingest')\n" + program, LOG_FORMAT="json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_json_line_tells_when_who_and_what() -> None:
    (event,) = read_events("log.info('camera is live', stream='s1', reconnects=3)")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event["timestamp"])
    assert event["event"] == "camera is live" and event["level"] == "info" and event["process"] == "ingest"
    assert event["stream"] == "s1" and event["reconnects"] == 3 and event["logger"] == "here" and event["pid"] > 0


def test_a_forked_child_tells_its_own_process_number() -> None:
    program = "import os\nlog.info('parent')\nif os.fork() == 0:\n    log.info('child')\n    os._exit(0)\nos.wait()\n"
    parent, child = read_events(program)
    assert parent["pid"] != child["pid"]


def test_the_standard_library_s_loggers_speak_the_same_way() -> None:
    event, warning = read_events(
        f"logging.getLogger('urllib3').info('job %s of %s', 7, {SECRET!r})\nimport warnings\nwarnings.warn('old')"
    )
    assert event["event"] == "job 7 of rtsp://***@host/stream" and event["logger"] == "urllib3"
    assert "old" in warning["event"] and warning["level"] == "warning"


PLACES = {
    "the event": f"log.info('opening {SECRET} now')",
    "a field": f"log.info('opening', url={SECRET!r})",
    "a field's depth": f"log.info('opening', tried=[{{'url': ({SECRET!r},)}}])",
    "a bound field": f"log.bind(url={SECRET!r}).info('opening')",
    "a key": f"log.info('opening', seen={{{SECRET!r}: 1}})",
    "an error as a field": f"log.info('failed', error=OSError('cannot open {SECRET}'))",
    "a traceback": f"try:\n    open({SECRET!r})\nexcept OSError:\n    log.exception('failed')",
    "a foreign traceback": f"try:\n    open({SECRET!r})\nexcept OSError:\n    logging.getLogger().exception('failed')",
    "a thread's death": f"import threading\nt = threading.Thread(target=open, args=[{SECRET!r}])\nt.start()\nt.join()",
    "bytes": f"log.info('opening', url={SECRET!r}.encode())",
    "a broken format": f"logging.getLogger('rq').info('%d', {SECRET!r})",
}


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("program", PLACES.values(), ids=PLACES.keys())
def test_credentials_are_hidden_wherever_they_stand(program: str, log_format: str) -> None:
    done = run_logging("configure_logs('ingest')\n" + program, LOG_FORMAT=log_format)
    assert done.returncode == 0 and done.stdout == ""
    assert "pass" not in done.stderr.replace("os.path", "") and "user" not in done.stderr, done.stderr
    assert "rtsp://***@host" in done.stderr or "broken" in program or "'%d'" in program


def test_a_process_that_configured_nothing_shows_warnings_cleaned_and_nothing_on_standard_output() -> None:
    done = run_logging(f"log.info('quiet')\nlog.warning('opening', url={SECRET!r})")
    assert done.stdout == "" and "quiet" not in done.stderr
    assert "rtsp://***@host/stream" in done.stderr and "pass" not in done.stderr


def test_the_level_is_a_setting() -> None:
    done = run_logging("configure_logs('x')\nlog.info('quiet')\nlog.error('loud')", LOG_LEVEL="error")
    assert "quiet" not in done.stderr and "loud" in done.stderr
    done = run_logging("configure_logs('x')\nlog.debug('deep')", LOG_LEVEL="debug")
    assert "deep" in done.stderr


def test_an_unknown_format_is_refused_by_its_name() -> None:
    done = run_logging("configure_logs('x')", LOG_FORMAT="xml")
    assert "EMOTRACE_LOG_FORMAT cannot be used" in done.stderr


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5))
def test_what_holds_no_url_is_logged_as_it_is(value: Any) -> None:
    if "=" not in repr(value) and "://" not in repr(value):
        assert hide_in_event(None, "info", {"value": value}) == {"value": value}
