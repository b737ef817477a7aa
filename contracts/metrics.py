"""Every Prometheus metric of emotrace, in one place.

Three kinds: what an inference worker counts while it works (the objects below), what a host's cameras report and what
the whole installation looks like (read when somebody asks, by ``register_cameras`` and ``register_fleet``). Camera
runs are short-lived children of a worker pool; they report to Redis and the pool's one process reads that, so that
nothing is left behind by those that die. Their counters begin at zero with each run, as Prometheus expects.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from contracts.errors import EmotraceError
from contracts.stream_state import StreamState

# An inference worker's own counts. Lanes are those of the crop streams.
CROPS_PREDICTED = Counter("emotrace_crops_predicted_total", "Face crops that the network has seen.", ["lane"])
ROWS_STORED = Counter("emotrace_rows_stored_total", "Rows of emotions committed to the database.", ["lane"])
ENTRIES_CLAIMED = Counter("emotrace_entries_claimed_total", "Entries taken over from dead workers.", ["lane"])
ENTRIES_REJECTED = Counter("emotrace_entries_rejected_total", "Entries that no worker could use.", ["lane"])
# The lanes share each batch.
BATCH_WINDOWS = Histogram(
    "emotrace_batch_windows", "Windows predicted together.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
PREDICT_SECONDS = Histogram(
    "emotrace_predict_seconds",
    "Time that the network takes for a batch.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
COMMIT_LATENCY_SECONDS = Histogram(
    "emotrace_commit_latency_seconds",
    "From an entry's arrival in Redis to the commit of its rows.",
    ["lane"],
    buckets=(0.1, 0.25, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60, 300),
)

# The scheduler's.
RECONCILED = Gauge("emotrace_reconciled_timestamp_seconds", "When jobs were last made to match the table of streams.")
CAMERAS_STARTED = Counter("emotrace_cameras_started_total", "Camera jobs put on the queue.", ["reason"])

# An ingest host's.
CAPACITY = Gauge("emotrace_ingest_capacity_cameras", "Cameras that this host may run at once.")

_BUILD = Gauge("emotrace_build_info", "Always 1; the label tells the release.", ["version"])
_BUILD.labels(version("emotrace")).set(1)


@dataclass(frozen=True)
class LaneState:
    """One crop stream: its entries, those read and not acknowledged, the oldest one's age, and the rejected ones."""

    lane: str
    model_id: str
    entries: int
    pending: int
    oldest_s: float
    rejected: int


@dataclass(frozen=True)
class FleetState:
    """What all processes share. What is None is not known, and not shown."""

    lanes: Sequence[LaneState] = ()
    jobs: Mapping[str, int] = field(default_factory=dict)  # waiting, by RQ queue
    redis_used_bytes: int | None = None
    redis_max_bytes: int | None = None  # 0: no limit
    database_bytes: int | None = None
    leases: int | None = None
    cameras_enabled: int | None = None
    ingest_hosts: int | None = None
    inference_workers: int | None = None


_Values = Iterable[tuple[tuple[str, ...], float | None]]


@dataclass(frozen=True)
class _Family:
    """A metric that is read when asked for: ``read`` gives the values of further labels, and the number."""

    type: type[GaugeMetricFamily] | type[CounterMetricFamily]
    name: str
    text: str
    labels: tuple[str, ...]
    read: Callable[[Any], _Values]


def _one(number: str) -> Callable[[Any], _Values]:
    return lambda state: [((), getattr(state, number))]


def _each(numbers: str) -> Callable[[Any], _Values]:
    return lambda state: [((key,), number) for key, number in getattr(state, numbers).items()]


def _each_lane(number: str) -> Callable[[Any], _Values]:
    return lambda fleet: [((lane.lane, lane.model_id), getattr(lane, number)) for lane in fleet.lanes]


def _read_outcomes(camera: StreamState) -> _Values:
    yield ("analysed",), camera.analysed
    yield from (((reason,), number) for reason, number in camera.skipped.items())


