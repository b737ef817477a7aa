"""Have a camera tested: an ingest worker opens it, because the dashboard reaches no camera and reads no video."""

import sqlalchemy as sa

from contracts import audits, cameras
from contracts.camera_tests import CameraTestResult, ask_for_test, wait_for_answer
from contracts.encryption import find_secret_key
from contracts.errors import ServiceError
from contracts.sources import Source, choose_transport, parse_source
from dashboard.changes import commit
from dashboard.identity import OPERATOR, require
from dashboard.services import open_redis, open_services

# A camera is waited for, then watched; the worker may have another test before it.
_PATIENCE_S = 20.0


def try_camera(stream_id: str | None, url: str, transport: str | None) -> CameraTestResult:
    """Have a camera opened and watched for two seconds; an empty ``url`` stands for that of the stream ``stream_id``.

    The result's picture is read from Redis and gone from there; nothing else keeps it.

    Raises:
        NotAllowedError: the visitor is no operator.
        UsageError: the URL or the transport cannot be used, or the camera is gone.
        SecretKeyError: the key of credentials cannot be used.
        ServiceError: no worker answers, or the database or Redis is out of reach.
    """
    visitor, services = require(OPERATOR), open_services()
    key = find_secret_key(services.settings)

    def begin(connection: sa.Connection) -> Source:
        given = parse_source(url.strip()) if url.strip() or stream_id is None else None
        source = given or cameras.read_source(connection, key, str(stream_id))
        name = cameras.read_stream(connection, stream_id)["name"] if stream_id else None
        audits.record_change(connection, visitor.name, "camera.test", stream_id or "new", name=name, url=source.url)
        return source

    source = commit(begin)
    client = open_redis()
    test_id = ask_for_test(client, key, source, choose_transport(source, transport))
    result = wait_for_answer(client, test_id, services.settings.camera_open_timeout_s + _PATIENCE_S)
    if result is None:
        raise ServiceError(
            "No ingest worker has tested the camera in time: none runs (start `emotrace up`, or `emotrace ingest` on a "
            "host that reaches the camera), or it looks at recordings that were just handed in (try again). "
            "`emotrace stream test` tests it from where it is run."
        )
    return result
