"""Ingest jobs: what a process or an RQ worker runs. Arguments are JSON; settings come from the environment."""

from collections.abc import Callable
from pathlib import Path

import cv2

from contracts import store
from contracts.database import open_database, read_transaction
from contracts.embedded import find_database_url
from contracts.errors import ModelError, ServiceError
from contracts.progress import Progress, publish_progress
from contracts.settings import read_settings
from contracts.stream import RUN_EXPIRES_S, CropStream, connect
from ingest.frames import FrameReader
from ingest.pipeline import IngestOptions, ingest_recording
from ingest.recorder import SessionRecorder
from ingest.windows import PROFILES, WindowBuffer
from models.detection import make_detector


def run_recording(session_id: str, stream_name: str, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Read the recording of a session and publish its crops to a stream; return whether its end was reached.

    The session's row says which file, model, detector and sampling rate; the model's card, which crops.

    Raises:
        SourceError, ModelError, ServiceError: as ``ingest_recording`` and ``make_detector``.
    """
    settings = read_settings()
    if settings.redis_url is None:
        raise ServiceError("No Redis is configured for this process. Set EMOTRACE_REDIS_URL.")
    cv2.setNumThreads(1)  # parallelism is by processes
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    with read_transaction(engine) as connection:
        session = store.read_session(connection, session_id)
        card = store.read_model_card(connection, session["model_id"])
    if card.input.channels != 1:
        raise ModelError(
            f"The model {card.model_id} wants crops of {card.input.channels} channels. Ingest makes grey ones; use a "
            "model with 1 channel."
        )
    chosen = session["settings"]
    profile = PROFILES[chosen["profile"]]
    if card.window_length < profile.window_length:
        raise ModelError(
            f"The model {card.model_id} reads windows of up to {card.window_length} crops; the profile "
            f"{chosen['profile']} makes them {profile.window_length} long. Use a model that reads as many."
        )
    client = connect(settings.redis_url, settings.retry_s)

    def report_progress(reader: FrameReader, num_faces: int) -> None:
        clock, facts = reader.clock, reader.facts
        time_s = clock.to_seconds(clock.last_pts) if clock.last_pts is not None else 0.0
        duration_s = facts.duration_s if facts is not None else 0.0
        publish_progress(client, session_id, Progress(reader.num_frames, num_faces, time_s, duration_s))

    try:
        return ingest_recording(
            reader=FrameReader(Path(session["url"])),
            detector=make_detector(chosen["detector"], settings.yunet_path),
            model_input=card.input,
            windows=WindowBuffer(profile, session_id, card.model_id),
            stream=CropStream(client, stream_name, expires_s=RUN_EXPIRES_S, retry_s=settings.retry_s),
            recorder=SessionRecorder(engine, session_id, settings.retry_s),
            options=IngestOptions(chosen["fps"], settings.max_waiting_windows),
            report_progress=report_progress,
            should_stop=should_stop,
        )
    finally:
        client.close()
        engine.dispose()
