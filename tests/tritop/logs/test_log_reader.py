"""Triton's log formats, entries of many lines, levels, models, times, and text that means harm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tritop.logs.samples import DEFAULT, ISO, NOW, read
from tritop.logs import LogChunk, LogLevel, LogLine, LogReader, saved_line
from tritop.logs.text import LINE_CHARACTERS, clean_line


def entry_with(lines: list[LogLine], text: str) -> list[LogLine]:
    """All lines of the first entry that holds a text."""
    entry = next(line.entry for line in lines if text in line.text)
    return [line for line in lines if line.entry == entry]


def test_a_prefix_is_taken_apart() -> None:
    line = next(line for line in read(DEFAULT) if "loading: matrix" in line.text)
    assert line == LogLine(
        entry=line.entry,
        run=1,
        level=LogLevel.INFO,
        text="loading: matrix:1",
        at=datetime(2026, 11, 23, 1, 0, 10, 832808, UTC).timestamp(),
        place="model_lifecycle.cc:472",
        pid=26658,
        model="matrix",
    )


def test_the_iso_format_says_the_same() -> None:
    lines = read(ISO)
    assert [line.level for line in lines] == [LogLevel.INFO, LogLevel.ERROR] + [LogLevel.INFO] * 4
    assert lines[1].at == datetime(2026, 11, 23, 1, 0, 22, tzinfo=UTC).timestamp()
    assert (lines[1].pid, lines[1].place) == (27181, "server.cc:241")


def test_models_are_found_in_what_triton_says_of_them() -> None:
    named = {line.text: line.model for line in read(DEFAULT) + read(ISO)}
    for text, model in {
        "successfully loaded 'matrix'": "matrix",
        "TRITONBACKEND_ModelInstanceInitialize: matrix_0_0 (CPU device 0)": "matrix",
        "TRITONBACKEND_ModelInstanceInitialize: instance initialization successful noisy_0 (device 0)": "noisy",
        "noisy v1: UNLOADING": "noisy",
        "Stopping backend thread for noisy_0...": "noisy",
        "successfully unloaded 'noisy' version 1": "noisy",
        '  File "/models/noisy/1/model.py", line 10, in initialize': "noisy",
        "Started GRPCInferenceService at 127.0.0.1:22678": "",
        "CudaDriverHelper has not been initialized.": "",
    }.items():
        assert named[text] == model, text


def test_an_instance_is_not_taken_for_its_model_where_the_model_ends_in_a_number() -> None:
    lines = read(
        b'I1123 01:00:10.8 1 model_lifecycle.cc:472] "loading: net_2:1"\n'
        b'I1123 01:00:12.1 1 python_be.cc:2249] "TRITONBACKEND_ModelInstanceInitialize: net_2_0_1 (CPU device 0)"'
    )
    assert [line.model for line in lines] == ["net_2", "net_2"]


def test_an_escaped_error_becomes_the_lines_that_it_had() -> None:
    entry = entry_with(read(DEFAULT), "failed to load 'broken'")
    assert [line.text for line in entry[1:]] == [
        "",
        "At:",
        "  /usr/lib/python3/dist-packages/numpy/lib/npyio.py(427): load",
        "  /models/broken/1/model.py(16): initialize",
    ]
    assert [line.head for line in entry] == [True, False, False, False, False]
    assert {line.level for line in entry} == {LogLevel.ERROR}
    assert {line.at for line in entry} == {entry[0].at}


def test_a_table_belongs_to_the_line_that_announces_it() -> None:
    entry = entry_with(read(DEFAULT), "Repository Agent")
    assert entry[0].place == "server.cc:604"
    assert len(entry) == 7, "the head, four lines of the table, the empty one, and what came in between"


def test_what_is_not_quoted_goes_on_to_the_next_prefix() -> None:
    entry = entry_with(read(DEFAULT), "for auto-complete")
    assert [line.text for line in entry][1:] == ["", "At:", "  /models/bad/1/model.py(1): <module>", ""]


def test_a_traceback_is_one_entry_with_its_exception() -> None:
    lines = read(DEFAULT)
    entry = entry_with(lines, "Traceback")
    assert entry[-1].text == "ZeroDivisionError: division by zero"
    assert len(entry) == 5
    assert {line.level for line in entry} == {LogLevel.ERROR}
    assert entry_with(lines, "ERROR:x:python logging")[0].head


def test_chained_tracebacks_are_one_entry_and_what_follows_is_not() -> None:
    chained = b"""Traceback (most recent call last):
  File "a.py", line 1, in <module>
