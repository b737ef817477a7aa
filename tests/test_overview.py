"""What status shows is true, whatever else lies in Redis."""

import redis
import sqlalchemy as sa
from crop_sequences import make_sequence

from contracts.lanes import LIVE, name_lane
from contracts.overview import LaneOverview, read_overview
from contracts.stream import CropStream


def test_keys_that_are_no_lanes_are_passed_over(sqlite_engine: sa.Engine, valkey: redis.Redis) -> None:
    lane = CropStream(valkey, name_lane(LIVE, "model:1"))
    lane.create_group()
    lane.publish(make_sequence(), make_sequence())
    lane.reject(lane.read(1, None)[0], "damaged")
    valkey.xadd("emotrace:crops:short", {"a": "b"})
    valkey.xadd(b"emotrace:crops:other:\xff", {"a": "b"})
    valkey.set(name_lane(LIVE, "model-2"), "no stream")
    (found,) = read_overview(sqlite_engine, valkey).lanes
    assert found == LaneOverview(LIVE, "model:1", 1, 0, found.oldest_age_s, 1)
