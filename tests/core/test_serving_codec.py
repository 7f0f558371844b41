"""The wire format, byte by byte, and what it refuses."""

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frs_core.errors import MalformedMessage
from frs_core.serving.codec import pack, unpack
from frs_core.wire.codec import MAX_ITEMS
from tests.fakes.openpi_server import wire_default, wire_hook

_DTYPES = ["?", "u1", "i2", "<u4", "<i8", "<f2", "<f4", "<f8", ">f4"]


def test_an_array_has_exactly_openpis_bytes() -> None:
    expected = (
        b"\x81\xa1a\x84"
        b"\xc4\x0b__ndarray__\xc3"
        b"\xc4\x04data\xc4\x08\x00\x00\x80?\x00\x00\x00@"
        b"\xc4\x05dtype\xa3<f4"
        b"\xc4\x05shape\x91\x02"
    )
    assert pack({"a": np.array([1.0, 2.0], dtype="<f4")}) == expected
    np.testing.assert_array_equal(unpack(expected)["a"], [1.0, 2.0])


def test_a_scalar_has_exactly_openpis_bytes() -> None:
    expected = b"\x83\xc4\x0d__npgeneric__\xc3\xc4\x04data\x05\xc4\x05dtype\xa3<i4"
    assert pack(np.int32(5)) == expected
    assert unpack(expected) == 5
    assert unpack(expected).dtype == np.int32


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        dtype=st.sampled_from([np.dtype(d) for d in _DTYPES]),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0),
    )
)
def test_any_plain_array_survives_both_ways_and_agrees_with_the_format(array: np.ndarray) -> None:
    data = pack({"x": array})
    assert data == msgpack.packb({"x": array}, default=wire_default)
    for read in (unpack(data)["x"], msgpack.unpackb(data, object_hook=wire_hook)["x"]):
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


def test_a_transposed_array_is_sent_in_its_own_order() -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)
    np.testing.assert_array_equal(unpack(pack(picture)), picture)


@pytest.mark.parametrize(
    "value",
    [
        np.array([object()]),
        np.zeros(2, dtype=[("a", "f4")]),
        np.zeros(2, dtype=complex),
        np.datetime64("2026-01-01"),
        {"f": print},
        {"n": 2**70},
    ],
)
def test_what_has_no_place_on_the_wire_is_refused_when_packing(value: object) -> None:
    with pytest.raises(MalformedMessage):
        pack(value)


def _array(**change: object) -> dict[bytes, object]:
    good = {"__ndarray__": True, "data": b"\0" * 8, "dtype": "<f4", "shape": [2]}
    return {k.encode(): v for k, v in (good | change).items() if v is not ...}


@pytest.mark.parametrize(
    "entries",
    [
        _array(dtype="|O"),
        _array(dtype="O8"),
        _array(dtype="f4,f4"),
        _array(dtype="<M8[ns]"),
        _array(dtype="<c8"),
        _array(dtype=[["a", "<f4"]]),
        _array(dtype="<f3"),
        _array(dtype=...),
        _array(shape=...),
        _array(shape=[3]),
        _array(shape=[-2]),
        _array(shape=[2.0]),
        _array(shape=[True, 2]),
        _array(shape=[2**62, 4]),
        _array(shape=[1] * 9 + [2]),
        _array(shape="2"),
        _array(data="text"),
        _array(data=...),
        _array(data=b"\7", dtype="|b1", shape=[1]),
        {b"__npgeneric__": True, b"data": "words", b"dtype": "<f8"},
        {b"__npgeneric__": True, b"data": 300, b"dtype": "|u1"},
        {b"__npgeneric__": True, b"data": [1], b"dtype": "<f8"},
        {b"__npgeneric__": True, b"data": 1, b"dtype": "|O"},
        {1: 2},
        msgpack.ExtType(5, b"x"),
    ],
)
def test_a_dishonest_array_is_refused_when_reading(entries: object) -> None:
    with pytest.raises(MalformedMessage):
        unpack(msgpack.packb({"x": entries}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"\x93\x01",
        b"\xa5\xff\xfe\xfd\xfc\xfb",
        b"\x01\x02",
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
        b"\xdc\x03\xe8" * 2000,
        b"\xc6\xff\xff\xff\xff",
    ],
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        unpack(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xc1", "a byte that begins no value"),
        (b"\x93\x01", "of 2 bytes cannot be read: it ends in the middle"),
        (b"\x01\x02", "further bytes follow its end"),
        (b"\x91" * 5000, "nested too deeply"),
        (b"\xa5\xff\xfe\xfd\xfc\xfb", "a text in it is no UTF-8"),
        (b"\xdd\xff\xff\xff\xff", "a list or map of 4294967295 entries, expected at most 1024"),
        (b"\x81\x01\x02", "a key of a map in it is no text"),
        (msgpack.packb(_array(dtype=...)), "lacks 'dtype'"),
        (msgpack.packb({b"__npgeneric__": True, b"data": "words", b"dtype": "<f8"}), "a number or array in it is none"),
    ],
)
def test_what_is_wrong_with_bytes_is_said_in_words_of_our_own(data: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage) as refused:
        unpack(data)
    assert why in str(refused.value)
    assert not any(own in str(refused.value) for own in ("unpack", "StackError", "ExtraData", "max_", "Error:"))


def test_a_message_cannot_unfold_into_many_objects() -> None:
    lists = [[0] * 1000 for _ in range(MAX_ITEMS // 1000 + 1)]
    with pytest.raises(MalformedMessage, match="entries"):
        unpack(msgpack.packb(lists))
    assert len(unpack(msgpack.packb(lists[: MAX_ITEMS // 1000 - 1]))) == MAX_ITEMS // 1000 - 1


def test_a_map_with_one_name_twice_is_refused() -> None:
    packed = b"\x82\xa6prompt\xa1a\xa6prompt\xa1b"
    with pytest.raises(MalformedMessage, match="a map with one name twice"):
        unpack(packed)
