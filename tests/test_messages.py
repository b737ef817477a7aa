"""Messages: the bytes on the stream are a contract, and bytes that break it are refused, never misread."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from crop_sequences import make_sequence
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import MessageError, NewerMessageError
from contracts.messages import VERSION, CropSequence, decode, encode

GOLDEN = json.loads((Path(__file__).parent.parent / "docs" / "golden" / "messages.json").read_text())


def write_unchecked(sequence: CropSequence) -> bytes:
    """The bytes that a publisher without our checks would send."""
    return msgspec.msgpack.encode(sequence)


def read_golden(fields: dict[str, Any]) -> CropSequence:
    others = {name: value for name, value in fields.items() if name != "crops_base64"}
    return msgspec.convert({**others, "crops": base64.b64decode(fields["crops_base64"])}, CropSequence)


@pytest.mark.parametrize("vector", GOLDEN, ids=[vector["name"] for vector in GOLDEN])
def test_the_golden_vectors_are_what_is_written_and_read(vector: dict[str, Any]) -> None:
    sequence, payload = read_golden(vector["fields"]), bytes.fromhex(vector["messagepack_hex"])
    assert encode(sequence) == payload
    assert decode(payload) == sequence
    # A reader without msgspec sees a plain map with these names and values.
    plain = msgspec.msgpack.decode(payload)
    crops = base64.b64encode(plain.pop("crops")).decode()
    assert {**plain, "crops_base64": crops} == vector["fields"]


def test_crops_come_out_as_an_array_of_their_shape() -> None:
    crops = decode(encode(make_sequence())).read_crops()
    assert crops.shape == (3, 2, 2) and crops[2, 1, 1] == 11 and not crops.flags.writeable


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"version": 2}, "version 2; this release reads 1. Run workers of the release"),
        ({"times_s": (0.0, 0.1)}, "3 pts but other fields have"),
        ({"boxes": ()}, "3 pts but other fields have"),
        ({"pts": (), "times_s": (), "frame_indices": (), "boxes": (), "detection_scores": (), "qualities": ()}, "of 0"),
        ({"pts": (0, 3, 3)}, "pts do not increase"),
        ({"pts": (0, 3, 2)}, "pts do not increase"),
        ({"times_s": (0.0, float("nan"), 0.2)}, "not finite"),
        ({"qualities": (0.0, float("inf"), 0.2)}, "not finite"),
        ({"boxes": ((0.0, 0.0, 9.0, float("-inf")),) * 3}, "not finite"),
        ({"store_from": 2, "store_to": 2}, "positions 2 to 2 of 3"),
        ({"store_from": -1}, "positions -1 to 2 of 3"),
        ({"store_to": 4}, "positions 0 to 4 of 3"),
        ({"crops": bytes(11)}, "11 bytes of crops. Its shape .* needs 12"),
        ({"crops": b""}, "0 bytes of crops"),
        ({"shape": (2, 2, 3)}, r"shape \(2, 2, 3\). Expected \(3, H, W\)"),
        ({"shape": (3, 0, 2), "crops": b""}, "Expected"),
        ({"shape": (12,)}, "Expected"),
        ({"shape": ()}, "Expected"),
        ({"shape": (3, 2, 1, 2)}, "Expected"),
        ({"shape": (3, -2, -2)}, "Expected"),
        ({"session_id": ""}, "session_id is ''"),
        ({"session_id": "x" * 37}, "Expected 1 to 36 characters"),
        ({"model_id": "x" * 81}, "Expected 1 to 80 characters"),
        ({"model_id": "a\0b"}, "model_id"),
        ({"track_id": 2**31}, "track 2147483648"),
        ({"track_id": -1}, "track -1"),
        ({"pts": (0, 3, 2**63)}, "64 bits"),
        ({"frame_indices": (0, 1, 2**63)}, "64 bits"),
    ],
)
def test_a_message_that_contradicts_itself_is_refused_by_both_sides(changes: dict[str, Any], text: str) -> None:
    broken = make_sequence(**changes)
    with pytest.raises(MessageError, match=text):
        decode(write_unchecked(broken))
    if "version" not in changes:
        with pytest.raises(MessageError, match=text):
            encode(broken)


def test_a_newer_version_is_told_from_one_that_is_no_longer_read() -> None:
    with pytest.raises(NewerMessageError) as newer:
        decode(write_unchecked(make_sequence(version=VERSION + 1)))
    assert newer.value.version == VERSION + 1
    with pytest.raises(MessageError, match="version 0") as older:
        decode(write_unchecked(make_sequence(version=0)))
    assert not isinstance(older.value, NewerMessageError)


def test_a_field_that_this_release_does_not_know_changes_nothing() -> None:
    """So that a later release may add one that workers need not read, without a new version."""
    payload = msgspec.msgpack.encode({**msgspec.to_builtins(make_sequence(), builtin_types=(bytes,)), "added": [1]})
    assert decode(payload) == make_sequence()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"not a message",
        msgspec.msgpack.encode([1, 2, 3]),
        msgspec.msgpack.encode("text"),
        msgspec.msgpack.encode(None),
        msgspec.msgpack.encode({}),
        msgspec.msgpack.encode({"version": "1"}),
        msgspec.msgpack.encode({"version": 1}),
        msgspec.msgpack.encode({"version": 1, 2: 3}),
        encode(make_sequence()) + b"\x00",
        write_unchecked(make_sequence(dtype="float32")),
        write_unchecked(make_sequence(track_id=1.5)),
        write_unchecked(make_sequence(boxes=((0.0, 0.0, 9.0),) * 3)),
        b"\x82\xa7version\x01\xa1x" + b"\x91" * 100_000 + b"\x01",
    ],
    ids=lambda payload: payload[:12].hex(),
)
def test_bytes_that_are_no_message_are_refused(payload: bytes) -> None:
    with pytest.raises(MessageError, match="malformed"):
        decode(payload)


def test_a_message_cut_off_anywhere_is_refused() -> None:
    payload = encode(make_sequence())
    for length in range(len(payload)):
        with pytest.raises(MessageError, match="malformed"):
            decode(payload[:length])


def test_a_sequence_that_cannot_be_written_is_refused_clearly() -> None:
    with pytest.raises(MessageError):
        encode(make_sequence(session_id="\ud800"))


finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def sequences(draw: st.DrawFn) -> CropSequence:
    length = draw(st.integers(1, 5))
    store_from = draw(st.integers(0, length - 1))
    shape = (length, draw(st.integers(1, 3)), draw(st.integers(1, 3)), *draw(st.sampled_from([(), (3,)])))
    size = 1
    for number in shape:
        size *= number
    integers = st.integers(-(2**63) + 1, 2**63 - 1)

    def per_crop(values: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        return tuple(draw(st.lists(values, min_size=length, max_size=length)))

    return CropSequence(
        session_id=draw(st.uuids()).hex,
        track_id=draw(st.integers(0, 2**31 - 1)),
        model_id=draw(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=80)),
        store_from=store_from,
        store_to=draw(st.integers(store_from + 1, length)),
        pts=tuple(sorted(draw(st.sets(integers, min_size=length, max_size=length)))),
        times_s=per_crop(finite),
        frame_indices=per_crop(integers),
        boxes=per_crop(st.tuples(finite, finite, finite, finite)),
        detection_scores=per_crop(finite),
        qualities=per_crop(finite),
        shape=shape,
        crops=draw(st.binary(min_size=size, max_size=size)),
    )


@given(sequences())
def test_what_is_read_is_what_was_written(sequence: CropSequence) -> None:
    assert decode(encode(sequence)) == sequence


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_and_nothing_worse(payload: bytes) -> None:
    with pytest.raises(MessageError):
        decode(payload)


@given(st.data())
def test_a_message_with_flipped_bytes_is_read_or_refused_and_nothing_worse(data: st.DataObject) -> None:
    payload = bytearray(encode(make_sequence()))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(payload)).read_crops()
    except MessageError as error:
        assert str(error)
