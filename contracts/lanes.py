"""The lanes by which crops reach inference: one Redis stream for each lane and model."""

LIVE, BATCH = "live", "batch"
LANES = (LIVE, BATCH)


def name_lane(lane: str, model_id: str) -> str:
    """Return the name of the Redis stream of a lane, for crops made for ``model_id``."""
    return f"emotrace:crops:{lane}:{model_id}"
