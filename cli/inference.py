"""``emotrace inference``: a worker among any number, on any hosts."""

import logging
from collections.abc import Callable

from cli.services import open_services
from contracts.errors import UsageError
from contracts.lanes import LANES
from contracts.patience import Patience
from contracts.settings import read_settings
from models.predictor import EmotionPredictor
from workers.inference import serve_lanes


def run(
    lanes: str,
    model: str,
    device: str,
    should_stop: Callable[[], bool],
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    patience = Patience(is_endless=True, should_stop=should_stop)
    settings = read_settings()
    predictor = EmotionPredictor(model, device, settings.backend)
    with open_services(redis_url, database_url, patience) as services:
        urgent_first = [lane for lane in LANES if lane in asked]
        serve_lanes(urgent_first, predictor, settings, services.client, services.engine, patience, should_stop)
