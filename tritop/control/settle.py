"""Waiting until the truth about a change is known, by looking rather than by trusting a call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collectors.grpc_faults import quoted
from tritop.control.compare import completed, normalised
from tritop.control.reason import ReasonInLog
from tritop.control.server import Config, TritonServer
from tritop.control.versions import READY, UNLOADED_REASON
from tritop.errors import OperationFailed, ReadError
from tritop.reading import IndexEntry

Progress = Callable[[str], None]
"""Called with a sentence while a change is under way."""

POLL_S = 0.2
_UNDER_WAY = frozenset({"LOADING", "UNLOADING"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to go on looking.

    Attributes:
        settle_s: for the outcome of a load whose call timed out or broke, while nothing moves.
        silence_s: for a server that does not answer.
        unload_s: for requests in flight and the backend, until an unloaded model is gone.
    """

    settle_s: float = 60.0
    silence_s: float = 10.0
    unload_s: float = 600.0


@dataclass(frozen=True, slots=True)
class SentLoad:
    """A load that was sent.

    Attributes:
        model: the model.
        wanted: configuration that was sent, `None` for a plain load.
        before: configuration that the model had, `None` if it was not loaded.
        reason: made before the call.
    """

    model: str
    wanted: Config | None
    before: Config | None
    reason: ReasonInLog


class Silence:
    """Lets a server be silent for a while and no longer."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: float | None = None

    def broken(self) -> None:
        """It answered."""
        self._since = None

    def heard_nothing(self, error: ReadError) -> None:
        """It did not; raises `error` when that goes on for too long."""
        now = asyncio.get_running_loop().time()
        self._since = now if self._since is None else self._since
        if now - self._since >= self._limit_s:
            raise error


def rows_of(index: tuple[IndexEntry, ...], model: str) -> tuple[IndexEntry, ...]:
    """The rows of one model."""
    return tuple(row for row in index if row.name == model)


async def until_unloaded(
    server: TritonServer,
    model: str,
    patience: Patience,
    progress: Progress,
    *,
    versions: Sequence[int] | None = None,
) -> None:
    """Return once versions of a model are really gone: their requests done, their backend ended.

    Args:
        server: where to look.
        model: the model.
        patience: for how long.
        progress: told what is being waited for.
        versions: those to wait for, `None` for all.

    Raises:
        OperationFailed: it takes too long; the server goes on by itself.
        ReadError: the server does not answer.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    silence = Silence(patience.silence_s)
    while True:
        try:
            states = await _states_left(server, model, versions)
        except ReadError as error:
            silence.heard_nothing(error)
        else:
            silence.broken()
            if not states:
                return
            if loop.time() - began > patience.unload_s:
                raise OperationFailed(
                    f"{model} is still {states[0]} after {patience.unload_s:g} s.",
                    "It takes no requests any more and will be gone once those in flight, or open streams, are done.",
                )
            progress(f"unloading {model}: waiting for requests in flight, {loop.time() - began:.1f} s")
        await asyncio.sleep(POLL_S)


async def _states_left(server: TritonServer, model: str, versions: Sequence[int] | None) -> list[str]:
    """States of the versions that are still there."""
    rows = rows_of(await server.index(), model)
    if not rows:
        # Without a folder a model is in no index, and served all the same.
        return [READY for one in await server.statistics() if one.name == model]
    if versions is None:
        return [row.state for row in rows if row.state in {READY, *_UNDER_WAY}]
    # These were seen not to be READY: one that is so again was brought back by somebody else.
    wanted = {str(version) for version in versions}
    return [row.state for row in rows if row.state in _UNDER_WAY and row.version in wanted]


async def until_known(server: TritonServer, sent: SentLoad, patience: Patience, progress: Progress) -> None:
    """Find out what became of a load whose call ended without an answer: the server goes on with it.

    Returns where it took effect.

    Raises:
        OperationFailed: it failed, or that cannot be known; the sentence says which.
        ReadError: the server does not answer.
    """
    model = sent.model
    loop = asyncio.get_running_loop()
    quiet_since = loop.time()
    silence = Silence(patience.silence_s)
    while True:
        try:
            rows = rows_of(await server.index(), model)
            current = await server.config(model)
        except ReadError as error:
            silence.heard_nothing(error)
            await asyncio.sleep(POLL_S)
            continue
        silence.broken()
        if any(row.state in _UNDER_WAY for row in rows):
            quiet_since = loop.time()
        elif _took_effect(sent, current):
            return
        elif said := await sent.reason.found() or _failure_in_index(rows, sent.before):
            raise OperationFailed(f"the server refused: {quoted(said)}.")
        if loop.time() - quiet_since > patience.settle_s:
            raise OperationFailed(
                f"the call to load {model} ended without an answer, and {patience.settle_s:g} s later nothing has "
                "changed: the load either failed or still goes on.",
                "The server's log knows; the former configuration is served meanwhile.",
            )
        progress(f"the call for {model} ended without an answer; looking at what the server does")
        await asyncio.sleep(POLL_S)


def _took_effect(sent: SentLoad, current: Config | None) -> bool:
    if current is None:
        return False
    if sent.wanted is None:
        return sent.before is None
    return same_but_versions(completed(sent.wanted, sent.before or current), current)


def same_but_versions(one: Config, other: Config) -> bool:
    """Whether two configurations are equal but for the version policy, which goes stale in answers."""
    one, other = normalised(one), normalised(other)
    one.ClearField("version_policy")
    other.ClearField("version_policy")
    return bool(one == other)


def _failure_in_index(rows: tuple[IndexEntry, ...], before: Config | None) -> str:
    """What the index says of a failure: of a first load, or of a change in place of what is READY."""
    for row in rows:
        if row.reason and row.reason != UNLOADED_REASON and (row.state == READY or before is None):
            return row.reason
    return ""
