"""What an installation of a given size needs: arithmetic on unit costs, each with its source.

*Measured*: by ``benchmarks/unit_costs.py`` (and where said by ``cameras.py`` and ``worker.py``) in November 2026 on two
cores of a shared AMD EPYC (Zen 4), PostgreSQL 18, Valkey 9.1, beside other load, so rather too high than too low:
repeated on a quiet machine, a decoded frame, a search and all bytes came within 10 %, a face to 1.8 to 3.5 ms, a window
in Valkey to 0.15 ms.
*Assumed*: not measured by us; put your own in its place.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from contracts.errors import UsageError


@dataclass(frozen=True)
class PictureCost:
    """What pictures of one size cost an ingest process.

    CPU milliseconds of a decoded frame with all that happens to it, of a face in an analysed frame (found near where it
    was, followed, cropped, handed on) and of a search of the whole frame. ``memory_mb``: of a camera's run, pages that
    it shares counted in part. ``megabits``: what such a camera sends a second.
    """

    decoded_ms: float
    face_ms: float
    search_ms: float
    memory_mb: float
    megabits: float


# Measured but the last column, which is assumed: H.264 as cameras are usually set.
PICTURES = {
    "360p": PictureCost(1.65, 3.7, 15.7, 47, 1.0),
    "720p": PictureCost(3.4, 3.7, 15.7, 65, 3.0),
    "1080p": PictureCost(5.5, 3.7, 17.1, 78, 6.0),
}
# A whole frame is searched once a second, and at every analysed frame while something moves and no face is known.
SEARCHES_A_SECOND = 1.0
QUEUE_WORKER_MB = 20.0  # measured: the RQ worker that each camera's run is a child of

INFERENCE_MS = 1.7  # measured by worker.py: CPU of a stored face in an inference worker, everything included
INFERENCE_MB = 340.0  # measured: memory of a worker
FEEDING_MS = 0.6  # measured by worker.py: what of INFERENCE_MS is not the CNN, and stays when a GPU has that
GPU_FACES_A_SECOND = 10_000.0  # assumed: no GPU was at hand

FACES_A_WINDOW = 2  # the live profile's stride (ingest.windows)
WINDOW_BYTES = 37_700.0  # measured: a live window in Valkey
VALKEY_WINDOW_MS = 0.2  # measured: Valkey's CPU from publishing to acknowledging, batches of 8
VALKEY_CAMERA_MS = 0.2  # measured by cameras.py: of a second of a camera, its windows left out
VALKEY_CORES = 1.0  # it answers on one thread
REDIS_CLIENTS_A_CAMERA, REDIS_CLIENTS_A_WORKER = 4, 3  # measured by cameras.py
OTHER_CLIENTS = 5  # measured by cameras.py: scheduler, ingest hosts and whoever looks at it
REDIS_MAX_CLIENTS = 10_000  # Valkey's and Redis' default
OUTAGE_S = 60.0  # chosen: so long all cameras' windows can wait for inference

ROW_BYTES = 369.0  # measured: a row with its index in PostgreSQL; SQLite takes 216
ROW_SENT_BYTES = 250.0  # assumed: a row on its way to PostgreSQL
POSTGRESQL_ROW_MS = 0.12  # measured by worker.py: PostgreSQL's CPU in commits of 16 rows; 0.65 in those of 2
POSTGRESQL_CAMERA_MS = 1.0  # measured by cameras.py: of a second of a camera, its rows left out (leases, coverage)
POSTGRESQL_CORES = 16.0  # assumed: of one server
POSTGRESQL_GB = 8.0  # assumed
POSTGRESQL_DEFAULT_CLIENTS = 100  # its max_connections unless set
ADMIN_CLIENTS = 10  # chosen: kept for migrations, backups and people
DATABASE_CLIENTS = 1, 1  # measured by cameras.py: of a camera and of a worker

UTILISATION = 0.7  # chosen: of cores, so that 95 % of rows keep to their 1.5 s
LARGE_TABLE_GB = 1_000.0  # chosen: beyond it, deleting rows one by one and copying the table take too long
GIGABIT_MBITS = 700.0  # of a network of 1 Gbit/s, at the same utilisation
DAY_S = 86_400
INGEST, INFERENCE, VALKEY, POSTGRESQL = "ingest", "inference", "Valkey", "PostgreSQL"


@dataclass(frozen=True)
class Wish:
    """What is to be run. ``faces``: in view of a camera at a time, on average; ``fps``: frames analysed a second."""

    cameras: int
    fps: float = 5.0
    faces: float = 1.0
    resolution: str = "720p"
    source_fps: float = 15.0
    days: float = 30.0
    host_cores: int = 16
    host_gb: float = 64.0


@dataclass(frozen=True)
class Part:
    """One kind of process: cores with the room that ``UTILISATION`` leaves, memory in GB, and how many there are."""

    cores: float
    memory_gb: float
    processes: int


@dataclass(frozen=True)
class Limit:
    """Something that gives way at this size, and what to do about it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class Plan:
    """What a wish needs.

    ``parts`` by name, inference on CPUs. With ``gpus``, ``feeding_processes`` of a core each take the place of the
    inference processes. ``installations``: independent ones, each with a Valkey, a PostgreSQL and a scheduler of its
    own. ``hosts``: of the wish's size, for all parts. ``mbits``: network traffic in Mbit/s by name, of all.
    ``redis_clients`` and ``database_clients`` are the connections to the servers of one installation.
    """

    wish: Wish
    faces_per_s: float
    rows_per_day: float
    parts: dict[str, Part]
    gpus: int
    feeding_processes: int
    database_gb_per_day: float
    database_gb: float
    mbits: dict[str, float]
    redis_clients: int
    database_clients: int
    installations: int
    hosts: int
    limits: list[Limit]


