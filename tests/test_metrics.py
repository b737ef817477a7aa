"""Metrics: their names keep Prometheus's rules, and what cannot be read is missing, never wrong."""

import re

import msgspec
import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.registry import CollectorRegistry

import contracts.metrics as metrics
from contracts.errors import ServiceError
from contracts.ledger import SKIP_REASONS
from contracts.metrics import FleetState, LaneState, register_cameras, register_fleet
from contracts.stream_state import StreamState

CAMERA = StreamState(
    stream_id="0197",
    name='gate "north"',
    state="live",
    since=1_700_000_000.5,
    at=1_700_000_100.0,
    host="camhost",
    pid=7,
    epoch=1,
    lag_s=0.25,
    fps=5.0,
    decoded=120,
    undecodable=2,
    analysed=20,
    skipped={"not_sampled": 90, "backpressure": 10},
    faces=40,
    reconnects={"timeout": 3},
    state_changes=9,
)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_a_camera_s_counts_are_shown_under_its_id_and_name(registry: CollectorRegistry) -> None:
    register_cameras(lambda: [CAMERA], registry)
    camera = {"stream": "0197", "name": 'gate "north"'}
    read = registry.get_sample_value
    assert read("emotrace_camera_frames_total", {**camera, "outcome": "backpressure"}) == 10
    assert read("emotrace_camera_frames_decoded_total", camera) == 120
    assert read("emotrace_camera_state", {**camera, "state": "live"}) == 1
    assert read("emotrace_camera_reconnects_total", {**camera, "reason": "timeout"}) == 3
    assert read("emotrace_camera_sampling_fps", camera) == 5
    assert read("emotrace_cameras_readable") == 1
    assert 'name="gate \\"north\\""' in generate_latest(registry).decode()


def test_outcomes_of_a_camera_s_frames_add_up_to_those_decoded(registry: CollectorRegistry) -> None:
    register_cameras(lambda: [CAMERA], registry)
    (family,) = (one for one in registry.collect() if one.name == "emotrace_camera_frames")
    assert sum(sample.value for sample in family.samples) == CAMERA.decoded


def test_what_all_processes_share_is_shown_as_far_as_it_is_known(registry: CollectorRegistry) -> None:
    lane = LaneState("live", "production-1", entries=7, pending=2, oldest_s=1.5, rejected=0)
    register_fleet(lambda: FleetState(lanes=[lane], jobs={"cameras": 4}, redis_used_bytes=1000), registry)
    read, labels = registry.get_sample_value, {"lane": "live", "model": "production-1"}
    assert read("emotrace_queue_entries", labels) == 7 and read("emotrace_queue_oldest_seconds", labels) == 1.5
    assert read("emotrace_jobs_waiting", {"queue": "cameras"}) == 4
    assert read("emotrace_redis_used_bytes") == 1000 and read("emotrace_database_bytes") is None


def test_states_that_cannot_be_read_are_left_out_and_the_rest_is_served(registry: CollectorRegistry) -> None:
    def fail() -> FleetState:
        raise ServiceError("Redis is out of reach")

    register_fleet(fail, registry)
    register_cameras(lambda: [CAMERA], registry)
    assert registry.get_sample_value("emotrace_fleet_readable") == 0
    assert registry.get_sample_value("emotrace_cameras_readable") == 1
    assert "emotrace_queue_entries" not in generate_latest(registry).decode()


def test_registering_reads_nothing(registry: CollectorRegistry) -> None:
    read: list[int] = []
    register_cameras(lambda: read.append(1) or [], registry)  # type: ignore[func-returns-value]
    assert not read
    generate_latest(registry)
    assert read == [1]


def test_every_name_says_whose_it_is_and_its_unit(registry: CollectorRegistry) -> None:
    register_cameras(lambda: [msgspec.structs.replace(CAMERA, skipped=dict.fromkeys(SKIP_REASONS, 1))], registry)
    register_fleet(FleetState, registry)
    found = [*registry.collect(), *(one for one in REGISTRY.collect() if one.name.startswith("emotrace"))]
    assert len(found) > 25
    for metric in found:
        assert metric.name.startswith("emotrace_") and re.fullmatch(r"[a-z0-9_]+", metric.name)
        assert metric.documentation.endswith((".", "label tells the release."))
        assert not metric.name.endswith(("_ms", "_mb", "_s", "_kb", "_count", "_sum"))
    assert metrics.COMMIT_LATENCY_SECONDS.describe()[0].name == "emotrace_commit_latency_seconds"
