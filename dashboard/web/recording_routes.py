"""What players of recordings ask for: the video, by ranges of bytes, and the faces of a stretch of it.

The file is read from disk as it is sent; Streamlit's own media files would be held in memory as a whole.
"""

import math

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from contracts import store
from contracts.database import read_transaction
from contracts.errors import EmotraceError
from contracts.playback import find_playable, read_faces
from dashboard.grants import GRANTS
from dashboard.queries.recording_queries import WATCH
from dashboard.services import open_services

MAX_SPAN_S = 60.0
# Whatever a file holds, a browser is to take it for a video, of nobody else's page.
HEADERS = {
    "cache-control": "private, no-store",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def send_video(request: Request) -> Response:
    """Send the recording that the link is for, or the ranges of it that are asked for."""
    grant = GRANTS.redeem(request.path_params["token"], WATCH, request.state.visitor)
    if grant is None:
        return _refuse()
    try:
        with read_transaction(open_services().engine) as connection:
            found = find_playable(store.read_session(connection, grant.subject))
    except EmotraceError as error:
        return PlainTextResponse(str(error), 404, HEADERS)
    return FileResponse(found.path, media_type=found.media_type, headers=HEADERS)


def send_faces(request: Request) -> Response:
    """Send the faces between ``start`` and ``end`` (seconds): time, track, box and probabilities of each."""
    grant = GRANTS.redeem(request.path_params["token"], WATCH, request.state.visitor)
    if grant is None:
        return _refuse()
    try:
        start_s, end_s = (float(request.query_params[name]) for name in ("start", "end"))
    except (KeyError, ValueError):
        start_s = end_s = math.nan
    if not (0 <= start_s <= end_s <= start_s + MAX_SPAN_S):
        return PlainTextResponse(f"Expected start and end in seconds, at most {MAX_SPAN_S:g} apart.", 400, HEADERS)
    try:
        with read_transaction(open_services().engine) as connection:
            rows = read_faces(connection, store.read_session(connection, grant.subject), start_s, end_s)
    except EmotraceError as error:
        return PlainTextResponse(str(error), 503, HEADERS)
    return JSONResponse([[round(value, 4) for value in row] for row in rows], headers=HEADERS)


def _refuse() -> Response:
    return PlainTextResponse("This link is not good any more. Open the page again.", 403, HEADERS)


ROUTES = (
    Route("/recordings/{token}", send_video),
    Route("/recordings/{token}/faces", send_faces),
)
