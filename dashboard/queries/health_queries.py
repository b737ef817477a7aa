"""What Health reads besides the overview: how it went over the last hours, and each rejected crop sequence."""

import time
from itertools import islice

import msgspec
import pandas as pd
import redis

from contracts import history
from contracts.redis_server import explain_error
from contracts.rejected import iterate_rejected
from dashboard.asking import query
from dashboard.identity import OPERATOR, VIEWER
from dashboard.services import open_redis

# Samples are taken twice a minute.
HISTORY_FRESH_S = 10.0
_REJECTED_FRESH_S = 5.0
MAX_REJECTED = 500
SAMPLE_COLUMNS = tuple(field.name for field in msgspec.structs.fields(history.Sample))
# A visitor waits for it.
_RETRY_S = 1.0


@query(VIEWER, ttl=HISTORY_FRESH_S, max_entries=8)
def read_history(hours: float) -> pd.DataFrame:
    """Return the samples of the last hours in order of time: ``SAMPLE_COLUMNS``, as ``contracts.history.Sample``.

    Raises:
        ServiceError: Redis is out of reach.
    """
    now = time.time()
    try:
        samples = history.list_samples(open_redis(), now - 3600 * hours, now)
    except redis.exceptions.RedisError as error:
        raise explain_error(error) from None
    return pd.DataFrame([msgspec.structs.asdict(one) for one in samples], columns=list(SAMPLE_COLUMNS))


@query(OPERATOR, ttl=_REJECTED_FRESH_S, max_entries=1)
def list_rejected() -> pd.DataFrame:
    """Return rejected crop sequences, the oldest of each lane first, ``MAX_REJECTED`` at most.

    Columns: stream, entry_id, lane, session_id, track_id, faces, rejected_at (seconds since 1970) and reason.

    Raises:
        ServiceError: Redis is out of reach.
    """
    rows = [
        {
            "stream": one.stream, "entry_id": one.entry.entry_id, "lane": one.lane,
            "session_id": one.entry.session_id, "track_id": one.entry.track_id, "faces": one.entry.num_faces,
            "rejected_at": one.entry.added_at, "reason": one.reason,
        }
        for one in islice(iterate_rejected(open_redis(), _RETRY_S), MAX_REJECTED)
    ]  # fmt: skip
    columns = ["stream", "entry_id", "lane", "session_id", "track_id", "faces", "rejected_at", "reason"]
    return pd.DataFrame(rows, columns=columns)
