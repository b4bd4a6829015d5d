"""`tritop restart [NAME...]`: stop and start servers that `tritop up` started, and wait until they are ready."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tritop.cli.commands import Command

if TYPE_CHECKING:
    from tritop.runtimes.desired import Desk
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_list import TritonContainer


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="of a server; none: the only one there is")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each")


def _run(namespace: argparse.Namespace) -> int:
    import asyncio

    return asyncio.run(_restart(namespace.names, as_json=namespace.json))


async def _restart(names: Sequence[str], *, as_json: bool) -> int:
    from tritop.cli.containers import choose, desk_of, ours
    from tritop.cli.recorded import recorded
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.supervisor import Wish

    engine = Engine()
    try:
        desk = await desk_of(engine)
        for container in choose(await ours(engine), names, "restart"):
            with recorded(container.profile, Wish.RESTART, container.address):
                await _restart_one(engine, desk, container, as_json=as_json)
    finally:
        engine.close()
    return 0


async def _restart_one(engine: Engine, desk: Desk, container: TritonContainer, *, as_json: bool) -> None:
    """Let the tritop that supervises it do it, which is this one unless another has the lock."""
    from tritop.cli.launching import up_detached
    from tritop.errors import RuntimeFailure
    from tritop.runtimes.desired import held
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_server import DockerServer
    from tritop.runtimes.supervisor import Wish

    wanted = desk.load(container.profile)
    lock = desk.lock(container.profile)
    with held(lock) as free:
        watched_by = None if free else lock.holder()
    if wanted is None or not free:
        # The other one sees it stop and start, takes both for the operator's wish, and goes on supervising.
        await engine.stop(container.id, wanted.spec.stop_timeout_s if wanted else 40)
        await engine.start(container.id)
        who = f", supervised by process {watched_by}" if watched_by else ""
        print(f"{container.profile}  started{who}", flush=True)
        return
    server = DockerServer(wanted.spec, Engine(), wish=Wish.RESTART, desk=desk)
    try:
        await up_detached(server, wait=True, as_json=as_json)
    except RuntimeFailure as failure:
        raise RuntimeFailure(f"{container.profile}: {failure.sentence}", failure.advice) from failure


COMMAND = Command(
    name="restart",
    summary="Stop and start servers that tritop up started.",
    add_arguments=_add_arguments,
    run=_run,
)
