"""An inference worker's process: settings in, the loop of ``workers.loop`` until it is told to stop."""

import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

import redis
import sqlalchemy as sa

from contracts.database import open_database
from contracts.embedded import find_database_url
from contracts.errors import ServiceError
from contracts.lanes import name_lane
from contracts.patience import Patience
from contracts.redis_server import connect
from contracts.settings import Settings, read_settings
from contracts.stream import CropStream
from contracts.worker_state import WorkerState, publish_worker_state, remove_worker_state
from models.predictor import WORKER_CROPS_KEPT, EmotionPredictor
from workers.loop import LoopOptions, run_inference

_logger = logging.getLogger(__name__)
# Eight consecutive windows of a track share so many crops that the CNN sees little more than each crop once; more would
# only keep cameras waiting. A GPU wants about a thousand crops at a time.
_MAX_ENTRIES_CPU, _MAX_ENTRIES_GPU = 8, 64
# One try of a call, before a worker that waits anyway says that it does.
_TRY_S = 1.0
_RATE_OVER_S = 10.0


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
    predictor = EmotionPredictor(model, device, settings.backend, WORKER_CROPS_KEPT)
    engine = open_database(settings.database_url or find_database_url(settings.data_dir))
    client = connect(settings.redis_url, settings.retry_s)
    try:
        run_inference(
            [CropStream(client, stream_name, retry_s=settings.retry_s)],
            predictor,
            engine,
            LoopOptions(_MAX_ENTRIES_CPU, gather_s, claim_after_s, settings.retry_s),
            Patience(is_endless=False, should_stop=should_stop),
            should_stop,
        )
    finally:
        client.close()
        engine.dispose()


def serve_lanes(
    lanes: Sequence[str],
    predictor: EmotionPredictor,
    settings: Settings,
    client: redis.Redis,
    engine: sa.Engine,
    patience: Patience,
    should_stop: Callable[[], bool],
    beat: Callable[[], None],
) -> None:
    """Serve the lanes of the predictor's model until ``should_stop``, the first being the most urgent.

    ``beat`` is called about every second while the loop goes round.

    Raises:
        ServiceError: a service refused a call, or was away when the worker was to stop; the entries stay pending.
    """
    streams = [CropStream(client, name_lane(lane, predictor.card.model_id), retry_s=_TRY_S) for lane in lanes]
    options = LoopOptions(
        settings.batch_windows or (_MAX_ENTRIES_CPU if predictor.device_name == "cpu" else _MAX_ENTRIES_GPU),
        settings.gather_s,
        settings.claim_after_s,
        _TRY_S,
        leaves_newer=True,
    )
    reporter = _Reporter(client, streams[0].consumer, predictor, lanes, patience)
    _logger.info("serving %s of %s on %s", ", ".join(lanes), predictor.card.model_id, predictor.device_name)

    def report(num_crops: int) -> None:
        beat()
        reporter.report(num_crops)

    run_inference(streams, predictor, engine, options, patience, should_stop, report)
    remove_worker_state(client, streams[0].consumer)
    _logger.info("stopped; all that was read is stored")


class _Reporter:
    """Publishes the worker's state with its recent speed."""

    def __init__(
        self, client: redis.Redis, consumer: str, predictor: EmotionPredictor, lanes: Sequence[str], patience: Patience
    ) -> None:
        self._client, self._consumer, self._lanes, self._patience = client, consumer, lanes, patience
        self._predictor = predictor
        self._started_at = time.time()
        self._counts: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def report(self, num_crops: int) -> None:
        now = time.monotonic()
        self._counts.append((now, num_crops))
        while len(self._counts) > 2 and now - self._counts[0][0] > _RATE_OVER_S:
            self._counts.popleft()
        since, before = self._counts[0]
        state = WorkerState(
            consumer=self._consumer,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self._predictor.device_name,
            backend=str(self._predictor.backend),
            model_id=self._predictor.card.model_id,
            lanes=",".join(self._lanes),
            crops=num_crops,
            crops_per_s=round((num_crops - before) / max(now - since, 1e-3), 1),
            started_at=self._started_at,
            heartbeat_at=time.time(),
            problem=self._patience.problem,
        )
        publish_worker_state(self._client, state)
