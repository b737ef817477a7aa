"""Ingest jobs: what a process or an RQ worker runs. Arguments are JSON; settings come from the environment."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import redis
import sqlalchemy as sa

from contracts import parts, store
from contracts.database import open_database, read_transaction, write_transaction
from contracts.embedded import find_database_url
from contracts.errors import InterruptedRunError, ModelError, ServiceError, SourceError
from contracts.lanes import BATCH, name_lane
from contracts.model_card import ModelCard
from contracts.part_sessions import finish_parts
from contracts.progress import Progress, publish_progress
from contracts.redis_server import connect
from contracts.settings import Settings, read_settings
from contracts.stopping import watch_for_stop
from contracts.stream import RUN_EXPIRES_S, CropStream
from ingest.frames import FrameReader
from ingest.part_frames import PartReader
from ingest.part_recorder import PartRecorder, make_result
from ingest.parts import Part
from ingest.pipeline import IngestOptions, ingest_recording
from ingest.recorder import SessionRecorder
from ingest.seams import PartSpan
from ingest.sources import check_file
from ingest.windows import PROFILES, WindowBuffer, WindowProfile
from models.detection import make_detector


def run_recording(session_id: str, stream_name: str, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Read the recording of a session and publish its crops to a stream; return whether its end was reached.

    The session's row says which file, model, detector and sampling rate; the model's card, which crops.

    Raises:
        SourceError, ModelError, ServiceError: as ``ingest_recording`` and ``make_detector``.
    """
    with _open_services() as (settings, engine, client):
        session, card, profile = _read_session(engine, session_id)

        def report_progress(reader: FrameReader, num_faces: int) -> None:
            clock, facts = reader.clock, reader.facts
            time_s = clock.to_seconds(clock.last_pts) if clock.last_pts is not None else 0.0
            duration_s = facts.duration_s if facts is not None else 0.0
            publish_progress(client, session_id, Progress(reader.num_frames, num_faces, time_s, duration_s))

        return ingest_recording(
            reader=FrameReader(Path(session["url"])),
            detector=make_detector(session["settings"]["detector"], settings.yunet_path),
            model_input=card.input,
            windows=WindowBuffer(profile, session_id, card.model_id),
            stream=CropStream(client, stream_name, expires_s=RUN_EXPIRES_S, retry_s=settings.retry_s),
            recorder=SessionRecorder(engine, session_id, settings.retry_s),
            options=IngestOptions(session["settings"]["fps"], settings.max_waiting_windows),
            report_progress=report_progress,
            should_stop=should_stop,
        )


def run_part(session_id: str, part: int, should_stop: Callable[[], bool] = lambda: False) -> str:
    """Read one part of a session's recording, publish its crops to the batch lane, and return the part's status.

    A part that is over stays as it is. One that ``should_stop`` ended, or that Redis or the database failed, waits for
    another attempt; any other error is final until somebody asks for it to be retried (``emotrace batch retry``).
    Where it was the session's last part, and no face waits any more, the session ends here too.

    Raises:
        EmotraceError: as ``run_recording``; the part's row says so too.
    """
    with _open_services() as (settings, engine, client):
        begin = partial(parts.begin_part, session_id=session_id, part=part)
        row = write_transaction(engine, begin, settings.retry_s)
        status = parts.WAITING
        if row is not None:
            error, result = None, None
            try:
                result = _ingest_part(settings, engine, client, row, should_stop)
                status = parts.DONE if result is not None else parts.WAITING
            except InterruptedRunError:
                return parts.RUNNING  # another attempt has it
            except ServiceError as problem:
                status, error = parts.WAITING, str(problem)
                raise
            except Exception as problem:
                status, error = parts.FAILED, str(problem) or type(problem).__name__
                raise
            finally:
                _end_part(settings, engine, row, status, error, result)
        with read_transaction(engine) as connection:
            model_id = store.read_session(connection, session_id)["model_id"]
        stream = CropStream(client, name_lane(BATCH, model_id), retry_s=settings.retry_s)
        finish_parts(engine, stream, session_id, settings.retry_s)
        with read_transaction(engine) as connection:
            return str(parts.read_part(connection, session_id, part)["status"])


