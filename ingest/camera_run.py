"""Run a camera: as an RQ job, or in this process. Settings come from the environment, everything else from its row."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import cv2
import redis
import sqlalchemy as sa

from contracts import camera_sessions, cameras, store
from contracts.database import open_database, write_transaction
from contracts.embedded import find_database_url
from contracts.encryption import find_secret_key
from contracts.errors import EmotraceError
from contracts.lanes import LIVE, name_lane
from contracts.leases import Lease, acquire_lease, make_holder
from contracts.logs import get_logger
from contracts.model_card import DEFAULT_MODEL, read_card
from contracts.redis_server import connect
from contracts.settings import Settings, hide_credentials, read_settings
from contracts.sources import Source
from contracts.stopping import watch_for_stop
from contracts.stream import CropStream
from contracts.stream_state import FAILED, StreamState, forget_state, publish_state
from ingest.camera import CameraReader
from ingest.connection import CameraOptions
from ingest.jobs import check_card, require_redis
from ingest.keeper import RunKeeper
from ingest.live import CameraPlan, ingest_camera
from ingest.outbox import Outbox
from ingest.previews import PreviewPublisher
from ingest.run_state import RunState
from models.detection import FaceDetector, find_default_detector, make_detector

_log = get_logger(__name__)
# A run that is asked to stop has this long for each of its services.
_CLOSE_S = 5.0


def run_camera_job(stream_id: str) -> str:
    """Run a camera as an RQ job; what goes wrong is told without what an error's text may hold of credentials."""
    try:
        return run_camera(stream_id, watch_for_stop(os.getppid()))
    except Exception as error:
        said = hide_credentials(str(error))
        message = said if isinstance(error, EmotraceError) else f"{type(error).__name__}: {said}"
        _tell_failure(stream_id, message)
        raise EmotraceError(message) from None


def _tell_failure(stream_id: str, message: str) -> None:
    """Have ``status`` show why a run could not begin, or ended, until it is tried again."""
    now = time.time()
    state = StreamState(
        stream_id=stream_id,
        name="",
        state=FAILED,
        since=now,
        at=now,
        host=socket.gethostname(),
        pid=os.getpid(),
        epoch=0,
        message=message,
    )
    _log.warning("camera cannot run", stream=stream_id, reason=message)
    with suppress(EmotraceError, redis.exceptions.RedisError):
        client = connect(require_redis(read_settings()), retry_s=1.0)
        publish_state(client, state)
        client.close()


def run_camera(stream_id: str, should_stop: Callable[[], bool] = lambda: False) -> str:
    """Run a camera until it is to stop, or another run takes it over; return why it ended.

    The stream's row says what is read and how; its credentials are decrypted here. Where another run holds the lease,
    nothing happens.

    Raises:
        UsageError, SecretKeyError, ModelError, ServiceError: it cannot begin.
        RowsRefusedError: the database refuses what the run writes.
    """
    settings = read_settings()
    redis_url = require_redis(settings)
    cv2.setNumThreads(1)
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    holder = make_holder()

    def begin(connection: sa.Connection) -> tuple[store.Row, Source, Lease] | str:
        stream = cameras.read_stream(connection, stream_id)
        if not stream["enabled"]:
            return "disabled"
        source = cameras.read_source(connection, find_secret_key(settings), stream_id)
        lease = acquire_lease(connection, stream_id, holder, settings.lease_s)
        if lease is None:
            return "held"
        camera_sessions.end_lost_sessions(connection, lease)
        return stream, source, lease

    try:
        begun = write_transaction(engine, begin, settings.retry_s)
        if isinstance(begun, str):
            return begun
        stream, source, lease = begun
        card = read_card(DEFAULT_MODEL)
        check_card(card, stream["profile"])
        detector_name = find_default_detector()
        plan = CameraPlan(stream, lease, card, detector_name)
        detector = make_detector(detector_name, settings.yunet_path)
        client = connect(redis_url, settings.retry_s)
        try:
            return _run_camera(plan, source, detector, engine, client, settings, should_stop)
        finally:
            client.close()
    finally:
        engine.dispose()


def _run_camera(
    plan: CameraPlan,
    source: Source,
    detector: FaceDetector,
    engine: sa.Engine,
    client: redis.Redis,
    settings: Settings,
    should_stop: Callable[[], bool],
) -> str:
    """Start the run's threads, read the camera, and end them in order."""
    keeper = RunKeeper(engine, plan.lease, plan.stream["revision"], settings.lease_s)
    state = RunState(plan.lease, plan.stream["name"], plan.stream["fps"])
    preview = PreviewPublisher(client, plan.stream["stream_id"], lambda: keeper.may_preview)

    def publish() -> None:
        publish_state(client, state.take(outbox.num_bytes, keeper.message))
        preview.check()

    outbox = Outbox(CropStream(client, name_lane(LIVE, plan.card.model_id)), on_tick=publish)
    outbox.start()
    options = CameraOptions(
        transport=plan.stream["transport"],
        ca_file=settings.camera_ca_file,
        open_timeout_s=settings.camera_open_timeout_s,
        read_timeout_s=settings.camera_read_timeout_s,
        min_backoff_s=settings.camera_min_backoff_s,
        max_backoff_s=settings.camera_max_backoff_s,
    )
    reader = CameraReader(
        source, options, lambda: should_stop() or keeper.end_reason is not None or outbox.error is not None
    )
    try:
        ingest_camera(plan, reader, detector, outbox, keeper, state, preview)
    finally:
        preview.close(_CLOSE_S)
        # Windows first: what was never handed over is counted when the session is sealed.
        outbox.close(_CLOSE_S)
        keeper.close(_CLOSE_S)
        forget_state(client, plan.stream["stream_id"])
    if (error := keeper.error or outbox.error) is not None:
        raise error
    return keeper.end_reason or "stopped"
