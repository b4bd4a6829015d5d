"""One thing that was looked at, and how it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tritop.errors import TritopError


class CheckState(StrEnum):
    """How one thing is."""

    OK = "ok"
    WARNING = "warning"
    """It works, or is needed for some uses only."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what mends it."""

    name: str
    """One or two words, such as `driver`; several checks may have the same."""
    state: CheckState
    sentence: str
    """What was found; may hold the words of others: untrusted."""
    mend: str = ""
    """The command that mends it, or the step where no command does; "" where nothing is to be done."""


def ok(name: str, sentence: str) -> Check:
    """Nothing to do."""
    return Check(name, CheckState.OK, sentence)


def warning(name: str, sentence: str, mend: str = "") -> Check:
    """Something to know."""
    return Check(name, CheckState.WARNING, sentence, mend)


def failed(name: str, sentence: str, mend: str = "") -> Check:
    """Something to mend."""
    return Check(name, CheckState.FAILED, sentence, mend)


def from_error(name: str, error: TritopError, state: CheckState = CheckState.FAILED) -> Check:
    """A check that ended in an error of ours."""
    return Check(name, state, error.sentence, error.advice)
