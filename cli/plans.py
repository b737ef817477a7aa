"""What a run of ``analyze`` is to do with one video: a new session, or one that is to be repeated."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contracts import store
from contracts.database import read_transaction, write_transaction
from contracts.errors import ServiceError, UsageError
from contracts.model_card import DEFAULT_MODEL, ModelCard, name_model, read_checked_card
from ingest.sources import check_file, compute_fingerprint
from models.detection import find_default_detector

DEFAULT_FPS = "10"
DEFAULT_PROFILE = "batch"
# The reader of a run that was killed notices within a frame.
_HOLD_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class AnalyzeRequest:
    """The command line of ``analyze`` as given; None means that an option was left out."""

    videos: list[Path]
    out: Path
    fps: str | None
    detector: str | None
    model: str | None
    device: str
    profile: str | None
    annotate: bool
    resume: str | None
    as_json: bool


@dataclass(frozen=True)
class SessionPlan:
    """One session to run. ``settings`` decide the rows together with the file and the model, and are stored."""

    session_id: str
    video: Path
    fingerprint: str
    model: str
    card: ModelCard
    settings: dict[str, Any]
    is_resumed: bool


def check_request(request: AnalyzeRequest) -> None:
    """Check what holds for all videos, so that a mistake in it is told once.

    Raises:
        UsageError, ModelError: an option or the model cannot be used.
    """
    if request.resume is None:
        read_fps(DEFAULT_FPS if request.fps is None else request.fps)
        read_checked_card(name_model(DEFAULT_MODEL if request.model is None else request.model))


def make_plan(request: AnalyzeRequest, video: Path) -> SessionPlan:
    """Plan a new session for ``video``.

    Raises:
        SourceError, ModelError, UsageError: the file, the model or an option cannot be used.
    """
    check_file(video)
    model = name_model(DEFAULT_MODEL if request.model is None else request.model)
    return SessionPlan(
        session_id=store.make_uuid7(),
        video=video.resolve(),
        fingerprint=compute_fingerprint(video),
        model=model,
        card=read_checked_card(model),
        settings={
            "fps": read_fps(DEFAULT_FPS if request.fps is None else request.fps),
            "detector": request.detector or find_default_detector(),
            "profile": request.profile or DEFAULT_PROFILE,
            "model": model,
        },
        is_resumed=False,
    )


def resume_plan(request: AnalyzeRequest, engine: sa.Engine) -> SessionPlan:
    """Plan to repeat the session ``request.resume`` from the start of its file.

    Raises:
        UsageError: it is complete, or the file, an option or the model is not what it was.
        SourceError, ModelError: the file or the model cannot be used any more.
    """
    assert request.resume is not None
    with read_transaction(engine) as connection:
        session = store.read_session(connection, request.resume)
    session_id, settings = session["session_id"], session["settings"]
    if session["status"] == store.COMPLETE:
        raise UsageError(f"Session {session_id} is complete; there is nothing to resume. Export it, or analyse anew.")
    if "overlap_s" in settings:
        raise UsageError(
            f"Session {session_id} is read in parts. Repeat those that are missing with: "
            f"emotrace batch retry {session_id}"
        )
    video = Path(session["url"])
    if request.videos and [os.path.realpath(path) for path in request.videos] != [str(video)]:
        raise UsageError(f"Session {session_id} belongs to {video}. Name that file alone with --resume, or none.")
    check_file(video)
    fingerprint = compute_fingerprint(video)
    if fingerprint != session["fingerprint"]:
        raise UsageError(f"{video} has changed since session {session_id} began. Analyse it anew, without --resume.")
    given = {
        "fps": read_fps(request.fps) if request.fps is not None else settings["fps"],
        "detector": request.detector or settings["detector"],
        "profile": request.profile or settings["profile"],
        "model": name_model(request.model) if request.model is not None else settings["model"],
    }
    for name, value in given.items():
        if value != settings[name]:
            raise UsageError(
                f"Session {session_id} ran with --{name} {settings[name] or 'native'}, not {value or 'native'}. Leave "
                f"--{name} out, or analyse anew without --resume."
            )
    card = read_checked_card(settings["model"])
    if card.model_id != session["model_id"]:
        raise UsageError(
            f"Session {session_id} was made by the model {session['model_id']}; {settings['model']} is {card.model_id} "
            "now. Analyse anew, without --resume."
        )
    return SessionPlan(session_id, video, fingerprint, settings["model"], card, settings, is_resumed=True)


def record_plan(plan: SessionPlan, engine: sa.Engine, retry_s: float) -> None:
    """Store the session, or begin its ledger anew where it is repeated.

    Raises:
        ServiceError: the database stayed out of reach.
    """

    def write(connection: sa.Connection) -> None:
        if plan.is_resumed:
            store.restart_session(connection, plan.session_id)
            return
        store.record_model(connection, plan.card)
        store.record_session(
            connection,
            session_id=plan.session_id,
            url=str(plan.video),
            name=plan.video.name,
            model_id=plan.card.model_id,
            fingerprint=plan.fingerprint,
            settings=plan.settings,
        )

    write_transaction(engine, write, retry_s)


def read_fps(text: str) -> float | None:
    """Return frames per second, or None for ``native``.

    Raises:
        UsageError: it is neither.
    """
    if text == "native":
        return None
    try:
        fps = float(text)
    except ValueError:
        fps = 0.0
    if not 0 < fps <= 1000:
        raise UsageError(f"--fps is {text!r}. Expected a number above 0 and up to 1000, or 'native' for every frame.")
    return fps


@contextmanager
def hold_session(data_dir: Path, session_id: str) -> Iterator[int]:
    """Keep other runs on this machine from the session while the context lasts.

    Yields the lock's file descriptor: a child that inherits it holds the session too, so that after a killed run
    nobody repeats the session before its last process has ended.

    Raises:
        ServiceError: another run holds it, or the lock cannot be written.
    """
    path = data_dir / "sessions" / f"{session_id}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise ServiceError(
            f"{path} cannot be written ({error.strerror}). Set EMOTRACE_DATA_DIR to a directory that can."
        ) from None
    deadline = time.monotonic() + _HOLD_TIMEOUT_S
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ServiceError(
                        f"Session {session_id} is being analysed by another run. Wait for it to end."
                    ) from None
                time.sleep(0.05)
                continue
            # The run before may have removed the file between our opening and locking it.
            if not path.exists() or os.fstat(file.fileno()).st_ino != path.stat().st_ino:
                continue
            try:
                yield file.fileno()
            finally:
                path.unlink(missing_ok=True)
            return
