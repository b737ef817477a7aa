"""An inference worker's process: settings in, the loop of ``workers.loop`` until it is told to stop."""

from collections.abc import Callable

from contracts.database import open_database
from contracts.embedded import find_database_url
from contracts.errors import ServiceError
from contracts.settings import read_settings
from contracts.stream import CropStream, connect
from models.predictor import EmotionPredictor
from workers.loop import run_inference

# Eight consecutive windows of a track share so many crops that the CNN sees little more than each crop once.
_MAX_ENTRIES = 8


def run_worker(
    stream_name: str,
    model: str,
    device: str,
    gather_s: float,
    claim_after_s: float,
    should_stop: Callable[[], bool],
) -> None:
    """Serve one stream with one model until ``should_stop``; ``gather_s`` and ``claim_after_s`` as in the loop.

    Raises:
        ModelError: the model or the device cannot be used.
        ServiceError: Redis or the database stayed out of reach.
    """
    settings = read_settings()
    if settings.redis_url is None:
        raise ServiceError("No Redis is configured for this process. Set EMOTRACE_REDIS_URL.")
    predictor = EmotionPredictor(model, device, settings.backend)
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    client = connect(settings.redis_url, settings.retry_s)
    try:
        run_inference(
            stream=CropStream(client, stream_name, retry_s=settings.retry_s),
            predictor=predictor,
            engine=engine,
            max_entries=_MAX_ENTRIES,
            gather_s=gather_s,
            claim_after_s=claim_after_s,
            retry_s=settings.retry_s,
            should_stop=should_stop,
        )
    finally:
        client.close()
        engine.dispose()
