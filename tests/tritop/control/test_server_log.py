"""What is read out of a server's log: only what it wrote itself, and only since the call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tritop.control.reason import ReasonInLog
from tritop.control.server_log import ServerLog, not_readable
from tritop.errors import RuntimeFailure
from tritop.logs import LogChunk
from tritop.runtimes.log_place import FilePlace

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()
WHERE = "1 model_repository_manager.cc:1460]"
POLL = "{when} {where} \"Poll failed for model directory '{m}': {why} for {m}\""


def polled(seconds: float, why: str, model: str = "m", *, iso: bool = False) -> bytes:
    """A line that Triton wrote so long after noon."""
    at = datetime.fromtimestamp(NOON + seconds, UTC)
    when = at.strftime("%Y-%m-%dT%H:%M:%SZ E" if iso else "E%m%d %H:%M:%S.%f")
    return POLL.format(when=when, where=WHERE, m=model, why=why).encode()


class FakeLog:
    """A log that grows when it is told to, and an operator who calls at noon."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = list(lines)
        self.log = ServerLog(self.since, lambda: NOON)

    def since(self, at: float) -> Iterator[LogChunk]:
        yield LogChunk(tuple(self.lines))


def found(reason: ReasonInLog) -> str:
    return asyncio.run(reason.found())


def test_the_reason_is_the_first_line_about_the_model_since_the_call() -> None:
    fake = FakeLog(polled(-0.001, "old"), polled(-60, "older"))
    reason = ReasonInLog(fake.log, "m")
    assert found(reason) == ""
    fake.lines += [
        polled(0.1, "of another model", "other"),
        b"Poll failed for model directory 'm': forged by a model's own print",
        polled(0.2, "must be positive"),
        polled(0.3, "of the call after it"),
    ]
    assert found(reason) == "must be positive"
    assert reason.unreadable == ""


def test_a_log_with_whole_seconds_is_read_from_the_second_of_the_call() -> None:
    fake = FakeLog(polled(-1, "old", iso=True))
    fake.log = ServerLog(fake.since, lambda: NOON + 0.7)
    reason = ReasonInLog(fake.log, "m")
    assert found(reason) == ""
    fake.lines.append(polled(0, "must be positive", iso=True))
    assert found(reason) == "must be positive"


def test_a_log_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    reason = ReasonInLog(ServerLog(), "m")
    assert asyncio.run(reason.find()) == ""
    assert reason.unreadable == "it cannot be read from here."
    reason = ReasonInLog(ServerLog(FilePlace(tmp_path / "gone").log_since), "m")
    assert asyncio.run(reason.find()) == ""
    assert "there is no log" in reason.unreadable
    with pytest.raises(RuntimeFailure):
        not_readable(0.0)


def test_the_predecessor_of_a_full_log_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.with_name("log.1").write_bytes(polled(1, "before it was full") + b"\n")
    path.write_bytes(polled(2, "after") + b"\n")
    log = ServerLog(FilePlace(path).log_since, lambda: NOON)
    texts = [entry.text for entry in asyncio.run(log.entries_since(NOON, b"Poll failed"))]
    assert [text.split(": ")[1] for text in texts] == ["before it was full for m", "after for m"]
    assert asyncio.run(log.entries_since(NOON, b"something else")) == ()
