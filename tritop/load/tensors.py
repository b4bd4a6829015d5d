"""Triton's data types as the bytes of `raw_input_contents`: made up, or from JSON values.

Encoding: https://github.com/kserve/open-inference-protocol (specification, "Raw Data"): little
endian, row major, BOOL one byte, BF16 the upper half of an FP32, and each BYTES element a 4-byte
little-endian length followed by that many bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from random import Random

STRUCT_CODES = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})
DATATYPES = frozenset({*STRUCT_CODES, "BF16", "BYTES"})
"""Every data type of the protocol."""

_BLOCK = 4096
"""Elements that are drawn; a larger tensor repeats them, since drawing a million takes a second."""
_TEXT = "tritop %03d"
"""A made-up BYTES element; they all have one size."""


def _pack_bf16(values: Sequence[float]) -> bytes:
    packed = bytearray()
    for value in values:
        (bits,) = struct.unpack("<I", struct.pack("<f", value))
        # Round to nearest even, as hardware does.
        upper = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        if upper & 0x7FFF == 0x7F80:
            raise OverflowError("rounds to infinity")
        packed += struct.pack("<H", upper)
    return bytes(packed)


def _pack_bytes(texts: Sequence[str]) -> bytes:
    packed = bytearray()
    for text in texts:
        data = text.encode()
        packed += struct.pack("<I", len(data)) + data
    return bytes(packed)


def _pack(datatype: str, values: Sequence[float] | Sequence[bool]) -> bytes:
    if datatype == "BF16":
        return _pack_bf16(values)
    return struct.pack(f"<{len(values)}{STRUCT_CODES[datatype]}", *values)


def element_bytes(datatype: str) -> int:
    """Size of one element as `made_up` makes it."""
    if datatype == "BF16":
        return 2
    return struct.calcsize(f"<{STRUCT_CODES[datatype]}") if datatype in STRUCT_CODES else len(_pack_bytes([_TEXT % 0]))


def made_up(datatype: str, elements: int, random: Random) -> bytes:
    """Harmless contents for an input that nobody gave data for.

    Floats are in [0, 1). Integers are 0 or 1 and begin with a 1: a valid index of nearly every
    embedding (token types have only two), and no attention mask is all 0. BYTES are short texts.

    Raises:
        ValueError: the data type is none of `DATATYPES`.
    """
    if datatype not in DATATYPES:
        raise ValueError(f"unknown data type {datatype}")
    drawn = min(elements, _BLOCK)
    if datatype in FLOATS:
        # 23/64 and the like: exact in every float type, so that FP16 or BF16 never rounds up to 1.
        block = _pack(datatype, [random.randrange(64) / 64 for _ in range(drawn)])
    elif datatype == "BYTES":
        block = _pack_bytes([_TEXT % random.randrange(1000) for _ in range(drawn)])
    else:
        block = _pack(datatype, [1, *(random.randrange(2) for _ in range(drawn - 1))][:drawn])
    if elements <= _BLOCK:
        return block
    size = len(block) // _BLOCK * elements  # every element has the same size, also those of BYTES
    return (block * -(-elements // _BLOCK))[:size]


def flat(data: object) -> list[object]:
    """JSON data as one row-major list; nested lists are as good as a flat one."""
    if not isinstance(data, list):
        return [data]
    leaves: list[object] = []
    pending: list[object] = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(reversed(item))
        else:
            leaves.append(item)
    return leaves


def _fits(datatype: str, value: object) -> bool:
    if datatype == "BOOL":
        return isinstance(value, bool)
    if datatype == "BYTES":
        # JSON can spell half a character, which has no bytes: "\\ud800".
        return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, bool):
        return False
    if datatype in FLOATS and isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int)


def from_json_values(datatype: str, values: Sequence[object]) -> bytes:
    """Contents out of JSON values: true/false, numbers, or strings for BYTES.

    Raises:
        ValueError: a value is not of that type or not in its range; the message says which one,
            such as `element 3 is "x"`.
    """
    if datatype not in DATATYPES:
        raise ValueError(f"the data type is {datatype}")
    for position, value in enumerate(values):
        if not _fits(datatype, value):
            raise ValueError(f"element {position} is {_shown(value)}")
    if datatype == "BYTES":
        return _pack_bytes([str(value) for value in values])
    numbers = [value for value in values if isinstance(value, int | float)]  # all of them: see above
    try:
        return _pack(datatype, numbers)
    except (struct.error, OverflowError):
        position = next(position for position, value in enumerate(numbers) if not _packs(datatype, value))
        raise ValueError(f"element {position} is {_shown(numbers[position])}, out of range") from None


def _packs(datatype: str, value: float) -> bool:
    try:
        _pack(datatype, [value])
    except (struct.error, OverflowError):
        return False
    return True


def _shown(value: object) -> str:
    if isinstance(value, str):
        return ascii(value[:20]) + ("..." if len(value) > 20 else "")
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return str(value)[:24] if isinstance(value, int | float) else "an object"