KeyError: 'a'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
ValueError: b
served"""
    lines = read(chained)
    assert [line.entry for line in lines] == [1] * 9 + [2]
    assert lines[-1].level is LogLevel.PLAIN


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (b"plain words about an error", LogLevel.PLAIN),
        (b"2026-11-22 10:00:00,123 - vllm - ERROR - out of memory", LogLevel.ERROR),
        (b"ERROR 11-22 10:00:00 engine.py:12] dead", LogLevel.ERROR),
        (b"[WARNING] slow", LogLevel.WARNING),
        (b"INFO 11-22 10:00:00 engine.py:12] alive", LogLevel.INFO),
        (b"error: creating server: Internal - failed to load all models", LogLevel.ERROR),
        (b"Signal (11) received.", LogLevel.ERROR),
        (b"Signal (15) received.", LogLevel.PLAIN),
        (b"tritonserver: unrecognized option '--nope'", LogLevel.ERROR),
    ],
)
def test_levels_of_lines_that_triton_did_not_write(text: bytes, level: LogLevel) -> None:
    assert read(text)[0].level is level


def test_escape_sequences_are_gone_also_those_that_were_escaped() -> None:
    lines = read(DEFAULT)
    assert entry_with(lines, "hello from")[1].text == 'second line red "quoted" é'
    assert entry_with(lines, "plain print")[0].text == "plain print red"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("50 %\r75 %\r100 %\r", "100 %"),
        ("a\tb", "a    b"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2\x1b\\x", "x"),
        ("\x1b[2J\x1b[1;1Hhome", "home"),
        ("cut \x1b[3", "cut "),
        ("bell\x07 nul\x00", "bell� nul�"),
        ("right\u202eto left", "right�to left"),
    ],
)
def test_lines_are_made_harmless(raw: str, shown: str) -> None:
    assert clean_line(raw) == shown


def test_a_line_of_a_megabyte_is_cut_and_says_so() -> None:
    cut = clean_line("x" * 1_000_000)
    assert cut == "x" * LINE_CHARACTERS + f" … {1_000_000 - LINE_CHARACTERS} more characters"


def test_the_year_is_that_of_the_last_such_day() -> None:
    december = read(b'I1231 23:59:59.5 1 a.cc:1] "x"', now=datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    assert december[0].at == datetime(2026, 12, 31, 23, 59, 59, 500_000, UTC).timestamp()
    leap = read(b'I0229 00:00:00.0 1 a.cc:1] "x"', now=datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    assert leap[0].at == datetime(2024, 2, 29, tzinfo=UTC).timestamp()
    assert read(b'I1350 00:00:00.0 1 a.cc:1] "x"')[0].at is None


def test_a_new_run_is_marked_and_what_was_lost_is_said() -> None:
    reader = LogReader()
    first = reader.read(LogChunk((b"Traceback (most recent call last):",)), NOW)
    second = reader.read(LogChunk((b"  indented, but of another run",), run=2, note="lines are missing"), NOW)
    assert [line.note for line in first + second] == [False, True, True, False]
    assert second[0].text == "the server was started again: run 2"
    assert second[2].head, "nothing goes on over the end of a process"


def test_entries_go_on_over_chunks() -> None:
    reader = LogReader()
    lines = [line for raw in DEFAULT.split(b"\n") for line in reader.read(LogChunk((raw,)), NOW)]
    assert lines == read(DEFAULT)


def test_times_of_the_source_win_and_stand_for_lines_that_have_none() -> None:
    chunk = LogChunk((b'I1123 01:00:10.0 1 a.cc:1] "x"', b"printed"), times=(5.0, 6.0))
    assert [line.at for line in LogReader().read(chunk, NOW)] == [5.0, 6.0]


@pytest.mark.parametrize("raw", [DEFAULT, ISO])
def test_a_saved_log_reads_as_the_log_did(raw: bytes) -> None:
    lines = read(raw)
    again = read("\n".join(map(saved_line, lines)).encode())

    def said(line: LogLine) -> tuple[object, ...]:
        return line.level, line.text, line.place, line.pid, line.model

    # A message that was quoted is not quoted in the file, so what follows it may seem to go on.
    assert [said(line) for line in again if line.place] == [said(line) for line in lines if line.place]
    assert [line.text for line in again] == [line.text for line in lines]


@given(st.lists(st.binary(max_size=200).filter(lambda raw: b"\n" not in raw), max_size=20))
def test_anything_gives_at_least_its_lines_and_nothing_that_a_terminal_obeys(raw: list[bytes]) -> None:
    lines = LogReader().read(LogChunk(tuple(raw)), NOW)
    assert len(lines) >= len(raw)
    assert all(line.text.isprintable() for line in lines)
    assert [line.entry for line in lines] == sorted(line.entry for line in lines)


PREFIXES = st.sampled_from(["I1123 01:00:10.832808 1 a.cc:1] ", "2026-11-23T01:00:22Z E 1 server.cc:1] ", ""])


@given(PREFIXES, st.text(max_size=100))
def test_any_message_behind_any_prefix_is_harmless(prefix: str, message: str) -> None:
    import json

    raw = (prefix + json.dumps(message)).encode()
    lines = LogReader().read(LogChunk((raw,)), NOW)
    assert all(line.text.isprintable() for line in lines)
    assert all(line.place for line in lines[:1]) == bool(prefix)
