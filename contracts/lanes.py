"""Lanes: the streams of crop sequences that inference workers share, one for each lane and model.

A worker only meets crops that were made for its model, and archives never stand in front of cameras.
"""

# In the order in which workers serve them: cameras first.
LIVE, BATCH = "live", "batch"
LANES = (LIVE, BATCH)
_PREFIX = "emotrace:crops:"


def name_lane(lane: str, model_id: str) -> str:
    """Return the name of the stream that a lane is for one model."""
    return f"{_PREFIX}{lane}:{model_id}"


def find_lane(stream_name: str) -> str | None:
    """Return the lane that a stream is, or None where it is another kind of stream."""
    lane, _, model_id = stream_name.removeprefix(_PREFIX).partition(":")
    return lane if stream_name == name_lane(lane, model_id) and lane in LANES else None
