"""How a run of Triton ended and what that means: one sentence, and whether another start may help.

Exit codes as the engine reports them (128 + signal number). Measured with Triton 2.51 on Docker
20.10: 0 after SIGTERM or SIGINT; 1 for a flag, a repository or a model that is refused, and when
the exit timeout ran out; 143 for SIGTERM before the server is up; 137 for a kill, from outside or
by the kernel for want of memory.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from tritop.errors import TritopError
from tritop.runtimes.server_log import crash_hint, failure_reason, port_in_use, sentence_case
from tritop.runtimes.supervisor import Ending, EndingKind

_AT_ONCE_S = 5.0
"""A server that is refused its flags or its repository ends within this time (2.51: 0.1 s and 1.1 s)."""
_REFUSED = ("unrecognized option", "Bad option:", "failed to stat file", "error while loading shared libraries")
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
_NOT_RUN = 127
"""Of a shell or the loader: no such program, or a library that it needs is missing."""
_NUMBERS = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass(frozen=True, slots=True)
class ExitFacts:
    """What is known about the end of one run."""

    exit_code: int | None
    lines: tuple[str, ...] = ()
    """The cleaned beginning and end of that run's log."""
    stopped_by_us: bool = False
    signal_sent: int | None = None
    """The last signal that somebody sent through the engine during that run."""
    out_of_memory: bool = False
    """The engine told of a process that the kernel killed, during that run."""
    memory_limit_bytes: int | None = None
    ran_s: float | None = None
    """How long that run took."""
    error: str = ""
    """`State.Error`: what kept the engine from starting it."""
    contained: bool = True
    """It ran in a container of an engine, not as a process of ours."""


def classify_exit(facts: ExitFacts) -> Ending:
    """Say how a run ended, and of what kind the end is."""
    code = facts.exit_code
    kind, sentence = _by_wish(facts) or _by_log(facts) or _by_code(facts)
    advice = ""
    if kind is EndingKind.OOM and not facts.contained:
        advice = "Load fewer models, or make fewer instances."
    elif kind is EndingKind.OOM:
        advice = "Give it more with --memory, load fewer models, or make fewer instances."
    elif code == 127 and kind is EndingKind.PERMANENT:
        advice = "Take an image with Triton in it, such as nvcr.io/nvidia/tritonserver."
    return Ending(kind, sentence, code, signature_of(code, facts.lines), advice)


def refusal(error: TritopError) -> Ending:
    """What could not be done at all, so that trying again gives the same."""
    return Ending(EndingKind.PERMANENT, sentence_case(error.sentence), None, error.sentence, error.advice)


def signature_of(exit_code: int | None, lines: Sequence[str]) -> str:
    """Exit code and reason without its numbers, so that two ends of one cause are equal.

    What a server that was killed said last is chance, and no part of it.
    """
    if exit_code is None or exit_code >= 128:
        return str(exit_code)
    return f"{exit_code} {_NUMBERS.sub('#', failure_reason(lines))}"


def _by_wish(facts: ExitFacts) -> tuple[EndingKind, str] | None:
    if facts.stopped_by_us or facts.signal_sent in _STOP_SIGNALS:
        who = "It was stopped." if facts.stopped_by_us else "Somebody stopped it through the engine."
        if facts.exit_code == 128 + signal.SIGKILL and facts.stopped_by_us:
            who = "It did not end in time and was killed."
        elif facts.signal_sent == signal.SIGKILL and not facts.stopped_by_us:
            who = "Somebody killed it through the engine."
        return EndingKind.ASKED, who
    if facts.exit_code == 0:
        return EndingKind.ASKED, "It ended by itself with exit code 0: somebody sent it SIGTERM or SIGINT."
    return None


def _by_log(facts: ExitFacts) -> tuple[EndingKind, str] | None:
    """Ends that the log explains better than the exit code."""
    if facts.exit_code not in (1, _NOT_RUN):
        return None
    if address := port_in_use(facts.lines):
        where = " inside its network" if facts.contained else ""
        return EndingKind.WORLD, f"{address} is already in use{where}."
    at_once = facts.ran_s is None or facts.ran_s < _AT_ONCE_S
    if at_once and any(words in line for line in facts.lines for words in _REFUSED):
        return EndingKind.PERMANENT, f"Triton refused to start: {failure_reason(facts.lines)}"
    return None


_BY_CODE = {
    126: (EndingKind.PERMANENT, "The tritonserver of this image cannot be run."),
    _NOT_RUN: (EndingKind.PERMANENT, "There is no tritonserver in this image."),
    128 + signal.SIGKILL: (
        EndingKind.CRASH,
        "It was killed (SIGKILL): by somebody on the host, or by the kernel for want of memory.",
    ),
    128 + signal.SIGSEGV: (EndingKind.CRASH, "It crashed with a segmentation fault (SIGSEGV)."),
    128 + signal.SIGABRT: (EndingKind.CRASH, "It aborted (SIGABRT)."),
    None: (EndingKind.CRASH, "It ended, and nobody saw how."),
}


def _by_code(facts: ExitFacts) -> tuple[EndingKind, str]:
    code = facts.exit_code
    if facts.out_of_memory and not facts.contained and code == 128 + signal.SIGKILL:
        return EndingKind.OOM, "The kernel killed it for want of memory."
    if facts.out_of_memory and code in (128 + signal.SIGKILL, None):
        limit = f" of {size(facts.memory_limit_bytes)}" if facts.memory_limit_bytes else ""
        return EndingKind.OOM, f"The kernel killed it because its memory limit{limit} was reached."
    if facts.error:
        return EndingKind.CRASH, f"The engine could not run it: {facts.error}"
    if code is None or code in _BY_CODE:
        kind, sentence = _BY_CODE[code]
        hint = crash_hint(facts.lines) if code == 128 + signal.SIGSEGV else ""
        return kind, f"{sentence} {hint}".rstrip()
    if code - 128 in {one.value for one in signal.Signals}:
        return EndingKind.CRASH, f"It was ended by {signal.Signals(code - 128).name}."
    reason = failure_reason(facts.lines)
    return EndingKind.CRASH, f"It ended with exit code {code}" + (f": {reason}" if reason else ".")


def size(count: int) -> str:
    """Bytes in the unit that suits them: 512.0 MiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