def run_part_job(session_id: str, part: int) -> str:
    """Read a part as an RQ job; SIGTERM ends it in order, and another worker begins it anew."""
    return run_part(session_id, part, watch_for_stop(os.getppid()))


def _ingest_part(
    settings: Settings, engine: sa.Engine, client: redis.Redis, row: store.Row, should_stop: Callable[[], bool]
) -> dict[str, Any] | None:
    """Read a part; return what it leaves for its session, or None where it was stopped before its end."""
    session, card, profile = _read_session(engine, row["session_id"])
    chosen, path = session["settings"], Path(session["url"])
    check_file(path)
    if (found := path.stat().st_size) != chosen["size_bytes"]:
        raise SourceError(
            f"{path} has {found} bytes; it had {chosen['size_bytes']} when it was submitted. Submit it again."
        )
    part = Part(**{field.name: row[field.name] for field in fields(Part)})
    reader = PartReader(path, part, session["start_pts"])
    recorder = PartRecorder(engine, row, settings.retry_s)
    span = PartSpan(reader, chosen["overlap_s"], profile.lookahead)
    is_read = ingest_recording(
        reader=reader,
        detector=make_detector(chosen["detector"], settings.yunet_path),
        model_input=card.input,
        windows=WindowBuffer(profile, row["session_id"], card.model_id),
        stream=CropStream(client, name_lane(BATCH, card.model_id), retry_s=settings.retry_s),
        recorder=recorder,
        options=IngestOptions(chosen["fps"], settings.max_waiting_windows),
        report_progress=lambda _reader, _num_faces: None,  # the part's row tells it
        should_stop=lambda: should_stop() or recorder.is_cancelled(),
        span=span,
    )
    return make_result(reader, span.to_dict()) if is_read else None


def _end_part(
    settings: Settings,
    engine: sa.Engine,
    row: store.Row,
    status: str,
    error: str | None,
    result: dict[str, Any] | None,
) -> None:
    def end(connection: sa.Connection) -> bool:
        ended = (row["session_id"], row["part"], row["attempts"], status, error, result)
        return parts.end_part(connection, *ended)

    with suppress(ServiceError):  # where the database is away, the part is taken for dead in a while
        write_transaction(engine, end, settings.retry_s)


@contextmanager
def _open_services() -> Iterator[tuple[Settings, sa.Engine, redis.Redis]]:
    settings = read_settings()
    redis_url = require_redis(settings)
    cv2.setNumThreads(1)  # parallelism is by processes
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    try:
        client = connect(redis_url, settings.retry_s)
        try:
            yield settings, engine, client
        finally:
            client.close()
    finally:
        engine.dispose()


def _read_session(engine: sa.Engine, session_id: str) -> tuple[store.Row, ModelCard, WindowProfile]:
    """Return a session, its model's card and how its windows are cut.

    Raises:
        ModelError: ingest makes no crops or windows of the kind that the model reads.
    """
    with read_transaction(engine) as connection:
        session = store.read_session(connection, session_id)
        card = store.read_model_card(connection, session["model_id"])
    name = session["settings"]["profile"]
    check_card(card, name)
    return session, card, PROFILES[name]


def require_redis(settings: Settings) -> str:
    """Return the URL of the Redis that is configured.

    Raises:
        ServiceError: none is.
    """
    if settings.redis_url is None:
        raise ServiceError("No Redis is configured for this process. Set EMOTRACE_REDIS_URL.")
    return settings.redis_url


def check_card(card: ModelCard, profile: str) -> None:
    """Check that a model can use the crops and windows that ingest makes.

    Raises:
        ModelError: it cannot.
    """
    if card.input.channels != 1:
        raise ModelError(
            f"The model {card.model_id} wants crops of {card.input.channels} channels. Ingest makes grey ones; use a "
            "model with 1 channel."
        )
    if card.window_length < PROFILES[profile].window_length:
        raise ModelError(
            f"The model {card.model_id} reads windows of up to {card.window_length} crops; the profile {profile} "
            f"makes them {PROFILES[profile].window_length} long. Use a model that reads as many."
        )
