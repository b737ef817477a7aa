"""The message between ingest and inference: a crop sequence, in MessagePack.

``docs/contracts.md`` describes every field with golden vectors.
"""

import itertools
import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from contracts.errors import MessageError, NewerMessageError

VERSION = 1
_MAX_SESSION_ID_LENGTH, _MAX_MODEL_ID_LENGTH = 36, 80
_MAX_INT32, _MAX_INT64 = 2**31 - 1, 2**63 - 1
Box = tuple[float, float, float, float]


class CropSequence(msgspec.Struct, frozen=True, kw_only=True):
    """1 to T crops of one track, with all that a worker needs to make rows of them.

    The per-crop fields have one value per crop, in order of time. ``store_from`` and ``store_to`` are the half-open
    range of positions whose results are to be stored; the others are context. ``boxes`` are xyxy in source pixels,
    ``times_s`` seconds from the session's start, ``qualities`` from 0 to 1. ``crops`` holds T x H x W (x 3 for colour)
    bytes of ``dtype``, row by row.
    """

    version: int = VERSION
    session_id: str
    track_id: int
    model_id: str
    store_from: int
    store_to: int
    pts: tuple[int, ...]
    times_s: tuple[float, ...]
    frame_indices: tuple[int, ...]
    boxes: tuple[Box, ...]
    detection_scores: tuple[float, ...]
    qualities: tuple[float, ...]
    shape: tuple[int, ...]
    dtype: Literal["uint8"] = "uint8"
    crops: bytes

    @property
    def num_faces(self) -> int:
        """How many of its crops this sequence asks to store."""
        return self.store_to - self.store_from

    @property
    def first_pts(self) -> int:
        """The pts of the first crop to store; with session and track it identifies the sequence."""
        return self.pts[self.store_from]

    def read_crops(self) -> NDArray[np.uint8]:
        """Return the crops as a read-only array of ``shape``."""
        return np.frombuffer(self.crops, dtype=np.uint8).reshape(self.shape)


class _Envelope(msgspec.Struct):
    version: int


_encoder = msgspec.msgpack.Encoder()
# One for each version that this release reads: its own, and the one before, so that workers are upgraded before ingest.
_decoders = {VERSION: msgspec.msgpack.Decoder(CropSequence)}
_envelope_decoder = msgspec.msgpack.Decoder(_Envelope)


def encode(sequence: CropSequence) -> bytes:
    """Return the message's bytes.

    Raises:
        MessageError: the sequence breaks the contract, so no worker could use it.
    """
    _check(sequence)
    try:
        return _encoder.encode(sequence)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        raise MessageError(f"The sequence cannot be written as a message: {error}.") from None


def decode(payload: bytes) -> CropSequence:
    """Read and check a message.

    Raises:
        NewerMessageError: it is of a version that a later release writes.
        MessageError: it is no message, of a version this release does not read any more, or inconsistent.
    """
    try:
        version = _envelope_decoder.decode(payload).version
        if version not in _decoders:
            problem = (
                f"The message has version {version}; this release reads {', '.join(map(str, _decoders))}. Run workers "
                "of the release that publishes it."
            )
            raise NewerMessageError(problem, version) if version > VERSION else MessageError(problem)
        sequence = _decoders[version].decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MessageError(f"The message is malformed: {error}.") from None
    except RecursionError:
        raise MessageError("The message is malformed: it is nested too deeply.") from None
    _check(sequence)
    return sequence


def _check(sequence: CropSequence) -> None:
    length = len(sequence.pts)
    per_crop = (
        sequence.times_s,
        sequence.frame_indices,
        sequence.boxes,
        sequence.detection_scores,
        sequence.qualities,
    )
    if any(len(values) != length for values in per_crop):
        raise MessageError(f"The message has {length} pts but other fields have {[len(v) for v in per_crop]} values.")
    if not 0 <= sequence.store_from < sequence.store_to <= length:
        raise MessageError(
            f"The message asks to store the positions {sequence.store_from} to {sequence.store_to} of {length}."
        )
    _check_storable(sequence)
    if any(later <= earlier for earlier, later in itertools.pairwise(sequence.pts)):
        raise MessageError("The message's pts do not increase.")
    numbers = itertools.chain(
        sequence.times_s, sequence.detection_scores, sequence.qualities, itertools.chain.from_iterable(sequence.boxes)
    )
    if not all(math.isfinite(number) for number in numbers):
        raise MessageError("The message holds numbers that are not finite.")
    shape = sequence.shape
    if len(shape) not in (3, 4) or shape[0] != length or min(shape) < 1 or shape[3:] not in ((), (3,)):
        raise MessageError(f"The message has crops of shape {shape}. Expected ({length}, H, W) or ({length}, H, W, 3).")
    if len(sequence.crops) != math.prod(shape):
        raise MessageError(
            f"The message has {len(sequence.crops)} bytes of crops. Its shape {shape} needs {math.prod(shape)}."
        )


def _check_storable(sequence: CropSequence) -> None:
    """Check what a database would refuse, so that one message cannot fail the transaction of its neighbours."""
    for name, text, longest in (
        ("session_id", sequence.session_id, _MAX_SESSION_ID_LENGTH),
        ("model_id", sequence.model_id, _MAX_MODEL_ID_LENGTH),
    ):
        if not 0 < len(text) <= longest or "\0" in text:
            raise MessageError(f"The message's {name} is {text[:100]!r}. Expected 1 to {longest} characters.")
    if not 0 <= sequence.track_id <= _MAX_INT32:
        raise MessageError(f"The message has the track {sequence.track_id}. Expected 0 to {_MAX_INT32}.")
    if any(abs(number) > _MAX_INT64 for number in itertools.chain(sequence.pts, sequence.frame_indices)):
        raise MessageError("The message has pts or frame indices that do not fit into 64 bits.")