def make_plan(wish: Wish) -> Plan:
    """Reckon what a wish needs.

    Raises:
        UsageError: a number of it makes no sense, or pictures of that size were not measured.
    """
    _check(wish)
    faces_per_s = wish.cameras * wish.fps * wish.faces
    installations = _count_installations(wish, faces_per_s)
    parts = _find_parts(wish, faces_per_s, installations)
    database_gb_per_day = faces_per_s * DAY_S * ROW_BYTES / 1e9
    cores, memory_gb = (sum(getattr(part, name) for part in parts.values()) for name in ("cores", "memory_gb"))
    redis_clients, database_clients = (
        wish.cameras * of_camera + parts[INFERENCE].processes * of_worker + OTHER_CLIENTS
        for of_camera, of_worker in ((REDIS_CLIENTS_A_CAMERA, REDIS_CLIENTS_A_WORKER), DATABASE_CLIENTS)
    )
    plan = Plan(
        wish=wish,
        faces_per_s=faces_per_s,
        rows_per_day=faces_per_s * DAY_S,
        parts=parts,
        gpus=math.ceil(faces_per_s / GPU_FACES_A_SECOND / UTILISATION),
        feeding_processes=math.ceil(faces_per_s * FEEDING_MS / 1000 / UTILISATION),
        database_gb_per_day=database_gb_per_day,
        database_gb=database_gb_per_day * wish.days,
        mbits={
            "cameras to ingest": wish.cameras * PICTURES[wish.resolution].megabits,
            "ingest to Valkey": faces_per_s / FACES_A_WINDOW * WINDOW_BYTES * 8 / 1e6,
            "Valkey to inference": faces_per_s / FACES_A_WINDOW * WINDOW_BYTES * 8 / 1e6,
            "inference to PostgreSQL": faces_per_s * ROW_SENT_BYTES * 8 / 1e6,
        },
        redis_clients=math.ceil(redis_clients / installations),
        database_clients=math.ceil(database_clients / installations),
        installations=installations,
        hosts=math.ceil(max(cores / wish.host_cores, memory_gb / wish.host_gb)),
        limits=[],
    )
    return replace(plan, limits=list(_find_limits(plan)))


