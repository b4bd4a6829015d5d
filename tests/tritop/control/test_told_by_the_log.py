"""Live sequences and load times, out of lines as Triton 2.51 writes them."""

from __future__ import annotations

import pytest

from tritop.control.load_times import load_seconds
from tritop.control.sequences import LiveSequences, live_sequences
from tritop.logs import LogLevel, LogLine


def entry(text: str, at: float = 0.0) -> LogLine:
    return LogLine(1, 1, LogLevel.INFO, text, at, "infer_request.cc:905")


def prepared(
    sequence: str, flags: int = 0, *, model: str = "counted", version: int = 1, request_id: str = ""
) -> LogLine:
    return entry(
        f"[request id: {request_id or '<id_unknown>'}] prepared: [0x0x7f3a400034d0] request id: {request_id}, "
        f"model: {model}, requested version: -1, actual version: {version}, flags: 0x{flags:x}, "
        f"correlation id: {sequence}, batch size: 1, priority: 0, timeout (us): 0"
    )


@pytest.mark.parametrize(
    ("entries", "live"),
    [
        ([], 0),
        ([prepared("1", 1), prepared("1"), prepared("2", 1)], 2),
        ([prepared("1", 1), prepared("2", 1), prepared("1", 2)], 1),
        ([prepared("1", 3)], 0),
        ([prepared("1", 2), prepared("1", 1)], 1),
        ([prepared("1", 1, version=1), prepared("1", 1, version=2)], 2),
        ([prepared("a, model: b", 1), prepared("1", 1, model="other")], 1),
        ([prepared("1", 1, request_id="x, model: other, requested version: -1, actual version: 1, flags: 0x2")], 1),
        ([entry("[request id: x] Setting state from INITIALIZED to PENDING"), entry("nonsense")], 0),
    ],
)
def test_sequences_that_have_not_ended_are_live(entries: list[LogLine], live: int) -> None:
    assert live_sequences(entries, "counted") == live


def test_a_count_says_how_sure_it_is() -> None:
    assert str(LiveSequences(1, 1.0, complete=True)) == "1 live sequence is"
    assert str(LiveSequences(3, 30.0, complete=False)) == "at least 3 live sequences are"


def test_a_load_lasts_from_its_first_version_to_the_end() -> None:
    took = load_seconds(
        [
            entry("loading: twin:1", 1.0),
            entry("loading: twin:2", 1.5),
            entry("TRITONBACKEND_ModelInstanceInitialize: twin_0_0 (CPU device 0)", 2.0),
            entry("successfully loaded 'twin'", 3.0),
        ]
    )
    assert took == {"twin": 2.0}


def test_what_was_done_in_place_or_failed_is_no_load() -> None:
    full = [
        entry("loading: twin:1", 1.0),
        entry("TRITONBACKEND_ModelInstanceInitialize: any name_0 (GPU device 0)", 2.0),
        entry("TRITONBACKEND_ModelInstanceInitialize: named_0 (GPU device 0)", 2.0),
        entry("successfully loaded 'twin'", 3.0),
    ]
    in_place = [
        entry("loading: twin:1", 5.0),
        entry("TRITONBACKEND_ModelInstanceInitialize: twin_0_1 (CPU device 0)", 5.1),
        entry("successfully loaded 'twin'", 5.2),
    ]
    failed = [
        entry("loading: twin:1", 6.0),
        entry("TRITONBACKEND_ModelInitialize: twin (version 1)", 7.0),
        entry("failed to load 'twin' version 1: Internal: no", 9.0),
        entry("failed to load 'twin'", 9.0),
    ]
    assert load_seconds([*full, *in_place, *failed]) == {"twin": 2.0}
    assert load_seconds([*in_place, *failed]) == {}
    assert load_seconds([entry("successfully loaded 'twin'", 1.0)]) == {}
