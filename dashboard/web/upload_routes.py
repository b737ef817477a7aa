"""Where the browser sends recordings to. Streamlit's own uploads would be held in memory as a whole."""

import json
from contextlib import suppress
from functools import partial
from urllib.parse import unquote

from anyio import to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from contracts.errors import EmotraceError, OutputError, UsageError
from dashboard.grants import GRANTS, Grant
from dashboard.handing_in import UPLOAD, hand_in
from dashboard.services import open_services
from dashboard.web.uploads import Upload

_BLOCK_BYTES = 1 << 20


async def receive_upload(request: Request) -> Response:
    """Receive one recording, named by X-File-Name (%-encoded), and hand it in."""
    grant = GRANTS.redeem(request.path_params["token"], UPLOAD, request.state.visitor)
    if grant is None:
        return PlainTextResponse("This page is too old to upload from. Load it again.", 403)
    try:
        return PlainTextResponse(await _receive(request, grant), 201)
    except EmotraceError as error:
        status = 413 if isinstance(error, UsageError) else 507 if isinstance(error, OutputError) else 422
        return PlainTextResponse(str(error), status)
    except ClientDisconnect:
        return PlainTextResponse("", 499)  # nobody reads it


async def _receive(request: Request, grant: Grant) -> str:
    """Write what comes to disk and return the submission's id; whatever ends early is deleted."""
    settings = (await to_thread.run_sync(open_services)).settings
    name = unquote(request.headers.get("x-file-name", ""), errors="replace")
    length = request.headers.get("content-length", "")
    upload = await to_thread.run_sync(Upload, settings, name, int(length) if length.isdecimal() else None)
    try:
        block = bytearray()
        async for chunk in request.stream():
            block += chunk
            if len(block) >= _BLOCK_BYTES:
                await to_thread.run_sync(upload.write, bytes(block))
                block.clear()
        await to_thread.run_sync(upload.write, bytes(block))
        path = await to_thread.run_sync(upload.finish)
        order = json.loads(grant.subject)
        return await to_thread.run_sync(partial(hand_in, grant.visitor, path, True, **order))
    except BaseException:
        with suppress(OSError):
            upload.discard()
        raise


ROUTES = (Route("/uploads/{token}", receive_upload, methods=["PUT"]),)
