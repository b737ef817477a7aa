"""What the Batch page reads: recordings with how far each is, those that wait to be looked at, and those on offer."""

from contracts import batches, jobs
from contracts.submissions import GB, Submission, list_submissions
from dashboard.asking import FRESH_S, query, read
from dashboard.identity import ANALYST, VIEWER, require
from dashboard.offers import Offer, find_folders, list_files
from dashboard.reading.batch_rows import Recording, describe
from dashboard.services import open_redis, open_services

MAX_RECORDINGS = 500
_OFFER_FRESH_S = 10.0


@query(VIEWER, ttl=FRESH_S, max_entries=1)
def list_recordings() -> list[Recording]:
    """Return the newest recordings of batches, the last batch first.

    Raises:
        ServiceError: the database is out of reach.
    """
    with read() as connection:
        return [describe(row) for row in batches.list_files(connection, limit=MAX_RECORDINGS)]


def list_handed_in() -> tuple[list[Submission], int]:
    """Return the recordings that wait to be looked at or were refused, and how many ingest workers look at any.

    Raises:
        NotAllowedError: the visitor may not see them.
        ServiceError: Redis is out of reach.
    """
    require(VIEWER)
    client = open_redis()
    found = list_submissions(client)
    return found, jobs.count_check_workers(client) if found else 0


@query(ANALYST, ttl=_OFFER_FRESH_S, max_entries=1)
def list_offers() -> list[Offer]:
    """Return the recordings in the folders that ``EMOTRACE_RECORDING_DIRS`` names, the newest first."""
    return list_files(find_folders(open_services().settings))


def find_max_upload() -> int:
    """Return how many bytes an uploaded recording may have."""
    require(VIEWER)
    return round(open_services().settings.max_upload_gb * GB)
