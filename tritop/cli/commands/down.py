"""`tritop down [NAME...]`: stop servers that `tritop up` started, and remember that they are to stay stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tritop.cli.commands import Command
from tritop.cli.run import complain

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
    from tritop.cli.containers import choose, desk_of, keep_word, ours
    from tritop.runtimes.docker import Engine
    from tritop.runtimes.supervisor import Desired

    engine = Engine()
    try:
        desk = await desk_of(engine)
        containers = await ours(engine)
        for container in containers if everything else choose(containers, names, "down"):
            # The word first: whatever happens in between, nobody starts it again.
            keep_word(desk, container.profile, Desired.STOP)
            if container.running:
                complain(f"stopping {container.profile}: requests under way are finished first.")
                wanted = desk.load(container.profile)
                await engine.stop(container.id, wanted.spec.stop_timeout_s if wanted else _STOP_TIMEOUT_S)
            if remove:
                await engine.remove(container.id)
                desk.forget(container.profile)
            print(f"{container.profile}  {'removed' if remove else 'stopped'}", flush=True)
    finally:
        engine.close()
    return 0


_STOP_TIMEOUT_S = 40

COMMAND = Command(
    name="down",
    summary="Stop servers that tritop up started.",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
