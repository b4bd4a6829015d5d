"""Seeing a server read a configuration out of its repository by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from collectors.grpc_faults import quoted
from tritop.change import ChangeClass
from tritop.control.compare import change_class, completed
from tritop.control.reason import ReasonInLog
from tritop.control.server import Config, TritonServer
from tritop.control.settle import Progress, same_but_versions
from tritop.control.situation import Situation
from tritop.control.versions import ready_versions, versions_after
from tritop.errors import OperationFailed

_POLL_S = 0.25


async def until_in_force(
    server: TritonServer,
    wanted: Config,
    before: Situation,
    look: Callable[[], Awaitable[Config | None]],
    reason: ReasonInLog,
    *,
    limit_s: float,
    progress: Progress,
) -> bool:
    """Wait for a server to run a configuration that was written into its repository.

    Args:
        server: where to look.
        wanted: the configuration.
        before: what the model was like before the server could read it.
        look: gives the model's configuration with the version policy in force.
        reason: of a failure, in the log.
        limit_s: how long to wait.
        progress: told how long it has been.

    Returns:
        Whether it runs.

    Raises:
        OperationFailed: the server's log says that it does not take it.
        ReadError: the server does not answer.
    """
    model = before.model
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        ready = ready_versions(await server.index(), model)
        current = await look()
        if current is not None and _runs(wanted, current, ready, before.ready):
            return True
        if said := await reason.found():
            raise OperationFailed(f"{before.server} does not take it: {quoted(said)}.")
        spent_s = loop.time() - began
        if spent_s > limit_s:
            return False
        progress(f"the config file of {model} is written; waiting for the server to read it: {spent_s:.0f} s")
        await asyncio.sleep(_POLL_S)


def _runs(wanted: Config, current: Config, ready: tuple[int, ...], before: tuple[int, ...]) -> bool:
    """Whether a server has read a configuration: a policy shows in the versions that are served, if they changed."""
    if change_class(current, completed(wanted, current)) is ChangeClass.NOTHING:
        return True
    is_seen = ready != before and versions_after(wanted.version_policy, ready) == ready
    return is_seen and same_but_versions(completed(wanted, current), current)
