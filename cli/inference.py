"""``emotrace inference``: a worker among any number, on any hosts."""

import time
from collections.abc import Callable

from cli.services import open_services
from contracts.errors import UsageError
from contracts.health import serve_health
from contracts.lanes import LANES
from contracts.logs import configure_logs
from contracts.patience import Patience
from contracts.settings import read_settings
from models.predictor import WORKER_CROPS_KEPT, EmotionPredictor
from workers.inference import serve_lanes

# A batch takes a second at most, and a GPU's first one some more.
_STANDSTILL_S = 60.0


def run(
    lanes: str,
    model: str,
    device: str,
    should_stop: Callable[[], bool],
    health_port: int | None,
    redis_url: str | None,
    database_url: str | None,
) -> None:
    """Serve ``lanes`` (names with commas) until ``should_stop``; then finish what was read.

    Raises:
        UsageError, ModelError: a lane, the model or the device cannot be used.
        ServiceError: a service refused this worker; one that is away is waited for.
    """
    asked = {name.strip() for name in lanes.split(",")}
    if not asked <= set(LANES):
        raise UsageError(f"The lanes {lanes!r} cannot be served. Expected one or more of {','.join(LANES)}.")
    configure_logs("inference")
    settings = read_settings()
    patience = Patience(is_endless=True, should_stop=should_stop)
    health = _Health(patience)
    with serve_health(health_port, health.is_ready, health.is_live):
        predictor = EmotionPredictor(model, device, settings.backend, WORKER_CROPS_KEPT)
        with open_services(redis_url, database_url, patience) as services:
            urgent_first = [lane for lane in LANES if lane in asked]
            client, engine = services.client, services.engine
            serve_lanes(urgent_first, predictor, settings, client, engine, patience, should_stop, health.beat)


class _Health:
    """What the worker answers when it is asked how it is."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._beat_s: float | None = None

    def beat(self) -> None:
        self._beat_s = time.monotonic()

    def is_ready(self) -> bool | str:
        return self._patience.problem or self._beat_s is not None or "it is starting"

    def is_live(self) -> bool | str:
        still_s = time.monotonic() - self._beat_s if self._beat_s is not None else 0.0
        return still_s < _STANDSTILL_S or f"its loop has stood still for {still_s:.0f} s"
