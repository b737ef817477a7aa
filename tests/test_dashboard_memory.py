"""A page that is looked at for days takes no more memory than one that was just opened."""

import gc
import statistics

import psutil
import pytest
import redis
import sqlalchemy as sa
from dashboard_pages import open_app
from test_dashboard_operators import add_running_camera, url  # noqa: F401 - a fixture

from contracts.stream_state import LIVE


@pytest.mark.parametrize("page", ["wall"])
def test_five_hundred_reruns_of_a_live_page_leave_memory_flat(
    monkeypatch: pytest.MonkeyPatch,
    url: str,  # noqa: F811
    page: str,
    sqlite_engine: sa.Engine,
    valkey: redis.Redis,
) -> None:
    for number in range(3):
        add_running_camera(sqlite_engine, valkey, f"camera {number}", LIVE, num_tracks=1, decoded=100)
    app, process, sizes = open_app(monkeypatch, url, page), psutil.Process(), []
    for number in range(500):
        app.run()
        assert not app.exception
        if number % 25 == 24:
            gc.collect()
            sizes.append(process.memory_info().rss)
    # The first ones fill caches and the allocator's pools.
    assert statistics.median(sizes[-4:]) - statistics.median(sizes[4:8]) < 8e6, sizes