_G, _C = GaugeMetricFamily, CounterMetricFamily
_CAMERAS = (
    _Family(_G, "emotrace_camera_state", "1 for the state it is in.", ("state",), lambda c: [((c.state,), 1)]),
    _Family(_G, "emotrace_camera_state_since_timestamp_seconds", "Since when it is in that state.", (), _one("since")),
    _Family(_C, "emotrace_camera_state_changes_total", "Changes of state.", (), _one("state_changes")),
    _Family(_C, "emotrace_camera_reconnects_total", "Lost connections.", ("reason",), _each("reconnects")),
    _Family(_C, "emotrace_camera_frames_decoded_total", "Frames decoded.", (), _one("decoded")),
    _Family(_C, "emotrace_camera_frames_undecodable_total", "Packets that gave no frame.", (), _one("undecodable")),
    _Family(_C, "emotrace_camera_frames_total", "Decoded frames by what became of them.", ("outcome",), _read_outcomes),
    _Family(_C, "emotrace_camera_faces_published_total", "Faces handed on to inference.", (), _one("faces")),
    _Family(_G, "emotrace_camera_lag_seconds", "How far its run is behind the camera.", (), _one("lag_s")),
    _Family(_G, "emotrace_camera_sampling_fps", "Frames analysed a second, as asked now.", (), _one("fps")),
)
_LANE = ("lane", "model")
_FLEET = (
    _Family(_G, "emotrace_queue_entries", "Entries that are not done.", _LANE, _each_lane("entries")),
    _Family(_G, "emotrace_queue_pending_entries", "Entries that workers hold.", _LANE, _each_lane("pending")),
    _Family(_G, "emotrace_queue_oldest_seconds", "Age of the oldest entry.", _LANE, _each_lane("oldest_s")),
    _Family(_G, "emotrace_rejected_entries", "Entries to look into.", _LANE, _each_lane("rejected")),
    _Family(_G, "emotrace_jobs_waiting", "Jobs that wait for an ingest worker.", ("queue",), _each("jobs")),
    _Family(_G, "emotrace_redis_used_bytes", "Memory that Redis uses.", (), _one("redis_used_bytes")),
    _Family(_G, "emotrace_redis_max_bytes", "Memory that Redis may use; 0: any.", (), _one("redis_max_bytes")),
    _Family(_G, "emotrace_database_bytes", "Size of the database.", (), _one("database_bytes")),
    _Family(_G, "emotrace_leases", "Leases held by camera runs.", (), _one("leases")),
    _Family(_G, "emotrace_cameras_enabled", "Cameras that should run.", (), _one("cameras_enabled")),
    _Family(_G, "emotrace_ingest_hosts", "Ingest hosts with a heartbeat.", (), _one("ingest_hosts")),
    _Family(_G, "emotrace_inference_workers", "Inference workers with a heartbeat.", (), _one("inference_workers")),
)


class _Reading(Collector):
    """Reads states when Prometheus asks. What cannot be read is not shown, and ``emotrace_..._readable`` is 0 then.

    ``labels`` are those that every metric has, and ``identify`` gives their values.
    """

    def __init__(
        self,
        what: str,
        families: Sequence[_Family],
        read: Callable[[], Iterable[Any]],
        labels: tuple[str, ...] = (),
        identify: Callable[[Any], tuple[str, ...]] = lambda _state: (),
    ) -> None:
        self._what = what
        self._families = families
        self._read = read
        self._labels = labels
        self._identify = identify

    def collect(self) -> Iterator[Metric]:
        readable = GaugeMetricFamily(f"emotrace_{self._what}_readable", f"Whether the {self._what} could be read.")
        try:
            states = list(self._read())
        except EmotraceError:
            readable.add_metric([], 0)
        else:
            yield from (self._fill(family, states) for family in self._families)
            readable.add_metric([], 1)
        yield readable

    def describe(self) -> Iterable[Metric]:
        """Name the metrics, so that registering them reads nothing."""
        return [self._fill(family, []) for family in self._families]

    def _fill(self, family: _Family, states: Iterable[Any]) -> Metric:
        metric = family.type(family.name, family.text, labels=[*self._labels, *family.labels])
        for state in states:
            for further, number in family.read(state):
                if number is not None:
                    metric.add_metric([*self._identify(state), *further], number)
        return metric


def register_cameras(read: Callable[[], Iterable[StreamState]], registry: CollectorRegistry = REGISTRY) -> None:
    """Show the cameras that ``read`` lists whenever metrics are asked for: each host those that it runs.

    ``read`` should give up within a second or two, and raise an EmotraceError then.
    """
    labels = ("stream", "name")
    registry.register(_Reading("cameras", _CAMERAS, read, labels, lambda camera: (camera.stream_id, camera.name)))


def register_fleet(read: Callable[[], FleetState], registry: CollectorRegistry = REGISTRY) -> None:
    """Show what all processes share whenever metrics are asked for; one process, the scheduler, does it.

    ``read`` as in ``register_cameras``.
    """
    registry.register(_Reading("fleet", _FLEET, lambda: [read()]))
