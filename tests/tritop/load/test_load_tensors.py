from __future__ import annotations

import math
import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritop.load import tensors

INTEGER_BITS = {f"{sign}INT{bits}": bits for sign in ("", "U") for bits in (8, 16, 32, 64)}


def bf16(upper_half: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", upper_half << 16))[0]
    return value


def unpacked(datatype: str, packed: bytes) -> list[float]:
    if datatype == "BF16":
        return [bf16(upper_half) for (upper_half,) in struct.iter_unpack("<H", packed)]
    code = tensors.STRUCT_CODES[datatype]
    return list(struct.unpack(f"<{len(packed) // struct.calcsize(code)}{code}", packed))


def unpacked_texts(packed: bytes) -> list[str]:
    texts = []
    while packed:
        (size,) = struct.unpack("<I", packed[:4])
        texts.append(packed[4 : 4 + size].decode())
        packed = packed[4 + size :]
    return texts


def limits(datatype: str) -> tuple[int, int]:
    bits = INTEGER_BITS[datatype]
    return (0, 2**bits - 1) if datatype.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@pytest.mark.parametrize("datatype", sorted(tensors.DATATYPES))
@pytest.mark.parametrize("elements", [0, 1, 7, 4096, 4097, 10_000])
def test_made_up_contents_have_the_right_size_and_harmless_values(datatype: str, elements: int) -> None:
    packed = tensors.made_up(datatype, elements, Random(3))
    assert len(packed) == elements * tensors.element_bytes(datatype)
    if datatype == "BYTES":
        texts = unpacked_texts(packed)
        assert len(texts) == elements
        assert all(text.startswith("tritop ") for text in texts)
        return
    values = unpacked(datatype, packed)
    if datatype in tensors.FLOATS:
        assert all(0 <= value < 1 for value in values)
    else:
        assert set(values) <= {0, 1}
        assert values[:1] == [1] * min(1, elements)


def test_an_unknown_data_type_is_named() -> None:
    with pytest.raises(ValueError, match="COMPLEX64"):
        tensors.made_up("COMPLEX64", 1, Random(0))
    with pytest.raises(ValueError, match="COMPLEX64"):
        tensors.from_json_values("COMPLEX64", [1])


@pytest.mark.parametrize("datatype", sorted(INTEGER_BITS))
@given(data=st.data())
def test_whole_numbers_come_back_and_others_are_refused(datatype: str, data: st.DataObject) -> None:
    least, most = limits(datatype)
    values = data.draw(st.lists(st.integers(least, most)))
    assert unpacked(datatype, tensors.from_json_values(datatype, values)) == values
    wrong: object = data.draw(st.sampled_from([least - 1, most + 1, 1.0, True, "1", None, {}]))
    with pytest.raises(ValueError, match=f"element {len(values)} is "):
        tensors.from_json_values(datatype, [*values, wrong])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)))
def test_doubles_come_back(values: list[float]) -> None:
    assert unpacked("FP64", tensors.from_json_values("FP64", values)) == [float(value) for value in values]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bf16_is_the_nearest_of_its_two_neighbours(value: float) -> None:
    try:
        (got,) = unpacked("BF16", tensors.from_json_values("BF16", [value]))
    except ValueError:
        assert abs(value) >= struct.unpack("<f", b"\x80\xff\x7f\x7f")[0]  # rounds to infinity
        return
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    below, above = bf16(bits >> 16), bf16((bits >> 16) + 1)
    assert got in (below, above)
    if math.isfinite(above):
        assert abs(got - value) <= min(abs(below - value), abs(above - value))


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("FP16", 70000.0), ("FP32", 1e39), ("BF16", 3.4e38), ("FP64", 10**400), ("FP32", math.inf), ("FP64", math.nan)],
)
def test_a_number_that_a_float_cannot_hold_is_refused(datatype: str, value: float) -> None:
    with pytest.raises(ValueError, match="element 1 is"):
        tensors.from_json_values(datatype, [0.5, value])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_come_back(texts: list[str]) -> None:
    assert unpacked_texts(tensors.from_json_values("BYTES", texts)) == texts


def test_half_a_character_is_refused() -> None:
    with pytest.raises(ValueError, match=r"element 1 is '\\ud800'"):
        tensors.from_json_values("BYTES", ["a", "\ud800"])


def test_booleans_are_not_numbers() -> None:
    assert tensors.from_json_values("BOOL", [True, False]) == b"\1\0"
    with pytest.raises(ValueError, match="element 0 is 1"):
        tensors.from_json_values("BOOL", [1])
    with pytest.raises(ValueError, match="element 0 is true"):
        tensors.from_json_values("FP32", [True])


NESTED = st.recursive(st.integers(), lambda inner: st.lists(inner, max_size=4), max_leaves=20)


@given(NESTED)
def test_nested_lists_are_read_in_row_major_order(data: object) -> None:
    def leaves(item: object) -> list[object]:
        return [leaf for part in item for leaf in leaves(part)] if isinstance(item, list) else [item]

    assert tensors.flat(data) == leaves(data)
