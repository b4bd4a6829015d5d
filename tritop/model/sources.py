"""How fresh a source is, and why it could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SourceState(StrEnum):
    """How fresh one source is."""

    WAITING = "WAITING"
    """Asked, no answer yet."""
    OK = "OK"
    STALE = "STALE"
    """The last good answer is older than three periods; its numbers are kept with their age."""
    FAULT = "FAULT"
    """The last attempt failed; `Source.fault` says how."""
    OFF = "OFF"
    """The server does not offer it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a source could not be read."""

    title: str
    """Two or three words; `TritopError.title`."""
    sentence: str
    advice: str
    since: float
    """Wall time [s since the epoch] of the first of the failures in a row."""
    attempts: int = 1
    """Failures in a row."""


RUNTIME_SOURCE = "runtime"
"""Name of the source that is no word of the server's own: what tritop itself knows of a process that it runs."""


@dataclass(frozen=True, slots=True)
class Source:
    """One source of one server: when it was last read and what is wrong with it."""

    name: str
    state: SourceState
    age_s: float | None = None
    """Age of the last good reading."""
    fault: Fault | None = None
