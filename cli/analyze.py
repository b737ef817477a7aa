"""``emotrace analyze``: recorded videos in; tables, a picture and a summary out.

For each video one ingest process reads and one inference process predicts, through the same stream and database as in
a cluster. This file wires them up; when the ledger has been checked, the results are written.
"""

import json
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from cli.messages import print_error
from cli.plans import AnalyzeRequest, SessionPlan, check_request, hold_session, make_plan, record_plan, resume_plan
from cli.results import claim_folder, describe_results, release_folder, write_results
from cli.services import Services, open_services
from cli.watching import InferenceProcess, Interrupt, catch_interrupts, watch_session
from contracts.completion import finish_session
from contracts.errors import EmotraceError, InterruptedRunError, ModelError, ServiceError, SourceError, UsageError
from contracts.stream import CropStream

_STREAM_EXPIRES_S = 86_400


def run(request: AnalyzeRequest, redis_url: str | None, database_url: str | None) -> int:
    """Analyse each video in turn and return the exit code: 0 only where every one is complete.

    One that fails does not keep the next from its turn; Ctrl-C ends the run after storing what was analysed.
    """
    if not request.videos and request.resume is None:
        raise UsageError("No video was named. Give one or more: emotrace analyze VIDEO...")
    check_request(request)
    exit_code = 0
    summaries: list[Mapping[str, Any]] = []
    with open_services(redis_url, database_url) as services, catch_interrupts() as interrupt:
        stream = CropStream(
            services.client,
            f"emotrace:analyze:{uuid.uuid4()}",
            expires_s=_STREAM_EXPIRES_S,
            retry_s=services.settings.retry_s,
        )
        stream.create_group()
        inference = InferenceProcess(services, stream, request.device)
        try:
            for video in [None] if request.resume is not None else request.videos:
                try:
                    plan = resume_plan(request, services.engine) if video is None else make_plan(request, video)
                    with hold_session(services.settings.data_dir, plan.session_id) as hold:
                        summaries.append(_analyse(plan, request, services, stream, inference, interrupt, hold))
                except EmotraceError as error:
                    print_error(error)
                    exit_code = exit_code or error.exit_code
                if interrupt.is_asked:
                    break
        finally:
            inference.stop()
            with suppress(ServiceError):  # it goes by itself, and what is wrong has been said
                stream.delete()
    if request.as_json:
        print(json.dumps(summaries[0] if len(summaries) == 1 else summaries, indent=2))
    return exit_code or next((_EXIT_CODES[s["status"]] for s in summaries if s["status"] in _EXIT_CODES), 0)


_EXIT_CODES = {"interrupted": InterruptedRunError.exit_code}


def _analyse(
    plan: SessionPlan,
    request: AnalyzeRequest,
    services: Services,
    stream: CropStream,
    inference: InferenceProcess,
    interrupt: Interrupt,
    hold: int,
) -> Mapping[str, Any]:
    """Run one session and write its results; return its summary.

    Raises:
        EmotraceError: it could not be read, did not balance or could not be written; what was analysed is stored.
    """
    started, cpu_before = time.monotonic(), _measure_own_cpu(services) + inference.cpu_s
    hint = f"repeat it with: emotrace analyze --resume {plan.session_id}"
    folder = claim_folder(request.out, plan.video, plan.session_id)
    record_plan(plan, services.engine, services.settings.retry_s)
    inference.start(plan.model)
    end = watch_session(plan.session_id, plan.video.name, services, stream, inference, interrupt, hold)
    try:
        ledger, imbalance = finish_session(
            services.engine, stream, plan.session_id, end.is_fully_read, end.error, services.settings.retry_s
        )
    except EmotraceError as error:
        first = end.error or error
        raise type(first)(f"{first} The session {plan.session_id} is not complete; {hint}") from None
    if not end.is_fully_read and ledger.decoded == 0:
        release_folder(folder)
        if isinstance(end.error, SourceError | ModelError):
            raise end.error
        problem = end.error or InterruptedRunError("Interrupted.")
        raise type(problem)(f"{problem} Nothing was analysed yet; {hint}")

    def measure_run() -> dict[str, Any]:
        return {
            "wall_s": round(time.monotonic() - started, 3),
            "cpu_s": round(end.ingest_cpu_s + inference.cpu_s + _measure_own_cpu(services) - cpu_before, 3),
            "peak_memory_mb": {
                "ingest": round(end.ingest_peak_memory_mb, 1),
                "inference": round(inference.peak_memory_mb, 1),
            },
        }

    summary = write_results(services.engine, plan.session_id, folder, ledger, request.annotate, measure_run)
    if not request.as_json:
        print(describe_results(summary, folder))
    if end.error is not None:
        raise type(end.error)(f"{end.error} What was analysed is stored; {hint}")
    if imbalance is not None and end.is_fully_read:
        raise imbalance
    if not end.is_fully_read:
        print(f"emotrace: interrupted. What was analysed is stored; {hint}", file=sys.stderr)
    return summary


def _measure_own_cpu(services: Services) -> float:
    """Return the CPU seconds so far of this process and of the Redis server, which works for it."""
    server_s = 0.0
    with suppress(RedisError):  # a number to look at; whether Redis is there is for others to say
        information = services.client.info("cpu")
        server_s = float(information["used_cpu_user"]) + float(information["used_cpu_sys"])
    return time.process_time() + server_s
