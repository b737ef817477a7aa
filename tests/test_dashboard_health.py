"""Health over the last hours, and rejected crop sequences with what to do about them."""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import redis
import sqlalchemy as sa
from crop_sequences import make_sequence
from dashboard_pages import list_texts, open_app
from stored_rows import CARD

from contracts import audits, history, store
from contracts.database import read_transaction
from contracts.errors import NotAllowedError
from contracts.history import Sample
from contracts.lanes import LIVE, name_lane
from contracts.overview import read_overview
from contracts.rejected import iterate_rejected
from contracts.stream import REJECTED_SUFFIX, CropStream
from dashboard import identity
from dashboard.actions import health_actions
from dashboard.charts import health_charts
from dashboard.charts.theme import DARK
from dashboard.identity import ANALYST, Visitor
from dashboard.queries import health_queries
from workers.scheduler import Scheduler

NAMES = tuple(health_queries.SAMPLE_COLUMNS)


@pytest.fixture
def url(
    sqlite_engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: redis.Redis, valkey_url: str
) -> str:
    monkeypatch.setenv("EMOTRACE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EMOTRACE_REDIS_URL", valkey_url)
    return str(sqlite_engine.url)


def make_sample(at: float, **values: float) -> Sample:
    return Sample(**{**dict.fromkeys(NAMES, 0), **values, "at": at})  # type: ignore[arg-type]


def reject(client: redis.Redis, engine: sa.Engine, reason: str, number: int = 2) -> CropStream:
    """Have crop sequences of a known session rejected, as a worker does it."""
    lane = CropStream(client, name_lane(LIVE, CARD.model_id), "worker")
    lane.create_group()
    sequence = make_sequence()
    with engine.begin() as connection:
        store.record_model(connection, CARD)
        store.record_session(
            connection, session_id=sequence.session_id, url="/v.mp4", name="v.mp4", model_id=CARD.model_id,
            fingerprint="0", settings={},
        )  # fmt: skip
    for _ in range(number):
        lane.publish(sequence)
    for entry in lane.read(10, 1):
        with engine.begin() as connection:
            store.record_rejection(
                connection, entry.session_id, entry.track_id, entry.first_pts, entry.num_faces, reason
            )
        lane.reject(entry, reason)
    return lane


def list_keys(client: redis.Redis) -> list[tuple[str, str]]:
    return [(one.stream, one.entry.entry_id) for one in iterate_rejected(client, 1.0)]


def test_the_scheduler_samples_and_the_oldest_samples_go(engine: sa.Engine, valkey: redis.Redis) -> None:
    now = time.time()
    for step in range(history._NUM_KEPT + 5):
        history.record_sample(valkey, make_sample(now - 90_000 + step, waiting=step))
    assert Scheduler(valkey, engine).tick()
    samples = history.list_samples(valkey, now - 3600, time.time())
    assert len(samples) == 1 and samples[0].at == pytest.approx(time.time(), abs=10)
    assert valkey.llen("emotrace:history") == history._NUM_KEPT
    kept = history.list_samples(valkey, now - 100_000, time.time())
    assert [one.at for one in kept] == sorted(one.at for one in kept) and kept[0].waiting == 6


def test_a_sample_is_the_sum_of_an_overview(sqlite_engine: sa.Engine, valkey: redis.Redis) -> None:
    reject(valkey, sqlite_engine, "no", number=3)
    CropStream(valkey, name_lane(LIVE, CARD.model_id)).publish(make_sequence())
    sample = history.make_sample(read_overview(sqlite_engine, valkey))
    assert (sample.rejected, sample.waiting, sample.workers, sample.enabled) == (3, 1, 0, 0)
    assert sample.redis_used_bytes > 0 and sample.database_bytes > 0