def _check(wish: Wish) -> None:
    if wish.resolution not in PICTURES:
        raise UsageError(f"Pictures of {wish.resolution!r} were not measured. Known are {', '.join(PICTURES)}.")
    if wish.fps > wish.source_fps:
        raise UsageError(
            f"The plan wants {wish.fps:g} of {wish.source_fps:g} frames a second analysed. Lower --fps or raise "
            "--source-fps."
        )


def _count_installations(wish: Wish, faces_per_s: float) -> int:
    """Return how many servers of each kind all of it takes."""
    return math.ceil(
        max(
            _find_valkey_cores(wish, faces_per_s) / VALKEY_CORES,
            _find_postgresql_cores(wish, faces_per_s) / POSTGRESQL_CORES,
            wish.cameras * REDIS_CLIENTS_A_CAMERA / UTILISATION / REDIS_MAX_CLIENTS,
        )
    )


def _find_valkey_cores(wish: Wish, faces_per_s: float) -> float:
    return (faces_per_s / FACES_A_WINDOW * VALKEY_WINDOW_MS + wish.cameras * VALKEY_CAMERA_MS) / 1000 / UTILISATION


def _find_postgresql_cores(wish: Wish, faces_per_s: float) -> float:
    return (faces_per_s * POSTGRESQL_ROW_MS + wish.cameras * POSTGRESQL_CAMERA_MS) / 1000 / UTILISATION


def _find_parts(wish: Wish, faces_per_s: float, installations: int) -> dict[str, Part]:
    picture, windows_per_s = PICTURES[wish.resolution], faces_per_s / FACES_A_WINDOW
    with_faces_ms = min(wish.fps, SEARCHES_A_SECOND) * picture.search_ms + wish.fps * wish.faces * picture.face_ms
    # A street in motion without a face is the dearest scene until there are many faces.
    camera_ms = wish.source_fps * picture.decoded_ms + max(with_faces_ms, wish.fps * picture.search_ms)
    inference_cores = faces_per_s * INFERENCE_MS / 1000 / UTILISATION
    inference = max(1, math.ceil(inference_cores))
    # Crops fill up to half of what Valkey may hold, and it takes as much again while it rewrites its file.
    valkey_gb = 2 * max(0.25 * installations, 2 * windows_per_s * OUTAGE_S * WINDOW_BYTES / 1e9)
    return {
        INGEST: Part(
            wish.cameras * camera_ms / 1000 / UTILISATION,
            wish.cameras * (picture.memory_mb + QUEUE_WORKER_MB) / 1000,
            2 * wish.cameras,
        ),
        INFERENCE: Part(inference_cores, inference * INFERENCE_MB / 1000, inference),
        VALKEY: Part(_find_valkey_cores(wish, faces_per_s), valkey_gb, installations),
        POSTGRESQL: Part(_find_postgresql_cores(wish, faces_per_s), POSTGRESQL_GB * installations, installations),
    }


def _find_limits(plan: Plan) -> Iterator[Limit]:
    """Yield what gives way, in the order in which a growing installation meets it."""
    wish, number = plan.wish, plan.installations
    if plan.hosts > 1:
        yield Limit(
            "one host", "servers of their own, PostgreSQL in place of SQLite; ingest and inference on all hosts"
        )
    if plan.database_clients > POSTGRESQL_DEFAULT_CLIENTS - ADMIN_CLIENTS:
        most = 50 * math.ceil((plan.database_clients + ADMIN_CLIENTS) / 50)
        yield Limit(f"PostgreSQL's {POSTGRESQL_DEFAULT_CLIENTS} connections", f"max_connections = {most}")
    if plan.database_gb / number > LARGE_TABLE_GB:
        yield Limit(
            f"a table of {plan.database_gb / number:,.0f} GB",
            "partitions by session_id, which begins with the time; whole ones dropped",
        )
    if plan.mbits["Valkey to inference"] / number > GIGABIT_MBITS:
        yield Limit("a network of 1 Gbit/s at Valkey", "10 Gbit/s, or inference on Valkey's host")
    if number > 1:
        yield Limit(
            "Valkey's one thread",
            f"{number} installations of {math.ceil(wish.cameras / number):,} cameras each, or streams by shard",
        )
