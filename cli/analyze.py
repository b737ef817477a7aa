"""``emotrace analyze``: recorded videos in; tables, a picture and a summary out.

For each video one ingest process reads and one inference process predicts, through the same stream and database as in
a cluster. This file wires them up; when the ledger has been checked, the results are written.
"""

import json
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from cli.messages import print_error
from cli.plans import AnalyzeRequest, SessionPlan, check_request, hold_session, make_plan, record_plan, resume_plan
from cli.results import claim_folder, describe_results, release_folder, write_results
from cli.services import Services, open_services
from cli.watching import InferenceProcess, Interrupt, SessionEnd, catch_interrupts, watch_session
from contracts import store
from contracts.completion import finish_session
from contracts.database import read_transaction
from contracts.errors import (
    EmotraceError,
    InterruptedRunError,
    LedgerError,
    ModelError,
    ServiceError,
    SourceError,
    UsageError,
)
from contracts.ledger import Ledger
from contracts.stream import RUN_EXPIRES_S, CropStream

_ENDED_AT_ONCE = (
    "Ended at once. The session is not complete: find it with `emotrace sessions`, repeat it with --resume."
)


def run(request: AnalyzeRequest, redis_url: str | None, database_url: str | None) -> int:
    """Analyse each video in turn and return the exit code: 0 only where every one is complete.

    One that fails does not keep the next from its turn; Ctrl-C ends the run after storing what was analysed.
    """
    if not request.videos and request.resume is None:
        raise UsageError("No video was named. Give one or more: emotrace analyze VIDEO...")
    check_request(request)
    outcomes: list[_Outcome] = []
    with open_services(redis_url, database_url) as services, catch_interrupts() as interrupt:
        stream = CropStream(
            services.client,
            f"emotrace:analyze:{uuid.uuid4()}",
            expires_s=RUN_EXPIRES_S,
            retry_s=services.settings.retry_s,
        )
        stream.create_group()
        inference = InferenceProcess(services, stream, request.device)
        try:
            for video in [None] if request.resume is not None else request.videos:
                try:
                    plan = resume_plan(request, services.engine) if video is None else make_plan(request, video)
                    with hold_session(services.settings.data_dir, plan.session_id) as hold:
                        outcomes.append(_analyse(plan, request, services, stream, inference, interrupt, hold))
                except EmotraceError as error:
                    outcomes.append(_Outcome(None, error))
                if outcomes[-1].error is not None:
                    print_error(outcomes[-1].error)
                if interrupt.is_asked:
                    break
        except KeyboardInterrupt:
            outcomes.append(_Outcome(None, InterruptedRunError(_ENDED_AT_ONCE)))
            print_error(outcomes[-1].error)
        finally:
            inference.stop()
            with suppress(ServiceError):  # it goes by itself, and what is wrong has been said
                stream.delete()
    if request.as_json:
        summaries = [outcome.summary for outcome in outcomes if outcome.summary is not None]
        print(json.dumps(summaries if len(request.videos) > 1 else next(iter(summaries), None), indent=2))
    return next((outcome.error.exit_code for outcome in outcomes if outcome.error is not None), 0)


@dataclass(frozen=True)
class _Outcome:
    """What became of one video: its summary, where results were written, and what went wrong, if anything."""

    summary: Mapping[str, Any] | None
    error: EmotraceError | None


def _analyse(
    plan: SessionPlan,
    request: AnalyzeRequest,
    services: Services,
    stream: CropStream,
    inference: InferenceProcess,
    interrupt: Interrupt,
    hold: int,
) -> _Outcome:
    """Run one session and write its results.

    Raises:
        EmotraceError: nothing could be read, stored or written.
    """
    started, cpu_before = time.monotonic(), _measure_own_cpu(services) + inference.cpu_s
    hint = f"repeat it with: emotrace analyze --resume {plan.session_id}"
    folder = claim_folder(request.out, plan.video, plan.session_id)
    try:
        record_plan(plan, services.engine, services.settings.retry_s)
    except EmotraceError:
        release_folder(folder)
        raise
    inference.start(plan.model)
    end = watch_session(plan.session_id, plan.video.name, services, stream, inference, interrupt, hold)
    try:
        ledger, imbalance = finish_session(
            services.engine, stream, plan.session_id, end.is_fully_read, end.error, services.settings.retry_s
        )
    except EmotraceError as error:
        first = end.error or error
        raise type(first)(f"{first} The session {plan.session_id} is not complete; {hint}") from None
    if ledger.waiting:
        # The next video's worker must not meet them: this session is read anew when it is resumed.
        stream.delete()
        stream.create_group()
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
    return _Outcome(summary, _find_problem(end, ledger, imbalance, hint, services, plan))


def _find_problem(
    end: SessionEnd,
    ledger: Ledger,
    imbalance: LedgerError | None,
    hint: str,
    services: Services,
    plan: SessionPlan,
) -> EmotraceError | None:
    """Return what the user must know of a session whose results were written, or None where all is well."""
    if end.error is not None:
        return type(end.error)(f"{end.error} What was analysed is stored; {hint}")
    if imbalance is not None:
        return imbalance
    if not end.is_fully_read:
        return InterruptedRunError(f"interrupted. What was analysed is stored; {hint}")
    if ledger.rejected:
        reason = _read_reason(services, plan)
        return LedgerError(f"{ledger.rejected} of {ledger.published} faces were rejected and have no rows: {reason}")
    return None


def _read_reason(services: Services, plan: SessionPlan) -> str:
    with read_transaction(services.engine) as connection:
        return str(store.list_rejections(connection, plan.session_id)[0]["reason"])


def _measure_own_cpu(services: Services) -> float:
    """Return the CPU seconds so far of this process and of the Redis server, which works for it."""
    server_s = 0.0
    with suppress(RedisError):  # a number to look at; whether Redis is there is for others to say
        information = services.client.info("cpu")
        server_s = float(information["used_cpu_user"]) + float(information["used_cpu_sys"])
    return time.process_time() + server_s