def test_a_chart_breaks_where_nothing_was_measured() -> None:
    at = [0.0, 30.0, 60.0, 600.0, 630.0]
    samples = pd.DataFrame([{**dict.fromkeys(NAMES, 1.0), "at": one} for one in at], columns=list(NAMES))
    broken = health_charts.break_lines(samples)
    assert broken["at"].tolist() == [0.0, 30.0, 60.0, 61.0, 600.0, 630.0]
    assert np.isnan(broken["waiting"].iloc[3]) and broken["waiting"].isna().sum() == 1
    from zoneinfo import ZoneInfo

    figure = health_charts.draw_history(samples, health_charts.MEASURES, 0.0, 700.0, ZoneInfo("UTC"), DARK)
    titles = [note.text for note in figure.layout.annotations]
    assert titles == [measure.title for measure in health_charts.MEASURES]
    empty = health_charts.draw_history(samples[:0], health_charts.MEASURES, 0.0, 700.0, ZoneInfo("UTC"), DARK)
    assert empty.layout.height == figure.layout.height


def test_health_shows_the_last_hours_with_their_numbers(
    monkeypatch: pytest.MonkeyPatch, url: str, valkey: redis.Redis
) -> None:
    assert "Nothing has been measured yet" in list_texts(open_app(monkeypatch, url, "health"))
    now = time.time()
    for minutes in (300, 20, 10):
        history.record_sample(valkey, make_sample(now - 60 * minutes, waiting=minutes))
    app = open_app(monkeypatch, url, "health")
    table = next(table.value for table in app.dataframe if "crops_per_s" in table.value)
    assert table["waiting"].tolist() == [20, 10]
    app.segmented_control[0].set_value("6 h").run()
    table = next(table.value for table in app.dataframe if "crops_per_s" in table.value)
    assert table["waiting"].tolist() == [300, 20, 10] and not app.error


def test_an_operator_puts_back_and_discards_and_it_is_noted(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    lane = reject(valkey, sqlite_engine, "<b>out</b> of memory")
    open_app(monkeypatch, url, "health")
    first, second = list_keys(valkey)
    assert health_actions.requeue_rejected([first]) == (1, [])
    assert lane.count_waiting() == 1 and list_keys(valkey) == [second]
    # Another operator was quicker.
    done = health_actions.requeue_rejected([first, second])
    assert done.number == 1 and "somebody else took it" in done.refusals[0]
    reject(valkey, sqlite_engine, "again", number=0)
    third = list_keys(valkey)[0]
    assert health_actions.discard_rejected([third]) == (1, []) and third not in list_keys(valkey)
    with read_transaction(sqlite_engine) as connection:
        noted = audits.list_changes(connection)
    actions = ["rejected.discard", "rejected.requeue", "rejected.requeue"]
    assert [row["action"] for row in noted] == actions and {row["who"] for row in noted} == {"local"}
    assert noted[-1]["subject"] == first[1] and noted[-1]["details"]["reason"] == "<b>out</b> of memory"


def test_health_lists_what_is_rejected_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    reject(valkey, sqlite_engine, "<script>no</script> crop")
    app = open_app(monkeypatch, url, "health")
    table = next(table.value for table in app.dataframe if "rejected_at" in table.value)
    assert table["reason"].tolist() == ["<script>no</script> crop"] * 2 and table["faces"].tolist() == [2, 2]
    buttons = {button.key: button for button in app.button}
    assert buttons["requeue"].disabled  # nothing is chosen


def test_a_foreign_entry_among_the_rejected_breaks_no_page(
    monkeypatch: pytest.MonkeyPatch, url: str, valkey: redis.Redis
) -> None:
    name = name_lane(LIVE, CARD.model_id) + REJECTED_SUFFIX
    valkey.xadd(name, {"reason": b"\xff\x00'; DROP TABLE audits; --" + b"x" * 10_000, "payload": b"\xc1"})
    app = open_app(monkeypatch, url, "health")
    assert not app.error
    done = health_actions.discard_rejected(list_keys(valkey))
    assert done.number == 1 and not list_keys(valkey)


def test_who_is_no_operator_puts_nothing_back(
    monkeypatch: pytest.MonkeyPatch, url: str, sqlite_engine: sa.Engine, valkey: redis.Redis
) -> None:
    reject(valkey, sqlite_engine, "no")
    monkeypatch.setattr(identity, "find_visitor", lambda: Visitor("ann", ANALYST))
    keys = list_keys(valkey)
    for attempt in (
        lambda: health_queries.list_rejected(),
        lambda: health_actions.requeue_rejected(keys),
        lambda: health_actions.discard_rejected(keys),
    ):
        with pytest.raises(NotAllowedError, match="operator"):
            attempt()
    assert list_keys(valkey) == keys
