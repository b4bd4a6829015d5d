"""Logs that a Triton 2.51 wrote, shortened: the default format, and ISO 8601 with --log-verbose=1."""

from __future__ import annotations

from pathlib import Path

from tritop.logs import LogChunk, LogLine, LogReader

NOW = 1_795_395_631.0
"""23 November 2026, 01:00:31 UTC."""

DEFAULT = Path(__file__).with_name("triton_default.log").read_bytes().removesuffix(b"\n")
ISO = Path(__file__).with_name("triton_iso8601.log").read_bytes().removesuffix(b"\n")


def read(raw: bytes, *, now: float = NOW) -> list[LogLine]:
    """The lines of a whole log."""
    return LogReader().read(LogChunk(tuple(raw.split(b"\n"))), now)
