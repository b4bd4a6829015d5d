"""`tritop down [NAME...]`: stop servers that `tritop up` started, and remember that they are to stay stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tritop.cli.commands import Command
from tritop.cli.run import complain

if TYPE_CHECKING:
    from tritop.runtimes.desired import Desk
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.docker_list import TritonContainer

_DESCRIPTION = """Stop servers that tritop up started: gracefully, with requests under way finished first.

A tritop that shows one of them sees it stop and does not start it again. The container stays, with
its log; --remove removes it as well."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="of a server; none: the only one there is")
    parser.add_argument("-a", "--all", action="store_true", help="every server that this user runs here")
    parser.add_argument("--remove", action="store_true", help="remove the container and its log as well")


def _run(namespace: argparse.Namespace) -> int:
    import asyncio

    return asyncio.run(_down(namespace.names, everything=namespace.all, remove=namespace.remove))


async def _down(names: Sequence[str], *, everything: bool, remove: bool) -> int:
    from tritop.cli.containers import choose, desk_of, ours
    from tritop.cli.recorded import recorded
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.supervisor import Wish

    engine = Engine()
    try:
        desk = await desk_of(engine)
        containers = await ours(engine)
        for container in containers if everything else choose(containers, names, "down"):
            if container.running:
                complain(f"stopping {container.profile}: requests under way are finished first.")
            with recorded(container.profile, Wish.REMOVE if remove else Wish.STOP, container.address) as recording:
                recording.changed = container.running or remove
                await _stop(engine, desk, container)
                if remove:
                    await engine.remove(container.id)
                    desk.forget(container.profile)
            print(f"{container.profile}  {'removed' if remove else 'stopped'}", flush=True)
    finally:
        engine.close()
    return 0


async def _stop(engine: Engine, desk: Desk, container: TritonContainer) -> None:
    """Stop it, the word first: whatever happens in between, nobody starts it again."""
    from tritop.cli.containers import keep_word
    from tritop.runtimes.supervisor import Desired

    shown = await engine.inspect(container.id)
    running = shown is not None and shown["State"].get("Running")
    started_at = str(shown["State"].get("StartedAt", "")) if shown is not None and running else ""
    keep_word(desk, container.profile, Desired.STOP, stopping=started_at)
    if running:
        wanted = desk.load(container.profile)
        await engine.stop(container.id, wanted.spec.stop_timeout_s if wanted else _STOP_TIMEOUT_S)
        keep_word(desk, container.profile, Desired.STOP)


_STOP_TIMEOUT_S = 40

COMMAND = Command(
    name="down",
    summary="Stop servers that tritop up started.",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
