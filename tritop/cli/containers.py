"""What the verbs for containers share: which ones are meant, progress on stderr, and waiting for READY."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from tritop.cli.text import printable
from tritop.errors import RuntimeFailure, UsageError
from tritop.model import Launch
from tritop.runtimes.desired import Desk, Wanted
from tritop.runtimes.docker import Engine
from tritop.runtimes.docker_list import TritonContainer, list_tritons
from tritop.runtimes.docker_server import DockerServer
from tritop.runtimes.supervisor import Desired, Phase, Supervision, Wish

_PROGRESS_EVERY_S = 0.2
_PULL_LINE_EVERY_S = 10.0
_SETTLED = (Phase.READY, Phase.NOT_READY, Phase.FAILED, Phase.WAITING, Phase.FOREIGN, Phase.STOPPED, Phase.ABSENT)
"""Where a start ends that nobody goes on to supervise."""


async def ours(engine: Engine) -> tuple[TritonContainer, ...]:
    """The containers that this operator made with tritop."""
    found = await list_tritons(engine)
    return tuple(one for one in found if one.managed and one.owner == engine.owner)


def choose(containers: Sequence[TritonContainer], names: Sequence[str], verb: str) -> list[TritonContainer]:
    """The containers with these names, or the only one there is.

    Raises:
        UsageError: a name is not there, or none is given and there are several.
    """
    if not names and len(containers) == 1:
        return [containers[0]]
    known = ", ".join(sorted(one.profile for one in containers)) or "none"
    if not names:
        which = f"Name one of: {known}." if containers else "tritop up starts one."
        raise UsageError(f"which server? There are {len(containers)} that tritop runs here.", which)
    chosen = []
    for name in names:
        found = [one for one in containers if name in (one.profile, one.name)]
        if not found:
            raise UsageError(f"tritop runs no server {name!r} here.", f"Known: {known}. tritop {verb} --help")
        chosen += found
    return chosen


class ProgressLine:
    """Tells on stderr what is being done: one line that is overwritten on a terminal, else a line for each change."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._terminal = sys.stderr.isatty()
        self._said: object = None
        self._at = 0.0

    def show(self, launch: Launch) -> None:
        """Tell it where it changed."""
        if launch.state == Phase.UNKNOWN:
            return
        counted = f" ({launch.done} of {launch.total})" if launch.done is not None and launch.total else ""
        waiting = f" again in {launch.restart_in_s:.0f} s" if launch.restart_in_s is not None else ""
        text = printable(f"{self._name}: {launch.state}{waiting} {launch.step}{counted}".rstrip())
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{text}")
        elif self._news(launch):
            sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _news(self, launch: Launch) -> bool:
        """Whether a log file needs a line for it: one for each layer of an image, its bytes only now and then."""
        pulling = launch.state == Phase.PULLING
        layers = [layer.complete for layer in launch.layers]
        key = (launch.state, (len(layers), sum(layers)) if pulling else launch.step, launch.done)
        now = time.monotonic()
        if key == self._said and not (pulling and now - self._at >= _PULL_LINE_EVERY_S):
            return False
        self._said, self._at = key, now
        return True

    def end(self) -> None:
        """Leave the line."""
        if self._terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


async def settle(server: DockerServer, *, wait: bool) -> Supervision:
    """Tell how a start goes until it has come to something.

    Args:
        server: supervised, and asked to start.
        wait: until it is READY, or cannot be; otherwise only until its container runs.
    """
    settled = _SETTLED if wait else (*_SETTLED, Phase.STARTING)
    line = ProgressLine(server.name)
    waiting = asyncio.ensure_future(
        server.until(lambda state: state.phase in settled and state.doing is None and not state.restarting)
    )
    try:
        while not waiting.done():
            line.show(server.launch())
            await asyncio.wait({waiting}, timeout=_PROGRESS_EVERY_S)
    finally:
        waiting.cancel()
        line.end()
    return waiting.result()


async def give_up(server: DockerServer) -> None:
    """Want it no longer, since nobody goes on to supervise it: what could not be started leaves nothing behind."""
    server.ask(Wish.STOP)
    await server.until(lambda state: state.phase in (Phase.STOPPED, Phase.ABSENT, Phase.ENGINE_LOST))


def failure_of(server: DockerServer) -> RuntimeFailure:
    """Why a start came to nothing."""
    launch, state = server.launch(), server.state
    sentence = state.explanation or f"{server.name} is {launch.state}."
    return RuntimeFailure(sentence, state.advice or f"Its log: tritop logs {server.name}")


async def desk_of(engine: Engine) -> Desk:
    """Where the operator's word for this engine's servers is kept.

    Raises:
        EngineFailure: the engine cannot be used.
    """
    return Desk(str((await engine.info())["ID"]))


def keep_word(desk: Desk, name: str, desired: Desired, *, stopping: str = "") -> None:
    """Remember what the operator wants of a server that is known; one made elsewhere has nothing to remember.

    Args:
        desk: where it is kept.
        name: of the server.
        desired: the word.
        stopping: see `Wanted`.
    """
    wanted = desk.load(name)
    if wanted is not None:
        desk.keep(Wanted(wanted.spec, desired, wanted.ports, stopping))
