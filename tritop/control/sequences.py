"""How many sequences of a model are live, which Triton tells nobody: counted in its verbose log."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

from tritop.control.server import Config, TritonServer
from tritop.control.server_log import ServerLog
from tritop.control.settle import Progress
from tritop.errors import OperationFailed, RuntimeFailure
from tritop.logs import LogLine

LONGEST_S = 30.0
"""Nobody watches a verbose log for longer."""
_MARGIN_S = 0.3
"""From a line's time until it can be read."""
_TELL_S = 0.1
_DEFAULT_IDLE_S = 1.0
"""Of `max_sequence_idle_microseconds` where it is 0 (core, `sequence_batch_scheduler.cc`)."""
_END = 2
"""`TRITONSERVER_REQUEST_FLAG_SEQUENCE_END` (tritonserver.h)."""
_PREPARED = re.compile(
    r"\[request id: .*\] prepared: .*, model: (?P<model>.*), requested version: -?\d+, "
    r"actual version: (?P<version>\d+), flags: 0x(?P<flags>[0-9a-f]+), "
    r"correlation id: (?P<sequence>.*), batch size: \d+, priority: "
)
"""What core prints of every request at `log_verbose_level` 1 (`infer_request.cc`, 2.51). A request id is the
client's and may hold anything, so the last of each word counts."""


@dataclass(frozen=True, slots=True)
class LiveSequences:
    """What was counted."""

    count: int
    watched_s: float
    complete: bool
    """Whether it was watched for longer than a sequence may be idle, so that none can be missing."""

    def __str__(self) -> str:
        least = "" if self.complete else "at least "
        return f"{least}{self.count} live sequence{' is' if self.count == 1 else 's are'}"


def live_sequences(entries: Iterable[LogLine], model: str) -> int:
    """How many sequences of a model sent requests in the entries of a verbose log, and did not end."""
    live: set[tuple[str, str]] = set()
    for entry in entries:
        found = _PREPARED.match(entry.text)
        if found is None or found["model"] != model:
            continue
        sequence = (found["version"], found["sequence"])
        if int(found["flags"], 16) & _END:
            live.discard(sequence)
        else:
            live.add(sequence)
    return len(live)


def idle_s(config: Config) -> float:
    """How long a sequence may send nothing before the server ends it [s]."""
    return float(config.sequence_batching.max_sequence_idle_microseconds) / 1e6 or _DEFAULT_IDLE_S


async def count_sequences(
    server: TritonServer, log: ServerLog, model: str, config: Config, progress: Progress
) -> LiveSequences:
    """Watch the requests of a model in the verbose log for as long as a sequence may be idle.

    The log is made verbose for that time where it is not, and the level it had is given back.

    Raises:
        OperationFailed: they cannot be counted here; the sentence says why.
        ReadError: the server does not answer.
    """
    window_s = min(idle_s(config), LONGEST_S)
    try:
        await log.entries_since(log.clock(), b"prepared")
        async with server.verbose():
            await _wait(window_s + _MARGIN_S, model, progress)
            # The server's own answer is in a log that shows requests, also where no client sends any.
            await server.is_live()
            ended_at = log.clock()
            await asyncio.sleep(_MARGIN_S)
        entries = await log.entries_since(ended_at - window_s, b"] prepared: ", b"Process for ")
    except RuntimeFailure as failure:
        raise OperationFailed(f"they cannot be counted without the server's log: {failure.sentence}") from failure
    if not entries:
        raise OperationFailed("they cannot be counted: the server's log shows no requests.")
    return LiveSequences(live_sequences(entries, model), window_s, idle_s(config) <= LONGEST_S)


async def _wait(seconds: float, model: str, progress: Progress) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (left_s := until - loop.time()) > 0:
        progress(f"counting the live sequences of {model}: {seconds - left_s:.1f} of {seconds:.1f} s")
        await asyncio.sleep(min(_TELL_S, left_s))
